"""Optuna's side: samplers, pruners, storages by URL, and the table of trials."""

import json
import math

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from dupl.errors import UserError
from dupl.plans.samplers import SAMPLERS, make_pruner, make_sampler
from dupl.plans.space import suggest
from dupl.plans.study import open_storage, open_study, trials
from dupl.plans.sweep import load
from dupl.plans.wilcoxon import image_scores, scores, worse
from dupl.terminal import without_passwords

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def ask(study, sweep, number):
    """What the sweep's sampler draws for a trial of this number."""
    study.sampler = make_sampler(sweep.sampler, number)
    trial = study.ask()
    return trial, suggest(sweep.space, trial)


class TestSamplers:
    @pytest.mark.parametrize("kind", [kind for kind in SAMPLERS if kind != "grid"])
    def test_each_draws_from_the_space_and_the_same_again(self, lab, kind):
        few = {"n_startup_trials": 2} if "n_startup_trials" in SAMPLERS[kind] else {}
        few |= {"population_size": 3} if kind == "NSGA-II" else {}
        sweep = load(lab.sweep(sampler=dict(type=kind, **few)), schema=None)

        def draw():
            study, found = optuna.create_study(direction="maximize"), []
            for number in range(5):
                trial, params = ask(study, sweep, number)
                study.tell(trial, -((params["toy.x"] - 0.3) ** 2))
                found.append((params["toy.x"], params["toy.y"]))
            return found

        first = draw()
        assert all(0 <= value <= 1 for point in first for value in point)
        assert len(set(first)) > 1
        assert first == draw()

    def test_workers_do_not_draw_alike(self, lab):
        sweep = load(lab.sweep(sampler=dict(type="TPE")), schema=None)
        drawn = [ask(optuna.create_study(), sweep, number)[1]["toy.x"] for number in range(8)]
        assert len(set(drawn)) == 8


def history(study, *courses, state=TrialState.COMPLETE):
    """Adds trials with these values at the evaluations 1, 2, ..."""
    for course in courses:
        steps = dict(enumerate(course, 1))
        study.add_trial(create_trial(state=state, value=course[-1], intermediate_values=steps))


def pruner_of(file):
    """The pruner of a sweep file."""
    sweep = load(file, schema=None)
    return make_pruner(sweep.pruner, sweep.goal)


def decide(study, pruner, *values):
    """What a pruner says of a new trial after each of its evaluations."""
    trial, said = study.ask(), []
    for step, value in enumerate(values, 1):
        trial.report(value, step)
        said.append(pruner.prune(study, study.trials[trial.number]))
    return said


class TestPruners:
    def test_median(self, lab):
        spec = dict(type="median", n_startup_trials=3, n_warmup_steps=1, interval_steps=1, n_min_trials=3)
        pruner = pruner_of(lab.sweep(pruner=spec))
        study = optuna.create_study(direction="maximize")
        history(study, [10, 20, 30], [20, 30, 40])
        assert decide(study, pruner, 0, 0, 0) == [False, False, False]  # two are too few
        history(study, [30, 40, 50])
        assert decide(study, pruner, 0, 29, 0) == [False, True, True]  # the median of the second is 30
        assert decide(study, pruner, 0, 31, 32) == [False, False, True]  # ... and of the best so far 40

    def test_asha_has_its_rungs_at_evaluations(self, lab):
        spec = dict(type="ASHA", min_resource=1, reduction_factor=2, min_early_stopping_rate=0)
        pruner = pruner_of(lab.sweep(pruner=spec))
        study = optuna.create_study(direction="maximize")
        assert decide(study, pruner, 50) == [False]
        assert decide(study, pruner, 40) == [True]  # not in the upper half of the first rung
        assert decide(study, pruner, 60) == [False]

    def test_hyperband_and_none(self, lab):
        study = optuna.create_study(study_name="s", direction="maximize")
        hyperband = pruner_of(lab.sweep(pruner=dict(type="Hyperband", reduction_factor=2)))
        assert not any(decide(study, hyperband, 90))
        assert any(any(decide(study, hyperband, value, value)) for value in range(80, 60, -1))
        none = pruner_of(lab.sweep(pruner=dict(type="none")))
        assert not any(decide(study, none, 0.0, 0.0, 0.0))


