"""Trials as runs of the store: told, pruned, refused, failed, stopped, and gone on with."""

import os
import signal

import pytest
from optuna.trial import TrialState

from dupl.errors import RunError
from dupl.execute import scheduler
from dupl.plans.study import open_storage, open_study, trials
from dupl.plans.sweep import load
from dupl.runs.run import Run
from dupl.runs.store import RunStore

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def goal(x, y, i=6):
    """What the toy measures."""
    return (80 - 100 * (x - 0.3) ** 2 - 50 * (y - 0.6) ** 2) * (1 - 0.5**i)


class TestTrials:
    def test_are_runs_of_the_store(self, lab, search):
        study, why = search(lab.sweep(), 4, jobs=2)
        frame = trials(study)
        assert why is None and list(frame["state"]) == ["complete"] * 4
        assert (frame["params/toy.x"][0], frame["params/toy.y"][0]) == (0.5, 0.5)  # the paper's point is trial 0
        for _, row in frame.iterrows():
            x, y = row["params/toy.x"], row["params/toy.y"]
            assert row["value"] == pytest.approx(goal(x, y))
            assert study.trials[row["number"]].intermediate_values == pytest.approx(
                {step: goal(x, y, 2 * step) for step in (1, 2, 3)}
            )
            status = Run(row["folder"]).status
            assert (status.state, status.fingerprint, row["seconds"]) == ("finished", row["run"], 216.0)
        assert {run.fingerprint for run in RunStore(lab.root).runs()} == set(frame["run"])
        assert lab.times() == {f"{run} {i}": 1 for run in frame["run"] for i in range(1, 7)}

    def test_more_trials_go_on_with_the_study(self, lab, search):
        file = lab.sweep()
        first = trials(search(file, 2)[0])
        both = trials(search(file, 4)[0])
        assert len(both) == 4 and list(both["run"][:2]) == list(first["run"])
        assert len(trials(search(file, 3)[0])) == 4
        assert set(lab.times().values()) == {1}

    def test_a_point_already_trained_is_told_and_not_run_again(self, lab, search):
        search(lab.sweep("one"), 1)
        study, _ = search(lab.sweep("two"), 2)
        frame = trials(study)
        assert list(frame["cached"]) == [True, False] and frame["value"][0] == pytest.approx(goal(0.5, 0.5))
        assert len(study.trials[0].intermediate_values) == 3
        assert set(lab.times().values()) == {1}

    def test_the_same_point_twice_is_one_run(self, lab, search):
        study, _ = search(lab.sweep(start_from=[{}, {}, {"toy.x": 0.25}, {"toy.x": 0.25}]), 4, jobs=2)
        frame = trials(study)
        assert list(frame["state"]) == ["complete"] * 4 and len(set(frame["run"])) == 2
        assert frame["value"][0] == frame["value"][1]
        assert set(lab.times().values()) == {1}

    def test_a_grid_is_visited_once(self, lab, search):
        space = {
            "toy.x": dict(type="float", low=0.0, high=1.0, step=0.5),
            "toy.y": dict(type="categorical", choices=[0.5, 0.6]),
        }
        study, _ = search(lab.sweep(space=space, sampler=dict(type="grid")), 99)
        points = [(t.params["toy.x"], t.params["toy.y"]) for t in study.trials]
        assert points[0] == (0.5, 0.5) and sorted(points) == [(x, y) for x in (0.0, 0.5, 1.0) for y in (0.5, 0.6)]

    def test_conditions(self, lab, search):
        part = dict(
            type="categorical", paths=["toy.part"], choices={"A": dict(type="A", z=1.0), "none": dict(type="None")}
        )
        space = {"part": part, "toy.part.z": dict(type="float", low=0.0, high=1.0, when={"part": "A"})}
        study, _ = search(lab.sweep(space=space, start_from=[{}, {"part": "none"}]), 5)
        for trial in study.trials:
            assert ("toy.part.z" in trial.params) == (trial.params["part"] == "A")
            text = Run(trial.user_attrs["folder"]).config_path.read_text()
            assert ("type='None'" in text) == (trial.params["part"] == "none")

    def test_two_goals(self, lab, search):
        goals = [dict(metric="seg/best/mIoU"), dict(metric="gpu_hours", direction="minimize")]
        study, _ = search(lab.sweep(goal=goals, sampler=dict(type="NSGA-II", population_size=2)), 3)
        assert [t.values[1] for t in study.trials] == pytest.approx([0.06] * 3)  # 216 s
        assert all(len(values) == 2 for values in trials(study)["values"])


