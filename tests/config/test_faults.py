"""A recipe, a plan or a sweep with each kind of fault, and the one line that every command prints for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dupl.cli import main

TOY = Path(__file__).parents[2] / "experiments" / "demo" / "toy.py"
SHOW, PLAN, SWEEP = ["show", "r.py"], ["show", "--plan", "p.py"], ["show", "--sweep", "s.py"]
HEAD = f"_base_ = [{str(TOY)!r}]\n"
P = "base = 'demo/ablation'\ncolumns = dict(Seg=dict(metric='seg/best/mIoU'))\n"
S = """base = 'demo/ablation'
goal = dict(metric='seg/best/mIoU')
sampler = dict(type='random')
trials = 4
search = dict(set={'data.val': dict(type='Toy', split='val', seed=7)})
"""

# What is wrong, the text of the file, the command, and what it prints.
FAULTS = {
    "a key of schedule": (
        HEAD + "schedule = dict(\n    weigth_decay=0.1,\n)", SHOW,
        "r.py, line 3: schedule.weigth_decay is unknown; did you mean weight_decay?"),
    "another key of schedule": (
        HEAD + "schedule = dict(iteration=5)", SHOW,
        "r.py, line 2: schedule.iteration is unknown; did you mean iterations?"),
    "a key of evaluation": (
        HEAD + "evaluation = dict(cam_treshold=0.4)", SHOW,
        "r.py, line 2: evaluation.cam_treshold is unknown; did you mean cam_threshold?"),
    "a key of evaluation.final": (
        HEAD + "evaluation = dict(final=dict(scale=[1.0]))", SHOW,
        "r.py, line 2: evaluation.final.scale is unknown; did you mean scales?"),
    "a key of evaluation.crf": (
        HEAD + "evaluation = dict(crf=dict(iteration=3))", SHOW,
        "r.py, line 2: evaluation.crf.iteration is unknown; did you mean iterations?"),
    "a key of runtime": (
        HEAD + "runtime = dict(sed=1)", SHOW,
        "r.py, line 2: runtime.sed is unknown; did you mean seed?"),
    "a key of runtime.track": (
        HEAD + "runtime = dict(track=dict(picture=4))", SHOW,
        "r.py, line 2: runtime.track.picture is unknown; did you mean pictures?"),
    "a key of the augmentation": (
        HEAD + "data = dict(augment=dict(grey=0.1))", SHOW,
        "r.py, line 2: data.augment.grey is unknown; did you mean gray?"),
    "a section": (
        HEAD + "scheduel = dict(lr=1)", SHOW,
        "r.py, line 2: scheduel is unknown; did you mean schedule?"),
    "custom_hooks": (
        HEAD + "custom_hooks = []", SHOW,
        "r.py, line 2: custom_hooks is unknown; did you mean custom_imports?"),
    "a helper without its underscore": (
        HEAD + "start = 100\nmodel = dict(consistency=dict(start=start))", SHOW,
        "r.py, line 2: start is unknown; there are model, data, schedule, evaluation, runtime, hooks, custom_imports "
        "(begin the name of a helper with _)"),
    "a component": (
        HEAD + "model = dict(\n    threshold=dict(type='CosinDescent'),\n)", SHOW,
        "r.py, line 3: model.threshold.type is 'CosinDescent', which is no threshold; did you mean CosineDescent?"),
    "a component of another slot": (
        HEAD + "model = dict(threshold=dict(_delete_=True, type='TrustAll'))", SHOW,
        "r.py, line 2: model.threshold.type is 'TrustAll', which belongs elsewhere: choose from CosineDescent, "
        "FixedThreshold, PerClassCosineDescent"),
    "an argument of a component": (
        HEAD + "model = dict(noise_filter=dict(gama=0.9))", SHOW,
        "r.py, line 2: model.noise_filter.gama is unknown to MixtureFilter; did you mean gamma?"),
    "an argument that stays from another component": (
        HEAD + "model = dict(threshold=dict(type='FixedThreshold', value=0.5))", SHOW,
        "TOYBASE, line 19: model.threshold.initial is unknown to FixedThreshold; there are value "
        "(to drop what another component left: "
        "_delete_=True in a file, or --set 'model.threshold={\"type\": \"FixedThreshold\", ...}')"),
    "an argument of a data set": (
        HEAD + "data = dict(val=dict(cuont=3))", SHOW,
        "r.py, line 2: data.val.cuont is unknown to Toy; did you mean count?"),
    "a text for a number": (
        HEAD + "schedule = dict(lr='fast')", SHOW,
        "r.py, line 2: schedule.lr is 'fast': give a number above 0"),
    "a fraction for a whole number": (
        HEAD + "schedule = dict(iterations=1e3)", SHOW,
        "r.py, line 2: schedule.iterations is 1000.0: give a whole number of iterations, at least 1"),
    "a number for a dict": (
        HEAD + "runtime = dict(_delete_=True, track=3)", SHOW,
        "r.py, line 2: runtime.track is 3: give a dict"),
    "a number out of its range": (
        HEAD + "model = dict(noise_filter=dict(gamma=1.5))", SHOW,
        "r.py, line 2: model.noise_filter.gamma is 1.5: give a number in (0, 1)"),
    "a count below 1": (
        HEAD + "_half = 1\nevaluation = dict(\n    interval=_half // 2)", SHOW,
        "r.py, line 4: evaluation.interval is 0: give a whole number of iterations, at least 1"),
    "a choice that is none": (
        HEAD + "runtime = dict(precision='bf-16')", SHOW,
        'r.py, line 2: runtime.precision is \'bf-16\': give "off", "cam", "bf16" or "fp16"; did you mean bf16?'),
    "a missing field": (
        HEAD + "data = dict(\n    augment=dict(_delete_=True, flip=0.5))", SHOW,
        "r.py, line 3: data.augment needs crop (side C of the square crop, in pixels)"),
    "a missing section": (
        "model = dict()\n", SHOW,
        "r.py, line 1: model needs a type: choose from AFA, CoSA, DuPL, Supervised, ToCo"),
    "a base that is not there": (
        "_base_ = ['toyy.py']", SHOW,
        "r.py, line 1: its _base_ HERE/toyy.py does not exist; give a path, or a name that dupl show lists"),
    "bases in a circle": (
        "_base_ = [\n    'r.py',\n]", SHOW,
        "r.py, line 2: its _base_ leads back to HERE/r.py"),
    "a key in two bases": (
        f"_base_ = [{str(TOY)!r},\n          {str(TOY.parent / 'ablation.py')!r}]", SHOW,
        f"r.py, line 2: two of its _base_ have data, the second is {TOY.parent / 'ablation.py'}"),
    "a key twice in a dict": (
        HEAD + "runtime = dict(seed=1,\n    seed=2)", SHOW,
        "r.py, line 3: 2 is the second value of seed in one dict"),
    "a name assigned twice": (
        HEAD + "runtime = dict(seed=1)\nruntime = dict(workers=2)", SHOW,
        "r.py, line 3: runtime = dict(workers=2) assigns runtime again, first on line 2"),
    "a dict over a number": (
        HEAD + "schedule = dict(lr=dict(peak=1))", SHOW,
        "r.py, line 2: schedule.lr is a dict here, and 0.002 in a _base_; add _delete_=True to replace it"),
    "a call": (
        HEAD + "runtime = dict(seed=random.randint(0, 9))", SHOW,
        "r.py, line 2: random.randint(0, 9) is more than literals, and nothing is executed"),
    "an import": (
        "import os\n" + HEAD, SHOW,
        "r.py, line 1: import os is more than literals, and nothing is executed"),
    "a name that is not assigned": (
        HEAD + "schedule = dict(lr=base_lr)", SHOW,
        "r.py, line 2: base_lr is more than literals, and nothing is executed"),
    "a value that the base lacks": (
        HEAD + "schedule = dict(lr={{_base_.schedule.rate}})", SHOW,
        "r.py, line 2: {{_base_.schedule.rate}} names schedule.rate, which the _base_ does not have"),
    "an arithmetic slip": (
        HEAD + "schedule = dict(lr=1 / 0)", SHOW,
        "r.py, line 2: 1 / 0 has no value: division by zero"),
    "no Python": (
        HEAD + "schedule = dict(lr=1", SHOW,
        "r.py, line 2: '(' was never closed"),
    "an override of a path that is none": (
        HEAD, [*SHOW, "--set", "schedule.weigth_decay=0.1"],
        "override schedule.weigth_decay: schedule has no 'weigth_decay', only iterations, batch_size, "
        "images_per_loss, lr, head_lr, weight_decay, betas, warmup, warmup_ratio, power; did you mean "
        "schedule.weight_decay?"),
    "an override out of range": (
        HEAD, [*SHOW, "--set", "schedule.lr=-1"],
        "override schedule.lr=-1: schedule.lr is -1: give a number above 0"),
    "an override of a type alone": (
        HEAD, [*SHOW, "--set", "model.threshold.type=FixedThreshold"],
        "override model.threshold.type='FixedThreshold': model.threshold.initial is unknown to FixedThreshold; there "
        "are value (to drop what another component left: _delete_=True in a file, or --set "
        "'model.threshold={\"type\": \"FixedThreshold\", ...}')"),
    "a key of a plan": (
        P + "row = dict(a=dict())", PLAN,
        "p.py, line 3: row is unknown; did you mean rows?"),
    "a key of a row": (
        P + "rows = dict(\n    a=dict(lable='A'),\n)", PLAN,
        "p.py, line 4: rows.a.lable is unknown; did you mean label?"),
    "a path of a row": (
        P + "rows = dict(\n    a=dict(set={'model.tau': 0.2}),\n)", PLAN,
        "p.py, line 4: row a: override model.tau: model has no 'tau', only type, network, students, discrepancy, "
        "threshold, noise_filter, consistency, segmentation, patch_contrast, refine, perturb, own_view, tau_l, "
        "cam_scales, weights; did you mean model.tau_l?"),
    "a value of a row": (
        P + "rows = dict(\n    a=dict(set={\n        'model.tau_l': 2}),\n)", PLAN,
        "p.py, line 5: row a: model.tau_l is 2: give a number in [0, 1]"),
    "a component of a row": (
        P + "rows = dict(a=dict(set={'model.noise_filter': dict(type='TrustNone')}))", PLAN,
        "p.py, line 3: row a: model.noise_filter.type is 'TrustNone', which is no noise filter; did you mean "
        "TrustAll?"),
    "a value that a plan varies": (
        P + "vary = dict(paths=['model.tau_l'], values=[0.2, 1.2])", PLAN,
        "p.py, line 3: row 1.2: model.tau_l is 1.2: give a number in [0, 1]"),
    "a factor of a plan": (
        P + "factors = dict(A=dict(without={'model.students': dict(type='OneStudent')}))\nrows = dict(a=dict(has=[]))",
        PLAN,
        "p.py, line 3: factors.A.without: model.students.type is 'OneStudent', which is no students; did you mean "
        "SingleStudent?"),
    "a key of a sweep": (
        S + "space = {'model.tau_l': dict(type='float', low=0.1, high=0.4)}\ntrails = 3", SWEEP,
        "s.py, line 7: trails is unknown; did you mean trials?"),
    "a path of a parameter": (
        S + "space = {\n    'model.tau': dict(type='float', low=0.1, high=0.4)}", SWEEP,
        "s.py, line 7: space.model.tau: override model.tau: model has no 'tau', only type, network, students, "
        "discrepancy, threshold, noise_filter, consistency, segmentation, patch_contrast, refine, perturb, own_view, "
        "tau_l, cam_scales, weights; did you mean model.tau_l?"),
    "an end of a parameter": (
        S + "space = {\n    'model.tau_l': dict(type='float', low=0.1, high=1.4)}", SWEEP,
        "s.py, line 7: space.model.tau_l: model.tau_l is 1.4: give a number in [0, 1]"),
    "a key of a parameter": (
        S + "space = {\n    'model.tau_l': dict(type='float', low=0.1, hi=0.4)}", SWEEP,
        "s.py, line 7: space.model.tau_l.hi is unknown; did you mean high?"),
    "a sampler": (
        S.replace("'random'", "'randm'") + "space = {'model.tau_l': dict(type='float', low=0.1, high=0.4)}", SWEEP,
        "s.py, line 3: sampler.type names no sampler 'randm'; did you mean random?"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FAULTS)
def test_each_kind_of_fault_is_one_line(kind, tmp_path, monkeypatch, capsys):
    assert printed(kind, tmp_path, monkeypatch, capsys) == (2, "", [FAULTS[kind][2]])


def printed(kind, tmp_path, monkeypatch, capsys):
    text, words, _ = FAULTS[kind]
    monkeypatch.chdir(tmp_path)
    Path(words[1] if words is SHOW or words[1] == "r.py" else words[2]).write_text(text)
    code = main(words)
    out, err = capsys.readouterr()
    base = TOY.parents[1] / "_base_" / "method" / "dupl_vitb.py"
    lines = [line.removeprefix("dupl: ") for line in err.splitlines()]
    lines = [
        line.removeprefix(f"{tmp_path}/").replace(str(tmp_path), "HERE").replace(str(base), "TOYBASE") for line in lines
    ]
    return code, out, lines


@pytest.mark.parametrize(
    "words",
    [
        ["show", "r.py"],
        ["doctor", "r.py"],
        ["data", "check", "r.py"],
        ["train", "r.py", "--work-dir", "run"],
        ["eval", "r.py", "--checkpoint", "x.pth"],
        ["show", "--plan", "p.py"],
        ["ablate", "p.py"],
        ["report", "p.py"],
        ["runs", "--plan", "p.py"],
        ["show", "--sweep", "s.py"],
        ["sweep", "s.py"],
        ["report", "s.py"],
    ],
    ids=" ".join,
)
def test_every_command_prints_it(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    Path("r.py").write_text(HEAD + "evaluation = dict(cam_treshold=0.4)\n")
    Path("p.py").write_text(P.replace("demo/ablation", "r.py") + "rows = dict(a=dict())\n")
    space = "space = {'model.tau_l': dict(type='float', low=0.1, high=0.4)}\n"
    Path("s.py").write_text(S.replace("demo/ablation", "r.py") + space)
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(
        f"{tmp_path / 'r.py'}, line 2: evaluation.cam_treshold is unknown; did you mean cam_threshold?"
    )
    assert not Path("run").exists()
