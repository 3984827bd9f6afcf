"""The shipped plans: each expands without torch, means what its table means, and every row of it builds."""

from __future__ import annotations

import functools
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dupl import api
from dupl.cli import build_parser, main
from dupl.config import catalogue, overrides
from dupl.config.fingerprint import config_id
from dupl.config.slots import switches
from dupl.engine import build
from dupl.errors import UserError
from dupl.plans.plan import load
from dupl.registry import DATASETS
from dupl.runs.metric_names import metric_names

NAMES = catalogue.names("ablations")
DOCS = Path(__file__).parents[1] / "docs" / "how-to" / "ablations.md"
PAPER = ("table3_upper_bound", "table4_components", "table4_leave_one_out", "table5a_threshold", "table5b_warmup")
PAPER = (*PAPER, "table6_discrepancy", "fig2_confirmation_bias", "fig7a_overactivation", "released_vs_paper")
PAPER = (*PAPER, "table1_cam", "table2_segmentation", "table2_segmentation_coco", "fig7b_overactivation")
METHODS = ("animals_methods", "demo_methods", "cross_methods")
COMPONENTS = ["DS", "L_dis", "DTA", "ANF", "L_reg"]


@pytest.fixture(scope="module", params=NAMES)
def plan(request):
    """Each shipped plan."""
    return plan_named(request.param)


@functools.cache
def plan_named(name):
    return load(name)


@functools.cache
def first_seed(name):
    """A plan's runs by row."""
    return {run.row: run for run in plan_named(name).expand(seeds=[0])}


def rows_of(name):
    return {row.key: row for row in plan_named(name).rows}


def test_the_tables_are_there():
    assert {
        *PAPER,
        "demo_table4",
        "demo_table5a",
        "demo_table5b",
        "demo_table6",
        *METHODS,
        "demo_leave_one_out",
        "animals_table4",
    } <= set(NAMES)


def test_the_docstring_says_protocol_cost_and_command(plan):
    assert plan.title and re.search(r"^Protocol: ", plan.doc, re.M)
    commands = [line.split()[1:] for line in plan.doc.splitlines() if line.startswith("    dupl ")]
    parsed = [build_parser().parse_args(command) for command in commands]
    assert parsed and all(a.command == "ablate" and a.plans == [plan.name] for a in parsed)
    assert all(plan.expand(a.rows, a.seeds, overrides.parse(a.set)) for a in parsed)
    runs = len(plan.expand())
    seeds = f"{len(plan.trained)} rows x {len(plan.seeds)} seeds = " if len(plan.seeds) > 1 else ""
    assert re.search(rf"^Cost: {seeds}{runs} runs ", plan.doc, re.M)


def test_the_columns_are_metrics_of_every_row(plan):
    for run in first_seed(plan.name).values():
        classes = DATASETS.get(run.config.data.train.type).classes
        students = 1 if run.config.model.students.type == "SingleStudent" else 2
        subset = run.config.evaluation.subset
        assert set(subset.classes) <= set(classes)
        known = metric_names(students, subset.name)
        for column in plan.columns:
            assert column.metric in known
            assert column.protocol == "train" or column.metric.startswith("seg/"), "only Seg. has a final protocol"


BUILT = set()  # by fingerprint: plans share rows


def test_every_row_builds(plan):
    """With the network of the demo in place of a ViT-B; every other part is the row's own."""
    network = first_seed("demo_table4")["L_reg"].config.model.network.to_dict()
    for run in first_seed(plan.name).values():
        if run.fingerprint in BUILT:
            continue
        BUILT.add(run.fingerprint)
        small = {
            "model.network": {**network, "pooling": run.config.model.network.get("pooling", "max")},
            "runtime.device": "cpu",
        }
        config = overrides.apply(run.config, small)
        classes = DATASETS.get(config.data.train.type).classes
        model = build.build_model(config, len(classes), torch.device("cpu"))
        assert len(model.students) in (1, 2)


def test_check_marks_are_the_components_that_are_on(plan):
    marks = [key for key in COMPONENTS if key in plan.factors]
    runs = first_seed(plan.name)
    for row in plan.trained:
        on = [part.slot.mark for part in switches(runs[row.key].config.model) if part.on]
        assert [key for key in marks if key in row.has] == [key for key in on if key in marks]