class TestEnds:
    def test_pruned_while_training(self, lab, search):
        starts = [{"toy.x": 0.3, "toy.y": 0.6}, {"toy.x": 1.0, "toy.y": 0.0}]
        pruner = dict(type="median", n_startup_trials=1, n_warmup_steps=0, n_min_trials=1)
        study, _ = search(lab.sweep(start_from=starts, pruner=pruner, toy=dict(pace=0.25)), 2)
        frame = trials(study)
        assert list(frame["state"]) == ["complete", "pruned"]
        assert frame["reason"][1] == "pruned at evaluation 1 of 3" and frame["reason"][0] == ""
        assert 2 <= frame["iteration"][1] < 6
        assert Run(frame["folder"][1]).status.state == "interrupted"
        assert f"{frame['run'][1]} 6" not in lab.times()

    def test_what_breaks_a_constraint_is_not_run_and_drawn_again(self, lab, search):
        study, _ = search(lab.sweep(constraints=["toy.x <= 0.5"]), 6, jobs=2)
        frame = trials(study)
        run = frame[frame["state"] == "complete"]
        broke = frame[frame["state"] == "pruned"]
        assert len(run) == 6 and len(broke) > 0 and len(run) + len(broke) == len(frame)
        assert (run["params/toy.x"] <= 0.5).all() and (broke["params/toy.x"] > 0.5).all()
        assert set(broke["reason"]) == {"not run: it breaks toy.x <= 0.5"}
        assert {line.split()[0] for line in lab.times()} == set(run["run"])
        for trial in study.trials:  # what a sampler learns from
            by = trial.system_attrs["constraints:toy.x <= 0.5"]
            assert by == pytest.approx(max(0.0, trial.params["toy.x"] - 0.5))

    def test_a_run_that_fails_ends_its_trial_with_the_reason(self, lab, search):
        file = lab.sweep(start_from=[{}, {"toy.x": 0.9}], toy=dict(broken_from=0.8))
        frame = trials(search(file, 2, retries=1)[0])
        assert list(frame["state"]) == ["complete", "failed"]
        assert frame["reason"][1] == "x is too large (exit code 1)"
        assert lab.times()[f"{frame['run'][1]} 1"] == 2  # once more, as --retries says

    def test_a_disk_that_is_full_ends_no_trial(self, lab, search, monkeypatch):
        monkeypatch.setattr(scheduler, "AGAIN", 0.1)
        file, full = lab.sweep(start_from=[{"toy.x": 0.9}]), lab.folder / "full"
        full.touch()
        with pytest.raises(RunError, match=r"trial 0 could not be trained, by no fault .* --continue goes on with it"):
            search(file, 1, patience=0.5)
        (trial,) = open_study(load(file, schema=None), open_storage(lab.url())).trials
        assert trial.state in (TrialState.RUNNING, TrialState.WAITING), "a fault of the machine is not the trial's"
        full.unlink()
        study, why = search(file, 1)
        (again,) = study.trials
        assert why is None and (again.number, again.state) == (0, TrialState.COMPLETE)
        assert again.params["toy.x"] == 0.9 and again.params.items() >= trial.params.items()
        times = lab.times()
        run = again.user_attrs["run"]
        assert times[f"{run} 3"] > 2 and {times[f"{run} {i}"] for i in (1, 2, 4, 5, 6)} == {1}

    def test_a_goal_that_nothing_measures(self, lab, search):
        frame = trials(search(lab.sweep(goal=dict(metric="seg/beast/mIoU")), 1)[0])
        assert frame["state"][0] == "failed"
        assert frame["reason"][0] == "its last evaluation has no seg/beast/mIoU, only seg/best/mIoU"


class TestProcesses:
    def test_ctrl_c_leaves_everything_to_go_on_with(self, lab, search, waiting):
        file = lab.sweep(toy=dict(pace=0.3))
        process = lab.start(file, lab.url(), 2)
        waiting(process, "evaluated")
        os.kill(process.pid, signal.SIGINT)
        assert "interrupted" in process.communicate(timeout=60)[0]
        study, why = search(file, 2)
        assert why is None and [t.state for t in study.trials] == [TrialState.COMPLETE] * 2
        assert set(lab.times().values()) == {1}  # from its checkpoint

    def test_two_sweeps_at_once_do_not_meet(self, lab):
        files = [lab.sweep("one"), lab.sweep("two", space={"toy.y": dict(type="float", low=0.0, high=1.0)})]
        for process in [lab.start(file, lab.url(), 3) for file in files]:
            assert process.communicate(timeout=60)[0].endswith("end None\n")
        frames = [trials(open_study(load(file, schema=None), lab.url())) for file in files]
        assert [list(frame["state"]) for frame in frames] == [["complete"] * 3] * 2
        assert "params/toy.x" in frames[0] and "params/toy.x" not in frames[1]
        assert frames[0]["run"][0] == frames[1]["run"][0]  # their first point is one run
        assert set(lab.times().values()) == {1}
