import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from dupl import process
from dupl.errors import UserError
from dupl.execute.job import Step
from dupl.execute.local import LocalExecutor
from dupl.execute.order import Order
from dupl.execute.resources import Resources
from dupl.execute.scheduler import Rules, Scheduler
from dupl.runs.layout import LOG
from dupl.runs.run import Run

FAST = Rules(poll=0.05, retries=0)


def carry_out(jobs, rules=FAST, slots=2, show=lambda _: None):
    """The reason for an early end, and the states of all jobs."""
    scheduler = Scheduler(jobs, LocalExecutor(jobs=slots), rules, show)
    return scheduler.run(), {p.job.fingerprint: p for p in scheduler.progress}


def outcomes(progress):
    return [end.outcome for end in progress.ends]


def states(progress):
    return {name: p.state for name, p in progress.items()}


class TestOneLoop:
    def test_all_jobs_are_brought_to_their_end_and_then_nothing_is_left(self, store):
        jobs = [store.job(name, evaluate=name == "c") for name in "abc"]
        seen = []
        why, progress = carry_out(jobs, show=lambda all_: seen.append([p.state for p in all_]))
        assert why is None
        assert states(progress) == dict.fromkeys("abc", "finished")
        assert all(p.begun for p in progress.values())
        assert store.times() == {f"{n} {i}": 1 for n in "abc" for i in (1, 2, 3)} | {"c eval": 1}
        assert max(sum(s in ("queued", "running") for s in row) for row in seen) == 2
        assert seen[-1] == ["finished"] * 3
        why, progress = carry_out(jobs)
        assert states(progress) == dict.fromkeys("abc", "finished")
        assert not any(p.begun for p in progress.values())
        assert len(store.lines()) == 10

    def test_a_failed_run_is_tried_again_and_goes_on_where_it_was(self, store):
        why, progress = carry_out([store.job("a", crash_at=3, crashes=1)], replace(FAST, retries=1))
        assert (why, states(progress)) == (None, {"a": "finished"})
        assert outcomes(progress["a"]) == ["failed", "finished"]
        assert store.times() == {"a 1": 1, "a 2": 1, "a 3": 2, "a crash": 1}
        assert len(progress["a"].errors) == 1

    def test_but_not_for_ever(self, store):
        why, progress = carry_out([store.job("a", crash_at=2, crashes=99)], Rules(retries=1, max_failed=1, poll=0.05))
        assert states(progress) == {"a": "failed"}
        assert store.times()["a crash"] == 2
        assert progress["a"].errors == ["said before it died (exit code 1)"] * 2

    def test_a_mistake_of_the_user_is_not_tried_again(self, store):
        rules = Rules(retries=5, max_failed=1, poll=0.05)
        _, progress = carry_out([store.job("a", crash_at=1, crashes=99, code=2)], rules)
        assert states(progress) == {"a": "failed"}
        assert store.times()["a crash"] == 1

    def test_a_new_loop_tries_a_failed_run_again(self, store):
        job = store.job("a", crash_at=2, crashes=1)
        assert states(carry_out([job], replace(FAST, max_failed=1))[1]) == {"a": "failed"}
        assert states(carry_out([job])[1]) == {"a": "finished"}

    def test_more_than_a_share_of_failures_ends_it(self, store):
        bad = {"crash_at": 1, "crashes": 99}
        jobs = [store.job("a", **bad), store.job("b", **bad), store.job("c", iterations=200, pace=0.05), store.job("d")]
        why, progress = carry_out(jobs, replace(FAST, max_failed=0.25), slots=3)
        assert why == "2 of 4 runs failed"
        assert states(progress)["c"] == "interrupted"
        assert store.status("c").state == "interrupted"
        why, _ = carry_out([store.job("e", **bad), *(store.job(n, iterations=1) for n in "fghi")])
        assert why is None

    def test_damage_in_one_folder_hurts_no_other(self, store):
        jobs = [store.job("a"), store.job("b")]
        Path(jobs[0].folder).mkdir()
        Path(jobs[0].folder, "status.json").write_text("{")
        _, progress = carry_out(jobs, replace(FAST, max_failed=1))
        assert states(progress) == {"a": "failed", "b": "finished"}
        assert "status.json is corrupt" in progress["a"].errors[0]

    def test_a_worker_that_cannot_begin_is_a_failure(self, store, monkeypatch):
        monkeypatch.setenv("PYTHONHOME", "/nowhere")
        _, progress = carry_out([store.job("a")], replace(FAST, max_failed=1, retries=1))
        assert states(progress) == {"a": "failed"}
        assert len(progress["a"].errors) == 2

    def test_it_waits_for_a_run_that_somebody_trains_by_hand(self, store, helpers):
        job = store.job("a", iterations=15, pace=0.1)
        hand = subprocess.Popen([*job.steps[0].command[:3], job.folder])
        helpers["until"](lambda: Run(job.folder).exists() and Run(job.folder).status.state == "running")
        seen = set()
        _, progress = carry_out([job], show=lambda all_: seen.add(all_[0].state))
        assert hand.wait(10) == 0
        assert seen == {"elsewhere", "finished"}
        assert max(store.times().values()) == 1