def test_numbers_of_the_paper_stand_where_its_data_set_does(plan):
    papers = plan.base.startswith(("voc/", "coco/"))
    assert papers == (plan.name in PAPER)
    assert any(row.paper for row in plan.rows) == papers
    assert bool(plan.reference) != papers


def test_the_tables_of_methods_agree_with_what_the_text_says_of_them():
    table1, table2 = rows_of("table1_cam"), rows_of("table2_segmentation")
    assert round(table1["dupl_in21k"].paper["M_train"] - table1["toco"].paper["M_train"], 1) == 3.8  # "76.0% (+3.8%)"
    assert round(table1["dupl_in21k"].paper["M"] - table1["toco"].paper["M"], 1) == 3.6
    assert round(table2["dupl_in21k"].paper["Seg"] - table2["toco"].paper["Seg"], 1) == 3.5  # "73.3% (+3.5%)"
    coco = rows_of("table2_segmentation_coco")
    assert round(coco["dupl_in21k"].paper["Seg"] - coco["toco"].paper["Seg"], 1) == 3.3  # "44.6% (+3.3%)"
    for key in ("afa", "slrnet", "one_stage"):
        assert table2[key].printed == (key != "afa") and table2[key].paper == rows_of("table3_upper_bound")[key].paper


def test_the_methods_of_a_table_have_the_same_data_schedule_and_network():
    for name in ("animals_methods", "demo_methods"):
        configs = [run.config for run in first_seed(name).values()]
        assert len({config.model.type for config in configs}) == len(configs)
        for part in ("data.train", "data.val", "schedule.iterations", "schedule.batch_size"):
            section, key = part.split(".")
            assert all(config[section][key] == configs[0][section][key] for config in configs), part
        backbones = [config.model.network.backbone.to_dict() for config in configs]
        assert all(one["name"] == backbones[0]["name"] for one in backbones)


def test_table_3_on_photos_has_the_runs_of_the_methods_table():
    methods, table3 = first_seed("animals_methods"), first_seed("animals_table3")
    assert table3["supervised"].config.model.type == "Supervised"
    assert {key: table3[key].fingerprint for key in methods} == {key: run.fingerprint for key, run in methods.items()}


class TestCrossMethods:
    SMALL = {
        "model.network.backbone.options": dict(img_size=32, patch_size=8, embed_dim=32, depth=3, num_heads=2),
        "model.network.head": dict(channels=16, dilation=1),
        "data.train.size": 32,
        "data.train.count": 8,
        "data.val.size": 32,
        "data.val.count": 4,
        "data.augment.crop": 32,
        "schedule.iterations": 2,
        "schedule.warmup": 1,
        "schedule.batch_size": 4,
        "schedule.images_per_loss": 4,
        "evaluation.size": 32,
        "evaluation.interval": 2,
        "runtime.device": "cpu",
    }

    def test_it_has_at_least_20_combinations_that_are_no_method_s_own(self):
        assert len(plan_named("cross_methods").rows) - len({"dupl", "toco", "cosa", "afa"}) >= 20

    @pytest.mark.parametrize("method", ["toco", "cosa"])
    def test_soft_labels_are_refused_where_a_method_makes_none(self, method):
        soft = {"model.segmentation": dict(type="CollisionCrossEntropy", start=0)}
        config = overrides.apply(catalogue.load(f"demo/{method}"), soft)
        with pytest.raises(UserError, match="learns from soft labels, which .* does not make"):
            build.build_model(config, 7, torch.device("cpu"))

    @pytest.mark.parametrize("row", [row.key for row in plan_named("cross_methods").rows])
    def test_a_cell_trains(self, row, tmp_path):
        """Two iterations of a tiny network with every component on from the first one."""
        config = first_seed("cross_methods")[row].config
        parts = {slot: part for slot, part in config.model.items() if isinstance(part, dict)}
        small = self.SMALL | {f"model.{slot}.start": 0 for slot, part in parts.items() if "start" in part}
        if parts.get("affinity", {}).get("type") == "AffinityFromAttention":
            small["model.affinity.spread_from"] = None if row.startswith("cosa") else 0
        if parts.get("class_contrast", {}).get("type") == "ClassTokenContrast":
            small["model.class_contrast.crop_size"] = 8
        run = api.train(config, tmp_path / "run", small)
        assert run.status.state == "finished" and run.status.iteration == 2
        losses = [line["loss"] for line in run.scalars() if "loss" in line]
        assert losses and all(math.isfinite(loss) for loss in losses)


