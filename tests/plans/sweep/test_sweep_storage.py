"""Two processes on one study, one of them killed: no trial twice, none lost, by every kind of storage."""

import glob
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from dupl.plans.study import open_study, trials
from dupl.plans.sweep import load

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
SERVE = """
import sys, optuna
storage = optuna.storages.RDBStorage(sys.argv[1])
optuna.storages.run_grpc_proxy_server(storage, host="127.0.0.1", port=int(sys.argv[2]))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def postgres_program(name: str) -> str | None:
    return shutil.which(name) or next(iter(sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))), None)


@pytest.fixture(scope="module")
def postgres():
    """The URL of a PostgreSQL server of our own on loopback."""
    pytest.importorskip("psycopg", reason='no PostgreSQL driver: pip install ".[postgres]"')
    if any(postgres_program(name) is None for name in ("initdb", "pg_ctl")):
        pytest.skip("no PostgreSQL server here: initdb and pg_ctl are not installed")
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    folder, port = Path(tempfile.mkdtemp(prefix="pg-")), free_port()

    def call(name, *words):
        command = [postgres_program(name), "-D", str(folder / "data"), *words]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, timeout=120, **user)

    try:
        if user:
            shutil.chown(folder, "postgres", "postgres")
        call("initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -k {folder}"
        call("pg_ctl", "-o", options, "-l", str(folder / "log"), "-w", "start")
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        call("pg_ctl", "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def grpc(lab):
    """The URL of a gRPC proxy before an SQLite file."""
    pytest.importorskip("grpc", reason='grpcio is not installed: pip install ".[grpc]"')
    port = free_port()
    lab.folder.mkdir(exist_ok=True)
    server = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SERVE, lab.url(), str(port)], stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(300):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.1):
                break
            server.poll()
            with suppress(subprocess.TimeoutExpired):
                server.wait(0.1)
        yield f"grpc://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


@pytest.mark.parametrize("kind", ["sqlite", "journal", "grpc", "postgres"])
def test_a_killed_workers_trial_is_gone_on_with(lab, waiting, request, kind):
    url = lab.url(kind) if kind in ("sqlite", "journal") else request.getfixturevalue(kind)
    pruner = dict(type="median", n_startup_trials=2, n_warmup_steps=0, n_min_trials=1)
    starts = [{}, {"toy.x": 0.9}, {"toy.x": 0.8}]
    file = lab.sweep(toy=dict(pace=0.15, broken_from=0.85), start_from=starts, pruner=pruner)
    doomed = lab.start(file, url, 6)
    waiting(doomed, "evaluated")  # in the middle of a trial
    other = lab.start(file, url, 6)
    os.killpg(doomed.pid, signal.SIGKILL)
    assert other.communicate(timeout=120)[0].endswith("end None\n")
    frame = trials(open_study(load(file, schema=None), url))
    assert list(frame["number"]) == list(range(6))  # none lost, none more
    assert frame["state"].isin(["complete", "pruned", "failed"]).all()
    assert frame["state"][0] != "failed" and frame["state"][1] == "failed"
    assert (frame["reason"].str.len() > 0).eq(frame["state"] != "complete").all()
    assert len(set(frame["run"])) == 6
    assert set(lab.times().values()) == {1}  # no iteration twice: resumed, not begun again