class TestPlaces:
    def test_each_run_has_cores_or_gpus_of_its_own(self, store):
        say = "import os; print(sorted(os.sched_getaffinity(0)), os.environ['CUDA_VISIBLE_DEVICES'], flush=True)"
        jobs = [replace(store.job(n), steps=(Step((sys.executable, "-c", say)),)) for n in "ab"]

        def said(executor):
            scheduler = Scheduler(jobs, executor, Rules(retries=0, max_failed=1, poll=0.05))
            scheduler.run()
            assert [len(p.errors) for p in scheduler.progress] == [1, 1]
            assert all("left no finished run" in p.errors[0] for p in scheduler.progress)
            return {Path(job.folder, LOG).read_text().splitlines()[-1] for job in jobs}

        mine = sorted(os.sched_getaffinity(0))
        cores = [mine[0], mine[-1]]
        assert said(LocalExecutor(jobs=2, cores=cores)) == {f"[{core}] " for core in cores}
        assert said(LocalExecutor(gpus=["3", "5", "6", "7"], per_run=2)) == {f"{mine} 3,5", f"{mine} 6,7"}

    def test_small_runs_are_packed_on_the_gpus_that_the_fewest_use(self, store):
        """Two fake GPUs for two runs each; a fifth run finds no place, and a free place of the idle GPU comes first."""
        executor = LocalExecutor(gpus=["3", "5"], runs_per_gpu=2, cores=[0])
        assert executor.slots == 4
        wait = "import time; time.sleep(60)"
        jobs = [replace(store.job(name), steps=(Step((sys.executable, "-c", wait)),)) for name in "abcdef"]
        handles = [executor.submit(job, Order(f"ticket-{job.fingerprint}")) for job in jobs[:4]]
        try:
            assert gpus_at_work(executor) == ["3", "5", "3", "5"]
            with pytest.raises(ValueError, match="all 4 places are taken"):
                executor.submit(jobs[4], Order("ticket"))
            for place in (0, 1, 3):
                executor.at_work[place].kill()
            handles.append(executor.submit(jobs[4], Order("fifth")))
            assert sorted(gpus_at_work(executor)) == ["3", "5"], "GPU 3 has a run, GPU 5 none"
        finally:
            for handle in handles:
                handle.kill()

    @pytest.mark.parametrize(
        ("gpus", "given", "message"),
        [
            ([], dict(runs_per_gpu=2), r"--runs-per-gpu 2: there is no GPU to share"),
            (["0", "1"], dict(runs_per_gpu=2, per_run=2), "is for runs of one GPU each, and a run has 2"),
            (["0"], dict(runs_per_gpu=0), "--runs-per-gpu 0: give at least 1"),
        ],
    )
    def test_runs_that_cannot_share_a_gpu_are_refused(self, gpus, given, message):
        with pytest.raises(UserError, match=message):
            LocalExecutor(gpus=gpus, **given)

    def test_trials_of_a_sweep_share_gpus_as_well(self):
        places = [executor.places[0][0] for executor in Resources(gpus=["3", "5"], runs_per_gpu=2).split()]
        assert [place["CUDA_VISIBLE_DEVICES"] for place in places] == ["3", "5", "3", "5"]


def gpus_at_work(executor):
    """The value of CUDA_VISIBLE_DEVICES of every run at work, by place."""
    places = [i for i, handle in sorted(executor.at_work.items()) if not handle.ended()]
    return [executor.places[i][0]["CUDA_VISIBLE_DEVICES"] for i in places]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and prctl")