def test_table_4_agrees_with_what_the_text_says_of_it():
    paper = {key: row.paper for key, row in rows_of("table4_components").items()}
    assert [*paper] == ["baseline", *COMPONENTS]
    step = {key: {c: round(paper[key][c] - paper[before][c], 1) for c in paper[key]} for before, key in pairs(paper)}
    assert step["DTA"]["Seg"] == 2.6  # "improves the segmentation performance by 2.6%"
    assert step["ANF"]["Seg"] == 1.5
    assert step["DTA"]["M"] + step["ANF"]["M"] == pytest.approx(4.3)  # "significantly improves the pseudo labels"
    assert paper["DS"]["Seg"] == 63.8 and paper["L_dis"]["M"] == 67.3 and paper["L_reg"]["Seg"] == 69.9


def pairs(keys):
    keys = list(keys)
    return zip(keys, keys[1:], strict=False)


def test_a_row_that_several_tables_have_is_one_run_with_one_number():
    full = config_id(catalogue.load("voc/dupl"))
    tables = ("table4_components", "table4_leave_one_out", "table5a_threshold", "table5b_warmup", "table6_discrepancy")
    seen = {}
    for name in tables:
        plan = plan_named(name)
        for row in plan.rows:
            run = first_seed(plan.name)[row.key]
            for column in plan.columns:
                if column.key in row.paper:
                    key = (run.fingerprint, column.metric, column.protocol)
                    seen.setdefault(key, {})[name] = row.paper[column.key]
    assert all(len(set(numbers.values())) == 1 for numbers in seen.values())
    assert set(seen[full, "cam/best/mIoU", "train"]) == set(tables)
    assert set(seen[full, "seg/best/mIoU", "final"]) == set(tables[2:])
    assert sum(len(numbers) > 1 for numbers in seen.values()) == 6


def test_the_heads_warm_up_moves_both_starts():
    for run in [*first_seed("table5b_warmup").values(), *first_seed("demo_table5b").values()]:
        model = run.config.model
        assert model.noise_filter.start == model.consistency.start == int(run.row)


