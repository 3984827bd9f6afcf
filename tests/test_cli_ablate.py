"""``dupl ablate``: what it prints, runs, skips and refuses. A toy trains in most tests, the real one in the last."""

from __future__ import annotations

import io
import re
import shutil
import sys
from pathlib import Path

import pytest
from rich.console import Console

from dupl.cli import build_parser, main
from dupl.cli.execution import resources_of
from dupl.cli.live_table import LiveTable
from dupl.execute import job as jobs_of
from dupl.execute.eta import Course
from dupl.execute.job import Job, Step, plan_jobs
from dupl.execute.order import End
from dupl.execute.progress import Progress
from dupl.execute.time_remaining import TimeRemaining, clock
from dupl.plans.plan import load
from dupl.runs import scalars
from dupl.runs.run import Run
from dupl.runs.store import RunStore
from dupl.runs.stored_run import open_run

TOY = Path(__file__).parent / "execute" / "toy.py"
PLAN = '''
"""Where the threshold ends."""

base = {base!r}
seeds = [0, 1]
columns = dict(M=dict(metric="cam/best/mIoU"){more})
vary = dict(label="tau_h(T)", paths=["model.threshold.final"], values=dict(low=0.5, base=0.55))
'''


@pytest.fixture
def plan(tiny, tmp_path, monkeypatch) -> str:
    """A plan of two rows and two seeds over the tiny recipe, in the current folder, which is empty but for it."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(PLAN.format(base=tiny, more=""))
    return "mine.py"


@pytest.fixture
def toy(monkeypatch):
    """The toy trains in place of ``dupl train``."""
    command = lambda config, processes=1: (sys.executable, str(TOY), str(config), "{folder}")  # noqa: E731
    monkeypatch.setattr(jobs_of, "train_command", command)


def journal() -> list[str]:
    path = Path("runs/.plans/journal")
    return path.read_text().splitlines() if path.exists() else []


def printed(capsys, *argv, code=0) -> str:
    assert main(["ablate", *argv]) == code
    return capsys.readouterr().out


def test_the_examples_of_the_help_parse(capsys):
    with pytest.raises(SystemExit):
        main(["ablate", "--help"])
    lines = capsys.readouterr().out.split("examples:\n")[1].splitlines()
    assert len(lines) > 4
    for line in lines:
        words = re.split(r"  +", line.strip())[0].split()
        assert words[:2] == ["dupl", "ablate"]
        build_parser().parse_args(words[1:])


class TestDryRun:
    def test_every_run_with_its_difference_and_nothing_is_written(self, plan, capsys):
        out = printed(capsys, plan, "--dry-run", "--jobs", "2")
        low, base = (run.fingerprint for run in load(plan).expand(seeds=[1]))
        assert "4 runs; base " in out
        assert "low\n    model.threshold.final: 0.55 -> 0.5\n" in out
        assert "base\n    the base as it is\n" in out
        assert f"    seed 1  {low}  to run, unknown\n" in out
        assert f"    seed 1  {base}  to run, unknown\n" in out
        last = out.splitlines()[-1]
        assert last == (
            "time remaining: 4 runs, 4 of unknown length (the store has no similar run); hours and GPU hours unknown"
        )
        assert sorted(path.name for path in Path().iterdir()) == ["mine.py"]

    def test_what_is_done_and_the_hours_remaining_by_the_pace_of_the_store(self, plan, trained, capsys):
        shutil.copytree(trained, "runs/deep/by-hand")  # known by its fingerprint, wherever it lies
        run = Run("runs/deep/by-hand")
        run.update(seconds=24 * 60.0)
        (stored,) = RunStore("runs").runs()
        took = sorted(e.seconds for e in stored.evaluations)[1]  # of three evaluations
        hours = (24 * 60 + 3 * took) / 3600
        out = printed(capsys, plan, "--dry-run", "--jobs", "2", "--gpus", "none", "--seeds", "0")
        assert f"    seed 0  {run.status.fingerprint}  finished  {Path('runs/deep/by-hand').absolute()}\n" in out
        assert f"to run, {hours:.2f} h\n" in out
        assert out.splitlines()[-1] == (
            f"time remaining: 1 run; {hours:.2f} h of computing, about {hours:.2f} h with 2 at once, 0.00 GPU hours"
        )
        out = printed(capsys, plan, "--dry-run", "--jobs", "2", "--gpus", "0", "1")
        assert out.splitlines()[-1] == (
            f"time remaining: 3 runs; {3 * hours:.2f} h of computing, about {1.5 * hours:.2f} h with 2 at once, "
            f"{3 * hours:.2f} GPU hours"
        )

    def test_an_interrupted_run_counts_with_what_is_left_of_it(self, plan, trained, capsys):
        shutil.copytree(trained, "runs/a")
        Run("runs/a").update(state="interrupted", iteration=18, seconds=18 * 600.0)
        out = printed(capsys, plan, "--dry-run", "--rows", "base", "--seeds", "0")
        assert re.search(r"interrupted at 18 of 24, time remaining 1\.0\d h", out)

    def test_a_run_that_lacks_the_final_evaluation(self, plan, tiny, trained, capsys):
        Path(plan).write_text(PLAN.format(base=tiny, more=", F=dict(metric='seg/best/mIoU', protocol='final')"))
        shutil.copytree(trained, "runs/a")
        out = printed(capsys, plan, "--dry-run", "--rows", "base", "--seeds", "0")
        assert "trained, to be evaluated at 24 of 24, time remaining unknown" in out

    def test_rows_that_are_one_run(self, plan, tiny, capsys):
        vary = PLAN.format(base=tiny, more="")
        Path(plan).write_text(vary[: vary.index("vary")] + 'rows = dict(one=dict(), two=dict(alike="one"))\n')
        out = printed(capsys, plan, "--dry-run", "--seeds", "0")
        assert "2 runs, 1 different ones" in out
        assert "the same run as one\n" in out


class TestProcesses:
    """The processes of a run share the losses of a step."""

    @pytest.fixture
    def asked(self, monkeypatch):
        """Processes of the trainings that were planned."""
        found = []
        command = lambda config, processes=1: found.append(processes) or (sys.executable, "-c", "")  # noqa: E731
        monkeypatch.setattr(jobs_of, "train_command", command)
        return found

    @pytest.mark.parametrize(
        ("options", "processes"),
        [
            ([], 1),
            (["--set", "schedule.images_per_loss=2"], 1),
            (["--set", "schedule.images_per_loss=2", "--gpus-per-run", "2"], 2),
            (["--set", "schedule.images_per_loss=1", "--gpus-per-run", "4"], 4),
        ],
    )
    def test_are_started_by_torchrun(self, plan, asked, capsys, options, processes):
        printed(capsys, plan, "--dry-run", "--gpus", "none", *options)
        assert set(asked) == {processes}

    def test_torchrun_really_trains_them(self, plan, capsys):
        options = ["--gpus", "none", "--gpus-per-run", "2", "--set", "schedule.images_per_loss=2"]
        printed(capsys, plan, "--rows", "low", "--seeds", "0", *options)
        (stored,) = RunStore("runs").runs()
        log = (stored.path / "logs" / "ablate.log").read_text()
        assert (stored.state, stored.status.iteration) == ("finished", 24), log
        assert "batch 4 = 2 processes x 1 loss x 2 images per loss" in log
        assert "torch.distributed.run --standalone --nproc-per-node 2" in log

    def test_gpus_that_are_not_there(self, plan, capsys):
        assert main(["ablate", plan, "--gpus", "0", "--gpus-per-run", "2"]) == 2
        assert "2 GPUs per run, of 1" in capsys.readouterr().err

    @pytest.mark.parametrize(("images", "gpus", "start"), [(4, 2, "1"), (2, 3, "1 or 2"), (2, 4, "1 or 2")])
    def test_that_cannot_share_the_losses_of_a_step_are_refused(self, plan, capsys, images, gpus, start):
        """More processes than losses, or a number that does not divide; the row is named."""
        text = Path(plan).read_text()
        rows = f"rows = dict(one={{'set': {{'schedule.images_per_loss': {images}}}}})\n"
        Path(plan).write_text(text[: text.index("vary")] + rows)
        assert main(["ablate", plan, "--dry-run", "--gpus", "none", "--gpus-per-run", str(gpus)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"dupl: row one: {gpus} processes cannot share a step of ")
        assert line.endswith(f"start {start}")


class TestRunning:
    def test_it_runs_what_is_not_done_and_skips_the_rest(self, plan, toy, capsys):
        out = printed(capsys, plan, "--rows", "low", "--jobs", "2")
        assert out == "2 runs: 2 finished\n"
        assert len(journal()) == 6
        assert {run.state for run in RunStore("runs").runs()} == {"finished"}
        out = printed(capsys, plan, "--jobs", "2")
        assert out == "4 runs: 4 finished (2 were finished before)\n"
        assert len(journal()) == len(set(journal())) == 12
        names = {f"mine-{run.fingerprint}" for run in load(plan).expand()}
        assert {path.name.rpartition("-")[2] for path in Path("runs").iterdir() if path.name[0] != "."} == {
            name.rpartition("-")[2] for name in names
        }

    def test_states_come_as_lines_where_there_is_no_terminal(self, plan, toy, capsys):
        main(["ablate", plan, "--rows", "low", "--seeds", "1"])
        err = capsys.readouterr().err.splitlines()
        assert err[0].startswith("queued  low, seed 1")
        assert "finished  low, seed 1  3/3" in err
        assert err[-1] == "1/1 finished"

    def test_failures_are_told_with_their_reason_and_log(self, plan, toy, monkeypatch, capsys):
        fail = lambda config, processes=1: (sys.executable, "-c", "print('out of paper')")  # noqa: E731
        monkeypatch.setattr(jobs_of, "train_command", fail)
        assert main(["ablate", plan, "--retries", "0"]) == 1
        out, err = capsys.readouterr()
        assert re.search(r"failed: low, seed 0: the command ended .*  \(log: .*logs/ablate\.log\)", out)
        assert err.splitlines()[-1] == (
            "dupl: 2 of 4 runs failed, more than max_failed = 0.3 allows: fix the cause and repeat the command"
        )

    def test_plan_and_row_are_told_to_the_run(self, plan):
        (job,) = plan_jobs(load(plan).expand(["low"], [1]), "runs")
        assert (job.env, job.title) == ({"DUPL_PLAN": "mine", "DUPL_ROW": "low"}, "low, seed 1")
        assert Path(job.folder).parent == Path("runs").absolute()

    def test_for_real_with_the_final_protocol(self, plan, tiny, capsys):
        Path(plan).write_text(PLAN.format(base=tiny, more=", F=dict(metric='seg/best/mIoU', protocol='final')"))
        out = printed(capsys, plan, "--rows", "low", "--seeds", "1")
        assert out == "1 run: 1 finished\n"
        (stored,) = RunStore("runs").runs()
        assert (stored.status.state, stored.status.seed, stored.status.iteration) == ("finished", 1, 24)
        assert stored.config.model.threshold.final == 0.5
        assert "final" in {e.protocol for e in stored.evaluations}
        assert printed(capsys, plan, "--rows", "low", "--seeds", "1") == "1 run: 1 finished (1 were finished before)\n"


class TestMistakes:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--rows", "hihg"], "hihg"),
            (["--set", "model.threshold.finla=0.4"], "did you mean model.threshold.final"),
            (["--jobs", "0"], "--jobs 0: give at least 1"),
            (["--gpus", "0", "1", "--gpus-per-run", "3"], "3 GPUs per run, of 2"),
            (["--lease", "1"], "give at least 2 seconds"),
            (["--address", "host:1"], "--address is for --executor ray"),
            (["--executor", "slurm", "--slurm", "partition"], "write KEY=VALUE"),
            (["--executor", "slurm", "--gpus", "0"], "say --gpus-per-run"),
            (["--gpus", "none", "--runs-per-gpu", "2"], "--runs-per-gpu 2: there is no GPU to share"),
            (["--gpus", "0", "--runs-per-gpu", "0"], "--runs-per-gpu 0: give at least 1"),
            (["--executor", "slurm", "--runs-per-gpu", "2"], "Slurm shares a GPU by its own settings"),
        ],
    )
    def test_are_told_in_one_line_and_nothing_is_written(self, plan, capsys, options, message):
        assert main(["ablate", plan, *options]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert message in err
        assert len(err.splitlines()) == 1
        assert not Path("runs").exists()

    @pytest.mark.parametrize(("executor", "module"), [("ray", "ray"), ("slurm", "submitit")])
    def test_a_package_that_is_missing_is_named(self, plan, monkeypatch, capsys, executor, module):
        monkeypatch.setitem(sys.modules, module, None)
        assert main(["ablate", plan, "--executor", executor]) == 2
        assert f'pip install ".[{executor}]"' in capsys.readouterr().err


class TestProgress:
    def progress(self, *states):
        return [
            Progress(Job(s, f"row {s}", "", "", (), ""), state=s, ends=[End("failed", "L_seg is NaN")]) for s in states
        ]  # type: ignore[arg-type]

    def test_a_terminal_shows_what_matters_first(self):
        console = Console(file=io.StringIO(), force_terminal=True, width=100, height=9)
        states = ["finished", "waiting", "failed", "elsewhere", "running"]
        with LiveTable(console) as table:
            table(self.progress(*states), TimeRemaining({}, 1))
        text = console.file.getvalue()
        assert "1/5 finished, 1 running, 1 elsewhere, 1 failed, 1 waiting, eta unknown" in text
        assert "attempt 1 failed: L_seg is NaN" in text
        assert text.index("row running") < text.index("row elsewhere") < text.index("row failed")
        assert "and 2 more" in text

    @pytest.mark.parametrize(("slots", "eta"), [(1, "0:05:00"), (2, "0:02:30"), (5, "0:02:00")])
    def test_the_eta_is_of_the_work_shared_out_but_never_below_the_longest_run(self, slots, eta):
        remaining = TimeRemaining({}, slots)
        progress = self.progress("waiting", "running", "queued", "finished")
        remaining.eta = {"waiting": 120.0, "running": 60.0, "queued": 120.0}
        assert remaining.summary(progress).endswith(f"eta {eta}")
        remaining.eta["queued"] = None
        assert "eta at least " in remaining.summary(progress)

    def test_a_fresh_store_has_an_eta_once_a_run_has_logged_a_line(self, tmp_path):
        words, progress = Step(("true",)), []
        for name in ("running", "waiting"):
            job = Job(name, name, str(tmp_path), str(tmp_path / name), (words,), "")
            progress.append(Progress(job, state=name, folder=tmp_path / name))
        run = Run.create(tmp_path / "running", "", "running", [], 0)
        run.update(state="running", iterations=100)
        courses = dict.fromkeys(("running", "waiting"), Course(iterations=100, interval=100, pace=None, final=None))
        unknown = TimeRemaining(courses, 1)
        progress[0].run, progress[0].begun = open_run(run.path), True
        unknown.update(progress)
        assert unknown.eta == {"running": None, "waiting": None}
        scalars.append(run.path, {"iter": 20, "seconds": 0.5})
        remaining = TimeRemaining(courses, 1)
        remaining.update(progress)
        assert remaining.eta == {"running": 40.0, "waiting": 50.0}

    def test_clock(self):
        assert [clock(s) for s in (0.4, 61, 90061)] == ["0:00:00", "0:01:01", "1 day, 1:01:01"]


def test_gpus_none_is_the_cpu(plan, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    executor = resources_of(build_parser().parse_args(["ablate", plan])).open("runs")
    assert (executor.slots, executor.gpus) == (2, 1)
    executor = resources_of(build_parser().parse_args(["ablate", plan, "--runs-per-gpu", "3"])).open("runs")
    assert (executor.slots, executor.gpus) == (6, 1)
    executor = resources_of(build_parser().parse_args(["ablate", plan, "--gpus", "none"])).open("runs")
    assert (executor.slots, executor.gpus) == (1, 0)
