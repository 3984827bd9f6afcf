import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from dupl.execute.job import TETHER, Step, train_command
from dupl.execute.order import End, Order, encode, stop_file
from dupl.execute.worker import ask_to_stop, kill_marked, work
from dupl.lock import Watch, hold
from dupl.runs.layout import LOG
from dupl.runs.run import Run

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and prctl")


def start(job, **order) -> subprocess.Popen:
    """A worker in a process of its own."""
    words = [sys.executable, "-m", "dupl.execute.worker", encode(job, Order(**{"ticket": "t", **order}))]
    return subprocess.Popen(words, start_new_session=True, stdout=subprocess.PIPE, text=True)


def answer(worker: subprocess.Popen) -> End:
    """What a worker says at its end."""
    said = worker.communicate(timeout=20)[0]
    assert worker.returncode == 0
    return End(**json.loads(said))


class TestWork:
    def test_a_job_is_brought_to_its_end(self, store):
        job = store.job("a", evaluate=True)
        end = work(job, Order("t"))
        assert store.lines() == ["a 1", "a 2", "a 3", "a eval"]
        assert (store.status("a").state, end) == ("finished", End("finished"))
        assert job.todo(Path(job.folder)) is None
        log = (store.root / "toy-a" / LOG).read_text()
        assert log.count("== 2") == 2
        assert "toy_eval.py" in log

    def test_what_is_done_is_not_done_again(self, store):
        job = store.job("a", evaluate=True)
        work(job, Order("t"))
        work(job, Order("u"))
        assert len(store.lines()) == 4
        Path(job.folder, "evaluation/val_final-1-crf-torch_iter_last/metrics.json").unlink()
        work(job, Order("v"))
        assert store.lines()[4:] == ["a eval"]

    @pytest.mark.parametrize("changes", [dict(iter=1), dict(split="train"), dict(metrics={"seg/1/mIoU": 50.0})])
    def test_an_evaluation_of_something_else_is_not_it(self, store, changes):
        job = store.job("a", evaluate=True)
        work(job, Order("t"))
        file = Path(job.folder, "evaluation/val_final-1-crf-torch_iter_last/metrics.json")
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))
        assert job.todo(Path(job.folder)) == job.steps[1]

    def test_a_held_run_is_left_alone(self, store):
        job = store.job("a")
        with hold(job.folder):
            assert work(job, Order("t")) == End("held")
        assert store.lines() == []
        assert not Run(job.folder).exists()

    def test_it_goes_where_the_run_is_whatever_a_plan_calls_it(self, store):
        job = store.job("a", crash_at=2, crashes=1)
        work(job, Order("t"))
        elsewhere = replace(job, folder=str(store.root / "another-plans-name-for-it"))
        work(elsewhere, Order("u"))
        assert store.status("a").state == "finished"
        assert not Path(elsewhere.folder).exists()

    def test_a_folder_that_is_gone_is_made_anew(self, store):
        job = store.job("a")
        work(job, Order("t"))
        os.rename(job.folder, store.root / "moved")
        work(replace(job, folder=str(store.root / "b")), Order("u"))
        assert Run(store.root / "b").status.state == "finished"


class TestFailing:
    def test_a_run_that_says_why(self, store):
        script = "from dupl.runs.run import Run; import sys; r = Run.create(sys.argv[1], '', 'a', [], 0)"
        fail = f"{script}; r.update(state='failed', error='RunError: L_seg is NaN'); sys.exit(1)"
        job = replace(store.job("a"), steps=(Step((sys.executable, "-c", fail, "{folder}")),))
        end = work(job, Order("t"))
        assert (end.outcome, end.error, end.hopeless) == ("failed", "RunError: L_seg is NaN", False)

    @pytest.mark.parametrize(
        ("before", "code"), [(dict(state="interrupted"), 2), (dict(state="failed", error="L_seg is NaN"), 1)]
    )
    def test_what_an_attempt_before_said_is_not_taken_for_its_words(self, store, before, code):
        job = store.job("a")
        Run.create(job.folder, "", "a", [], 0).update(**before)
        say = f"import sys; print('dupl: no folder /data'); sys.exit({code})"
        end = work(replace(job, steps=(Step((sys.executable, "-c", say)),)), Order("t"))
        assert (end.outcome, end.error) == ("failed", f"no folder /data (exit code {code})")
        assert end.hopeless == (code == 2)

    @pytest.mark.parametrize(("code", "hopeless"), [(1, False), (2, True)])
    def test_one_that_says_it_on_its_last_line(self, store, code, hopeless):
        end = work(store.job("a", crash_at=2, crashes=1, code=code), Order("t"))
        said = f"said before it died (exit code {code})"
        assert (end.outcome, end.error, end.hopeless) == ("failed", said, hopeless)
        assert (store.status("a").state, store.status("a").error) == ("failed", said)

    def test_one_that_is_killed(self, store):
        end = work(store.job("a", crash_at=2, crashes=1, kill=True), Order("t"))
        assert end.error == "killed by SIGKILL: out of memory?"
        assert (store.status("a").state, store.status("a").error) == ("failed", end.error)

    @pytest.mark.parametrize(
        ("words", "error"),
        [
            (("-c", "pass"), "the command ended without an error, but left no finished run"),
            (("-c", "import sys; sys.exit(3)"), "nothing said (exit code 3)"),
        ],
    )
    def test_one_that_leaves_nothing(self, store, words, error):
        job = replace(store.job("a"), steps=(Step((sys.executable, *words)),))
        assert work(job, Order("t")).error == error

    def test_an_evaluation_without_the_metric_of_the_plan(self, store):
        job = store.job("a", evaluate=True)
        job = replace(job, steps=(job.steps[0], replace(job.steps[1], metrics=("seg/best/mIoU", "cam/best/mIoU"))))
        error = "the command ended without an error, but left no seg/best/mIoU, cam/best/mIoU (final)"
        assert work(job, Order("t")).error == error
        assert store.status("a").state == "finished"

    def test_a_command_that_is_not_there(self, store):
        job = replace(store.job("a"), steps=(Step(("/no/such/program",)),))
        assert work(job, Order("t")).error == "/no/such/program: No such file or directory (exit code 1)"