def test_the_demo_of_the_warm_up_is_previewed(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["ablate", "demo_table5b", "--seeds", "0", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert all(key in out for key in ("155", "185", "215", "240"))


def test_the_threshold_s_table_moves_its_end_alone():
    for name in ("table5a_threshold", "demo_table5a"):
        for run in first_seed(name).values():
            threshold = run.config.model.threshold.to_dict()
            assert threshold == {"type": "CosineDescent", "initial": 0.7, "final": float(run.row)}


def test_low_fixed_threshold_and_nothing_but_the_two_students():
    runs = first_seed("fig7a_overactivation")
    for key, on in (("baseline", set()), ("dual", {"DS", "L_dis"})):
        model = runs[key].config.model
        assert model.threshold.to_dict() == {"type": "FixedThreshold", "value": 0.5}
        assert {part.slot.mark for part in switches(model) if part.on} == on
    again = first_seed("fig2_confirmation_bias")
    assert {run.fingerprint for run in again.values()} == {run.fingerprint for run in runs.values()}


def test_all_released_forms_are_the_released_recipe():
    runs = first_seed("released_vs_paper")
    released = catalogue.load("voc/dupl_released")
    assert overrides.diff(runs["released"].config, released) == {}
    assert runs["paper"].fingerprint == config_id(catalogue.load("voc/dupl"))
    changed = {path for key in rows_of("released_vs_paper")["released"].has for path in runs[key].changes}
    assert changed == set(runs["released"].changes), "each form is the only change of a row of its own"


def test_the_demo_s_tables_share_the_full_model():
    full = config_id(catalogue.load("demo/ablation"))
    for name, key in (
        ("demo_table4", "L_reg"),
        ("demo_table5a", "0.55"),
        ("demo_table5b", "185"),
        ("demo_table6", "L_dis"),
    ):
        assert first_seed(name)[key].fingerprint == full


def test_the_upper_bound_is_of_the_same_network():
    runs = first_seed("table3_upper_bound")
    for supervised, dupl in (("supervised", "dupl"), ("supervised_in21k", "dupl_in21k")):
        a, b = runs[supervised].config, runs[dupl].config
        assert a.model.network == b.model.network and a.schedule == b.schedule and a.data.val == b.data.val
    assert runs["toco"].config.model.network.head == runs["supervised"].config.model.network.head
    rows = rows_of("table3_upper_bound")
    for supervised, dupl, ratio in (("supervised", "dupl", 89.7), ("supervised_in21k", "dupl_in21k", 89.1)):
        assert round(100 * rows[dupl].paper["Seg"] / rows[supervised].paper["Seg"], 1) == ratio


def test_no_torch_to_load_and_expand():
    code = (
        "import sys; from dupl.plans.plan import load\n"
        f"runs = [run for name in {NAMES} for run in load(name).expand()]\n"
        "print(sorted({'torch', 'torchvision', 'timm', 'dupl.method', 'dupl.engine'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class TestShow:
    def test_it_lists_the_plans(self, capsys):
        assert main(["show", "--plan"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines] == NAMES
        assert all(len(line.split()) > 2 for line in lines), "with their first line"

    def test_it_shows_one(self, capsys):
        assert main(["show", "--plan", "table4_components"]) == 0
        out = capsys.readouterr().out
        assert out.startswith("Table 4: ")
        assert "6 rows x 3 seeds (0, 1, 2)" in out
        assert "Seg.: seg/best/mIoU, protocol train" in out
        full = config_id(catalogue.load("voc/dupl"))
        assert re.search(rf"^L_reg +{full}  \+ L_reg +paper: M 73\.5, Seg\. 69\.9$", out, re.M)
        baseline = out[out.index("\nbaseline ") : out.index("\nDS ")]
        assert re.findall(r"^ +(model\.\w+)=", baseline, re.M) == [
            "model.students",
            "model.discrepancy",
            "model.threshold",
            "model.noise_filter",
            "model.consistency",
        ]

    def test_with_values_set(self, capsys):
        assert main(["show", "--plan", "demo_table5a", "--set", "schedule.iterations=5"]) == 0
        short = overrides.apply(catalogue.load("demo/ablation"), {"schedule.iterations": 5})
        assert config_id(short) in capsys.readouterr().out

    def test_a_typo(self, capsys):
        assert main(["show", "--plan", "table4_component"]) == 2
        assert "did you mean table4_components" in capsys.readouterr().err

    def test_what_all_rows_have_and_notes(self, capsys):
        assert main(["show", "--plan", "fig7a_overactivation"]) == 0
        out = capsys.readouterr().out
        assert "every row    model.threshold={'type': 'FixedThreshold', 'value': 0.5}" in out
        assert "the paper does not state the protocol of its 58.9" in out


DOCUMENTED = re.findall(r"^```python\n(.*?)^```", DOCS.read_text(), re.M | re.S)


def test_the_documented_plan_is_one(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(DOCUMENTED[0])
    plan = load(file)
    assert [row.label for row in plan.rows] == ["Baseline", "+ ANF", "+ L_reg"]
    assert plan.set and plan.rows[2].paper and plan.rows[2].note and plan.title == "What my filter does"


def test_a_plan_for_the_released_code_is_two_lines(tmp_path):
    source = catalogue.resolve("table4_components", "ablations")
    file = tmp_path / "released.py"
    text = DOCUMENTED[1].replace("PATH/TO/ablations/table4_components.py", str(source))
    file.write_text(text)
    assert load(file).expand(["L_reg"], [0])[0].fingerprint == config_id(catalogue.load("voc/dupl_released"))
    file.write_text(text.replace("released", "relased"))
    with pytest.raises(UserError, match="did you mean voc/dupl_released"):
        load(file)