def evaluation(folder, iteration, values):
    """An evaluation of two students, of which the second is better, with one class per image: IoU = value / 100."""
    place = folder / "evaluation" / f"iter_{iteration:06d}"
    place.mkdir(parents=True)
    (place / "metrics.json").write_text(json.dumps({"metrics": {"seg/1/mIoU": 1.0, "seg/2/mIoU": 2.0}}))
    rows = [
        f"seg/{s},{image},star,{value if s == 2 else 0},{100 - value},0"
        for image, value in values.items()
        for s in (1, 2)
    ]
    (place / "per_image.csv").write_text("\n".join(["map,image,class,TP,FP,FN", *rows]) + "\n")
    return place


class TestWilcoxon:
    def test_scores_of_the_better_student(self, tmp_path):
        place = evaluation(tmp_path, 2, {"a": 25, "b": 50})
        with open(place / "per_image.csv", "a") as file:
            file.write("seg/2,a,cross,0,0,10\nseg/2,b,cross,0,0,0\n")  # missed; and not there at all
        assert scores(place, "seg/best/mIoU") == pytest.approx({"a": 0.125, "b": 0.5})
        assert scores(place, "seg/1/mIoU") == pytest.approx({"a": 0.0, "b": 0.0})
        assert scores(tmp_path / "none", "seg/best/mIoU") == {}

    def test_worse_needs_images_a_mean_and_a_test(self):
        good = {str(i): 0.25 + i / 128 for i in range(20)}
        bad = {image: value - 0.125 for image, value in good.items()}
        assert worse(bad, good, 0.05, 10)
        assert not worse(good, bad, 0.05, 10)
        assert not worse(good, good, 0.05, 10)
        assert not worse(bad, good, 0.05, 21)
        changes = [0.125, -0.125] * 9 + [0.125, -0.25]
        mixed = {image: value + change for (image, value), change in zip(good.items(), changes, strict=True)}
        assert not worse(mixed, good, 0.05, 10)  # lower on average, but not told apart

    def test_it_compares_the_same_evaluation_with_the_best_trial(self, lab, tmp_path):
        spec = dict(type="Wilcoxon", p_threshold=0.05, n_startup_steps=1, min_images=10)
        pruner = pruner_of(lab.sweep(pruner=spec))
        study = optuna.create_study(direction="maximize")
        names = [f"i{n}" for n in range(12)]
        for who, (early, late) in dict(best=(50, 50), poor=(10, 10), fair=(90, 60)).items():
            evaluation(tmp_path / who, 2, dict.fromkeys(names, early))
            evaluation(tmp_path / who, 4, dict.fromkeys(names, late))
        at = {"1": 2, "2": 4}
        attrs = {who: {"folder": str(tmp_path / who), "at": at} for who in ("best", "poor", "fair")}
        best = create_trial(value=50.0, intermediate_values={1: 50.0, 2: 50.0}, user_attrs=attrs["best"])
        study.add_trial(best)
        for who, said in (("poor", [False, True]), ("fair", [False, False])):
            trial = study.ask()
            for key, value in attrs[who].items():
                trial.set_user_attr(key, value)
            found = []
            for step in (1, 2):
                trial.report(10.0, step)
                found.append(pruner.prune(study, study.trials[trial.number]))
            assert found == said
        assert image_scores(study.trials[1], 2, "seg/best/mIoU") == pytest.approx(dict.fromkeys(names, 0.1))