class TestManyLoops:
    def exactly_once(self, store, names, iterations=3):
        assert store.times() == {f"{name} {i}": 1 for name in names for i in range(1, iterations + 1)}

    def test_two_share_twenty_jobs_and_none_is_run_twice(self, store, helpers):
        names = [f"{i:02d}" for i in range(20)]
        jobs = [store.job(name) for name in names]
        loops = [store.start(jobs), store.start(jobs)]
        for said in [helpers["told"](loop) for loop in loops]:
            assert said["why"] is None
            assert {state for state, *_ in said["states"].values()} == {"finished"}
        self.exactly_once(store, names)
        assert not list(store.root.rglob(".*lock")), "nothing is held any more"

    def test_when_one_is_killed_the_other_takes_over(self, store, helpers):
        names = [f"{i:02d}" for i in range(6)]
        jobs = [store.job(name, iterations=20, pace=0.05) for name in names]
        first = store.start(jobs)
        helpers["until"](lambda: len(store.lines()) > 10)
        second = store.start(jobs)
        helpers["until"](lambda: len({line.split()[0] for line in store.lines()}) > 3)
        first.kill()
        said = helpers["told"](second)
        assert {state for state, *_ in said["states"].values()} == {"finished"}
        self.exactly_once(store, names, 20)  # its workers stopped at an iteration, and gave their runs back

    def test_when_its_workers_are_killed_too_it_does_so_from_the_last_checkpoint(self, store, helpers):
        jobs = [store.job(name, iterations=120, pace=0.05) for name in "ab"]
        first = store.start(jobs, ttl=3)
        helpers["until"](lambda: {"a 3", "b 3"} <= set(store.lines()))
        second = store.start(jobs, ttl=3)
        time.sleep(0.5)
        for pid in [first.pid, *(store.worker(name) for name in "ab")]:
            os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        said = helpers["told"](second)
        assert time.monotonic() - killed > 2
        assert {state for state, *_ in said["states"].values()} == {"finished"}
        times = store.times()
        assert [times[f"{name} {i}"] for name in "ab" for i in range(1, 121)].count(2) <= 2  # begun when it was killed
        assert set(times.values()) <= {1, 2}
        assert said["states"]["a"][3] == said["states"]["b"][3] == ["finished"]

    def test_a_worker_that_hangs_is_killed_and_its_run_goes_on(self, store, helpers):
        job = store.job("a", iterations=20, pace=0.1)
        loop = store.start([job], ttl=2)
        helpers["until"](lambda: "a 2" in store.lines())
        for pid in [store.worker("a"), *helpers["marked"](store.holder("a").mark)]:
            os.kill(pid, signal.SIGSTOP)
        state, _, errors, ends = helpers["told"](loop)["states"]["a"]
        assert state == "finished"
        assert len(errors) == 1
        assert "stood still for 2 s and was killed" in errors[0]
        assert ends == ["failed", "finished"]

    def test_ctrl_c_leaves_all_resumable(self, store, helpers):
        jobs = [store.job(name, iterations=50, pace=0.1) for name in "abc"]
        loop = store.start(jobs)
        helpers["until"](lambda: {"a 2", "b 2"} <= set(store.lines()))
        loop.send_signal(signal.SIGINT)
        said = helpers["told"](loop)
        assert said["why"] == "interrupted"
        assert {name: state for name, (state, *_) in said["states"].items()} == {
            "a": "interrupted",
            "b": "interrupted",
            "c": "waiting",
        }
        assert [store.status(name).state for name in "ab"] == ["interrupted"] * 2
        assert said["states"]["a"][3] == said["states"]["b"][3] == ["interrupted"]
        assert not list(store.root.rglob("*.stop"))
        assert states(carry_out(jobs)[1]) == dict.fromkeys("abc", "finished")
        self.exactly_once(store, "abc", 50)

    def test_a_second_ctrl_c_kills(self, store, helpers):
        deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); "
        job = replace(store.job("a"), steps=(Step((sys.executable, "-c", deaf + "time.sleep(60)")),))
        loop = store.start([job])
        log = Path(job.folder, LOG)
        helpers["until"](lambda: log.exists() and "deaf\n" in log.read_text())
        loop.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert loop.poll() is None
        loop.send_signal(signal.SIGINT)
        assert json.loads(loop.communicate(timeout=10)[0].splitlines()[-1])["why"] == "interrupted"
        assert not [pid for pid in psutil.pids() if "print('deaf', flush=True)" in " ".join(process.command_of(pid))]
