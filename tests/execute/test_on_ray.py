import json
import os
import subprocess
import sys
import uuid

import pytest

pytest.importorskip("ray", reason='Ray is not installed: pip install ".[ray]"')

CLUSTER = """
import ray, sys
ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=10**8, log_to_driver=False)
print("address", ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def cluster(monkeypatch):
    """The address of a cluster that somebody else started, whose token this process knows."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", uuid.uuid4().hex)
    command = [sys.executable, "-c", CLUSTER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield next(line.split()[1] for line in process.stdout if line.startswith("address"))
        process.stdin.close()


def test_a_loop_is_killed_and_the_next_one_runs_all_kinds_of_jobs_until_it_is_stopped(
    store, helpers, cluster, monkeypatch
):
    """First on a cluster of its own, then on a given one."""
    long = store.job("d", iterations=600, pace=0.1)
    loop = store.start([long], "ray", ttl=3)
    helpers["until"](lambda: "d 3" in store.lines(), timeout=180)
    ticket = store.holder("d").mark
    loop.kill()
    loop.wait()
    helpers["until"](lambda: not helpers["marked"](ticket), timeout=60)
    reached = store.status("d").iteration

    jobs = [store.job("a", evaluate=True), store.job("b", crash_at=2, crashes=1), store.job("c", crash_at=1, crashes=9)]
    monkeypatch.setenv("RAY_ADDRESS", cluster)
    loop = store.start([*jobs, long], "ray", ttl=3, retries=1, max_failed=0.5)
    helpers["until"](lambda: f"d {reached + 3}" in store.lines(), timeout=180)
    helpers["until"](lambda: store.times()["c crash"] == 2 and store.status("c").state == "failed", timeout=60)
    helpers["until"](lambda: store.status("b").state == "finished", timeout=60)
    loop.terminate()
    said = helpers["told"](loop)
    assert said["why"] == "interrupted"
    states = {name: state for name, (state, *_) in said["states"].items()}
    assert states == {"a": "finished", "b": "finished", "c": "failed", "d": "interrupted"}
    assert said["states"]["c"][2] == ["said before it died (exit code 1)"] * 2
    times = store.times()
    assert {line: n for line, n in times.items() if line[0] != "d"} == {
        **{f"a {i}": 1 for i in (1, 2, 3)},
        "a eval": 1,
        **{"b 1": 1, "b 2": 2, "b 3": 1, "b crash": 1},
        **{"c 1": 2, "c crash": 2},
    }
    assert [times[f"d {i}"] for i in range(1, store.status("d").iteration + 1) if i != reached + 1].count(
        1
    ) >= reached + 1
    assert all(times[f"d {i}"] == 1 for i in range(1, store.status("d").iteration + 1) if i != reached + 1)
    assert said["states"]["b"][3] == ["failed", "finished"]
    assert said["states"]["d"][3] == ["interrupted"]
    assert store.status("d").state == "interrupted"


PACKED = """
import json, os, sys
from dupl.execute.ray import RayExecutor
def seen(text):
    import os, time
    time.sleep(1)
    return os.environ["CUDA_VISIBLE_DEVICES"]
import dupl.execute.ray as module
module.work_by_text, module.encode = seen, lambda job, order: ""
class Job: title = "a run"
executor = RayExecutor("local", gpus=["0", "1"], runs_per_gpu=2)
handles = [executor.submit(Job, None) for _ in range(2)]
print(json.dumps([executor.slots, executor.gpus, executor.share, [executor.ray.get(h.task) for h in handles]]))
executor.close()
"""


def test_runs_ask_for_a_fraction_of_a_gpu():
    """Two fake GPUs: Ray puts two halves on the first one."""
    done = subprocess.run([sys.executable, "-c", PACKED], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    slots, whole, share, gpus = json.loads(done.stdout)
    assert (whole, share) == (1, 0.5)
    assert slots == min(4, len(os.sched_getaffinity(0)))
    assert gpus == ["0", "0"]