@needs_proc
class TestStopping:
    def begun(self, store, helpers, iteration=2):
        helpers["until"](lambda: f"a {iteration}" in store.lines())

    def proves_resumable(self, store, job):
        """The run stopped at an iteration and goes on from the very next one."""
        status = store.status("a")
        assert status.state == "interrupted"
        assert 2 <= status.iteration < 400
        before = len(store.lines())
        assert before == status.iteration
        config = Path(job.steps[0].command[2])
        config.write_text(config.read_text().replace("400", str(before + 2)))
        work(job, Order("again"))
        assert store.lines() == [f"a {i}" for i in range(1, before + 3)]

    def test_by_its_stop_file(self, store, helpers):
        job = store.job("a", iterations=400, pace=0.05)
        worker = start(job)
        self.begun(store, helpers)
        stop_file(job, "t").touch()
        assert answer(worker) == End("interrupted")
        assert not stop_file(job, "t").exists()
        self.proves_resumable(store, job)

    def test_before_it_begins(self, store):
        job = store.job("a")
        stop_file(job, "t").touch()
        work(job, Order("t"))
        assert (store.lines(), Path(job.folder).exists()) == ([], False)

    def test_by_a_signal(self, store, helpers):
        job = store.job("a", iterations=400, pace=0.05)
        worker = start(job)
        self.begun(store, helpers)
        worker.send_signal(signal.SIGUSR2)
        assert answer(worker) == End("interrupted")
        self.proves_resumable(store, job)

    def test_a_signal_before_the_first_iteration_counts_as_a_failure(self, store, helpers):
        job = store.job("a", iterations=400, pace=60)
        worker = start(job, grace=0.1)
        helpers["until"](lambda: Run(job.folder).exists())
        worker.send_signal(signal.SIGTERM)
        assert answer(worker) == End("interrupted", "stopped by a signal before it got any further")

    def test_when_its_parent_dies(self, store, helpers):
        job = store.job("a", iterations=400, pace=0.05)
        script = textwrap.dedent(
            """
            import os, subprocess, sys
            job = sys.argv[1].replace('"parent": 0', f'"parent": {os.getpid()}')
            subprocess.Popen([sys.executable, "-m", "dupl.execute.worker", job], start_new_session=True)
            sys.stdin.read()
            """
        )
        parent = subprocess.Popen([sys.executable, "-c", script, encode(job, Order("t"))], stdin=subprocess.PIPE)
        self.begun(store, helpers)
        parent.kill()
        parent.communicate()
        helpers["until"](lambda: store.status("a").state == "interrupted")
        self.proves_resumable(store, job)

    def test_one_that_does_not_stop_in_time_is_killed(self, store, helpers):
        deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); "
        job = replace(store.job("a"), steps=(Step((sys.executable, "-c", deaf + "time.sleep(60)")),))
        worker = start(job, grace=0.5)
        helpers["until"](lambda: "deaf\n" in Path(job.folder, LOG).read_text() if Path(job.folder, LOG).exists() else 0)
        stop_file(job, "t").touch()
        assert answer(worker).outcome == "interrupted"
        assert helpers["marked"]("t") == []


