"""Runs by a real Slurm: what it does to jobs, and what becomes of them."""

import signal
import time

import pytest

from dupl.errors import UserError
from dupl.execute.order import Order

pytest.importorskip("submitit", reason='submitit is not installed: pip install ".[slurm]"')


@pytest.fixture(autouse=True)
def cleaned(slurm):
    """No test leaves jobs to the next one."""
    yield
    slurm.clean()


def begun(store, name="a", at=2):
    return lambda: f"{name} {at}" in store.lines()


def iterations(store, name="a"):
    return [line for line in store.lines() if line.startswith(f"{name} ") and line.split()[1].isdigit()]


def test_jobs_are_brought_to_their_end(slurm, store, loop):
    jobs = [store.job("a", evaluate=True), store.job("b", crash_at=2, crashes=1)]
    said = loop(jobs, "slurm").told()
    assert [state for state, *_ in said["states"].values()] == ["finished", "finished"]
    assert said["states"]["b"][2] == ["failed", "finished"]
    assert not slurm.live()


def test_ctrl_c_saves_and_the_same_jobs_go_on(slurm, store, loop, wait):
    job = store.job("a", iterations=60, pace=0.1)
    first = loop([job], "slurm")
    wait(begun(store), 60)
    first.signal()
    assert first.told(60)["why"] == "interrupted"
    assert store.status("a").state == "interrupted"
    assert loop([job], "slurm").told()["states"]["a"][0] == "finished"
    assert store.times() == {f"a {i}": 1 for i in range(1, 61)}


def test_the_second_ctrl_c_ends_it_though_slurm_is_away(slurm, store, loop, wait):
    job = store.job("a", iterations=600, pace=0.1)
    started = loop([job], "slurm")
    wait(begun(store), 60)
    slurm.stop("slurmctld", signal.SIGTERM)
    try:
        started.signal()
        time.sleep(1)
        started.signal()
        begin = time.monotonic()
        assert started.told(60)["why"] == "interrupted"
        assert time.monotonic() - begin < 45
    finally:
        slurm.start("slurmctld")
        wait(lambda: slurm.state() not in ("", "unk*", "unknown"), 60)


def test_slurmctld_away_at_submission_is_waited_for(slurm, store, loop, wait):
    slurm.stop("slurmctld", signal.SIGTERM)
    started = loop([store.job("a")], "slurm")
    wait(lambda: "Slurm takes no job at the moment" in started.errors.read_text(), 60)
    slurm.start("slurmctld")
    assert started.told()["states"]["a"][0] == "finished"


def test_a_pending_job_that_is_cancelled_is_not_submitted_again(slurm, store, loop, wait):
    slurm.node(state="drain", reason="test")
    try:
        started = loop([store.job("a")], "slurm")
        wait(slurm.live, 30)
        (job,) = slurm.live()
        slurm.run("scancel", job)
        said = started.told(60)
    finally:
        slurm.node(state="resume")
    assert said["states"]["a"][0] == "failed"
    assert said["states"]["a"][1] == [f"Slurm job {job} was cancelled; the same command submits it again"]


def test_a_drained_node_is_waited_for_and_named(slurm, store, loop, wait):
    slurm.node(state="drain", reason="test")
    try:
        started = loop([store.job("a")], "slurm")
        wait(slurm.live, 30)
        time.sleep(4)
    finally:
        slurm.node(state="resume")
    said = started.told(120)
    assert said["states"]["a"][0] == "finished"
    assert any("DRAINED" in note for note in said["notes"]["a"]), said["notes"]


def test_a_job_that_is_queued_again_goes_on(slurm, store, loop, wait):
    job = store.job("a", iterations=50, pace=0.1)
    started = loop([job], "slurm")
    wait(begun(store, at=3), 60)
    (name,) = slurm.live()
    slurm.run("scontrol", "requeue", name)
    wait(lambda: slurm.jobs()[name] == "PENDING", 60)
    slurm.hurry()
    said = started.told(180)
    assert said["states"]["a"][0] == "finished"
    assert len(slurm.jobs()) == 0 or name in slurm.jobs(), "no second job was submitted"
    assert set(iterations(store)) == {f"a {i}" for i in range(1, 51)}


def test_a_preempted_job_goes_on(slurm, store, loop, wait):
    job = store.job("a", iterations=50, pace=0.1)
    started = loop([job], "slurm")
    wait(begun(store, at=3), 60)
    (name,) = slurm.live()
    slurm.run("sbatch", "--partition=urgent", "--cpus-per-task=2", "--output=/dev/null", "--wrap", "sleep 3")
    wait(lambda: slurm.jobs()[name] == "PENDING", 60)
    slurm.hurry()
    said = started.told(180)
    assert said["states"]["a"][0] == "finished"
    assert set(iterations(store)) == {f"a {i}" for i in range(1, 51)}


def test_a_node_that_fails_comes_back(slurm, store, loop, wait):
    job = store.job("a", iterations=80, pace=0.1)
    started = loop([job], "slurm", ttl=5)
    wait(begun(store, at=3), 60)
    slurm.stop("slurmd")
    slurm.node(state="down", reason="test")
    wait(lambda: "PENDING" in slurm.jobs().values(), 60)
    slurm.start("slurmd")
    slurm.node(state="resume")
    slurm.hurry()
    said = started.told(180)
    assert said["states"]["a"][0] == "finished", said


def test_a_time_limit_within_the_warning_is_refused(slurm, tmp_path):
    from dupl.execute.slurm import SlurmExecutor

    with pytest.raises(UserError, match=r"timeout_min=1.*slurm_signal_delay_s=120.*raise the limit"):
        SlurmExecutor(tmp_path, per_run=0, settings={"timeout_min": 1})


def test_a_gpu_where_there_is_none(slurm, store, tmp_path):
    from dupl.execute.slurm import SlurmExecutor

    with pytest.raises(UserError, match=r"did not take row a .*give --gpus-per-run 0"):
        SlurmExecutor(tmp_path, cpus=1).submit(store.job("a"), Order("t"))


def test_the_time_limit_saves_and_the_run_goes_on(slurm, store, loop):
    job = store.job("a", iterations=450, pace=0.1)
    said = loop([job], "slurm", settings={"timeout_min": 1, "slurm_signal_delay_s": 30}).told(300)
    assert said["states"]["a"][0] == "finished"
    assert set(said["states"]["a"][2]) == {"interrupted", "finished"}
    assert store.times() == {f"a {i}": 1 for i in range(1, 451)}


def test_a_limit_of_submitted_jobs_is_waited_for(slurm, store, loop):
    if not slurm.accounting:
        pytest.skip("a limit of submitted jobs needs slurmdbd")
    slurm.limit(1)
    try:
        started = loop([store.job("a"), store.job("b")], "slurm")
        said = started.told(180)
    finally:
        slurm.limit(-1)
    assert [state for state, *_ in said["states"].values()] == ["finished", "finished"]
    assert [errors for _, errors, _ in said["states"].values()] == [[], []]
    assert "MaxSubmitJob" in started.errors.read_text(), "the limit was met"