class TestStorages:
    @pytest.mark.parametrize("kind", ["sqlite", "journal"])
    def test_by_url(self, lab, kind):
        sweep = load(lab.sweep(), schema=None)
        made = open_study(sweep, lab.url(kind), create=True)
        made.enqueue_trial({"toy.x": 0.25})
        again = open_study(sweep, open_storage(lab.url(kind)))
        assert (again.study_name, again.metric_names) == (sweep.study, ["seg/best/mIoU"])
        assert [trial.state for trial in again.trials] == [TrialState.WAITING]

    @pytest.mark.parametrize("url", ["mysql://a/b", "runs.db", "journal:", "grpc://host", "sqlite:////proc/none/s.db"])
    def test_no_storage(self, url):
        with pytest.raises((UserError, OSError)):
            open_storage(url)

    def test_a_study_that_is_not_there(self, lab):
        sweep = load(lab.sweep(), schema=None)
        with pytest.raises(UserError, match="has no study"):
            open_study(sweep, root=lab.root)
        with pytest.raises(UserError, match="has no study"):
            open_study(sweep, lab.url())
        assert not lab.root.exists()  # looking leaves nothing behind

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("postgresql://me:secret@host:5432/db", "postgresql://me@host:5432/db"),
            ("postgresql://me:se:c@ret@host/db", "postgresql://me@host/db"),
            ("postgresql+psycopg://:secret@host/db", "postgresql+psycopg://@host/db"),
            ("postgresql://me@host/db", "postgresql://me@host/db"),
            ("postgresql://h/db?user=me&password=secret", "postgresql://h/db?user=me&password=***"),
            (
                "postgresql://h/db?PassWord=secret&sslpassword=se%20cret",
                "postgresql://h/db?PassWord=***&sslpassword=***",
            ),
            ("sqlite:///runs/s.db", "sqlite:///runs/s.db"),
            ("grpc://host:13000", "grpc://host:13000"),
        ],
    )
    def test_passwords_are_not_shown(self, url, shown):
        assert without_passwords(url) == shown
        assert "ecret" not in without_passwords(f"--storage {url}: no answer")

    @pytest.mark.parametrize("scheme", ["postgresql", "mysql", "grpc"])
    @pytest.mark.parametrize("rest", ["//me:secret@nowhere.invalid:1/db", "//nowhere.invalid:1/db?password=secret"])
    def test_a_storage_that_cannot_be_had_is_told_without_its_password(self, scheme, rest):
        if scheme == "postgresql":  # without its driver the extra is named, and no address
            pytest.importorskip("psycopg", reason="psycopg is not installed (extra postgres)")
        with pytest.raises(UserError) as caught:
            open_storage(f"{scheme}:{rest}")
        assert "secret" not in str(caught.value) and f"--storage {scheme}://" in str(caught.value)


class TestFrame:
    def test_states_values_and_parameters(self):
        study = optuna.create_study(directions=["maximize", "minimize"])
        floats = optuna.distributions.FloatDistribution(0, 1)
        done = dict(params={"x": 0.5}, distributions={"x": floats}, values=[60.0, 2.0])
        study.add_trial(create_trial(**done, user_attrs=dict(run="abc", folder="f", iteration=6, seconds=9.0)))
        study.add_trial(create_trial(state=TrialState.FAIL, user_attrs=dict(reason="no disk")))
        study.enqueue_trial({})
        frame = trials(study)
        assert list(frame["state"]) == ["complete", "failed", "waiting"]
        assert frame["value"][0] == 60.0 and math.isnan(frame["value"][1])
        assert frame["values"][0] == [60.0, 2.0] and frame["params/x"][0] == 0.5
        assert tuple(frame.loc[0, ["run", "folder", "iteration", "seconds"]]) == ("abc", "f", 6, 9.0)
        assert frame["reason"][1] == "no disk"

    def test_of_no_trials(self):
        frame = trials(optuna.create_study())
        assert len(frame) == 0 and {"number", "state", "value", "reason"} <= set(frame)