@needs_proc
class TestDying:
    def test_no_command_outlives_its_worker(self, store, helpers):
        job = store.job("a", iterations=400, pace=0.05)
        worker = start(job)
        helpers["until"](lambda: "a 1" in store.lines())
        assert helpers["marked"]("t")
        worker.kill()
        worker.wait()
        helpers["until"](lambda: not helpers["marked"]("t"), timeout=5)

    def test_who_takes_a_run_over_kills_what_is_left_of_the_one_before(self, store, helpers):
        job = store.job("a", iterations=8, pace=0.1)
        worker = start(job, ttl=2)
        helpers["until"](lambda: "a 1" in store.lines())
        left = [worker.pid, *helpers["marked"]("t")]
        for pid in left:  # the machine sleeps, so to say
            os.kill(pid, signal.SIGSTOP)
        before = len(store.lines())
        sight = Watch()(job.folder)
        assert sight.holder.mark == "t"
        assert work(job, Order("first")) == End("held"), "nobody said that it stands still"
        assert work(job, Order("second", over=sight.token)) == End("finished")
        assert helpers["marked"]("t") == []
        os.kill(worker.pid, signal.SIGCONT)
        assert answer(worker) == End("finished"), "which it finds done"
        lines = store.lines()
        assert lines[before - 1 :][-1] == "a 8"
        assert max(store.times().values()) <= 2  # the one that had been begun
        assert len(lines) <= 9

    def test_processes_without_the_mark_live(self, helpers):
        other = subprocess.Popen(["sleep", "30"], env={**os.environ, "DUPL_TICKET": "tt"})
        helpers["until"](lambda: helpers["marked"]("tt"))
        kill_marked("t")
        kill_marked("")
        assert other.poll() is None
        kill_marked("tt")
        assert other.wait(5) == -signal.SIGKILL

    def test_processes_of_torchrun_die_with_it(self, tmp_path, helpers):
        """It starts them in sessions of their own; killed at once, it cannot stop them."""
        script = tmp_path / "child.py"
        script.write_text("import time, pathlib, os, sys\npathlib.Path(sys.argv[1]).touch()\ntime.sleep(60)\n")
        words = train_command(tmp_path / "config.py", 2)
        begin = words[: words.index("--no-python") + 1]
        torchrun = subprocess.Popen(
            [*begin, *TETHER, sys.executable, str(script), str(tmp_path / "ready")],
            env={**os.environ, "DUPL_TICKET": "torchrun"},
        )
        helpers["until"](lambda: (tmp_path / "ready").exists(), timeout=60)
        torchrun.kill()
        torchrun.wait()
        helpers["until"](lambda: not helpers["marked"]("torchrun"), timeout=5)


class TestCommands:
    def test_one_process(self):
        assert train_command(Path("c.py")) == (
            sys.executable,
            *("-m", "dupl", "train", "c.py", "--work-dir", "{folder}", "--resume"),
        )

    def test_several_are_started_by_torchrun_each_on_a_tether(self):
        words = " ".join(train_command(Path("c.py"), 4)).replace(sys.executable, "python")
        assert words == (
            "python -m torch.distributed.run --standalone --nproc-per-node 4 --no-python "
            f"python -IS {TETHER[-1]} "
            "python -m dupl train c.py --work-dir {folder} --resume --launcher pytorch"
        )


FAKE_TORCHRUN = """
import os, pathlib, signal, subprocess, sys, time
def note(name):
    signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path(name).touch(), sys.exit(1)))
    pathlib.Path(f"{name}.up").touch()
if len(sys.argv) == 1:
    note("launcher")
    ranks = [subprocess.Popen([sys.executable, __file__, "rank"], env={**os.environ, "RANK": str(r)}) for r in (0, 1)]
    [rank.wait() for rank in ranks]
elif sys.argv[1] == "rank":
    rank = os.environ["RANK"]
    note(f"rank{rank}")
    child = subprocess.Popen([sys.executable, __file__, "loader"])
    child.wait()
else:
    note(f"loader{os.environ['RANK']}")
    time.sleep(60)
"""


@needs_proc
def test_of_a_distributed_training_the_ranks_are_asked_to_stop(tmp_path, helpers):
    script = tmp_path / "torchrun.py"
    script.write_text(FAKE_TORCHRUN)
    env = {**os.environ, "DUPL_TICKET": "asked"}
    child = subprocess.Popen([sys.executable, str(script)], cwd=tmp_path, env=env)
    names = ("launcher", "rank0", "rank1", "loader0", "loader1")
    try:
        helpers["until"](lambda: all((tmp_path / f"{name}.up").exists() for name in names))
        ask_to_stop(child, "asked")
        assert child.wait(20) == 0
        assert [name for name in names if (tmp_path / name).exists()] == ["rank0", "rank1"]
    finally:
        kill_marked("asked")
