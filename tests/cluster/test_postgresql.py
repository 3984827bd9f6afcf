"""A sweep's storage on a real PostgreSQL that goes away for a while."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import warnings
from pathlib import Path

import optuna
import pytest

from dupl.errors import Notice, RunError
from dupl.plans import patience
from dupl.plans.study import open_storage

pytest.importorskip("psycopg", reason='psycopg is not installed: pip install ".[postgres]"')
PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin")) if Path("/usr/lib/postgresql").is_dir() else []


class Server:
    """PostgreSQL in a folder of its own; it refuses to run as root."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.bin = PLACES[-1] if PLACES else Path(shutil.which("postgres")).parent
        self.user = "postgres" if os.geteuid() == 0 else None
        if self.user:
            os.chown(folder, pwd.getpwnam("postgres").pw_uid, -1)
        self.run("initdb", "-D", folder / "data", "--auth=trust", "--username=me", "-N")
        self.start()

    def run(self, program: str, *words: object) -> None:
        command = [str(self.bin / program), *map(str, words)]
        with open(self.folder / "output", "ab") as file:  # not a pipe, which the server would keep open
            done = subprocess.run(command, user=self.user, stdout=file, stderr=file, cwd=self.folder, timeout=60)
        assert done.returncode == 0, (self.folder / "output").read_text()[-500:]

    def start(self) -> None:
        options = f"-p {self.port} -h 127.0.0.1 -k {self.folder}"
        self.run("pg_ctl", "-D", self.folder / "data", "-l", self.folder / "log", "-w", "-o", options, "start")

    def stop(self) -> None:
        self.run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop")

    @property
    def url(self) -> str:
        return f"postgresql://me:secret@127.0.0.1:{self.port}/postgres"


@pytest.fixture(scope="module")
def server():
    if not PLACES and shutil.which("postgres") is None:
        pytest.skip("this machine has no PostgreSQL: tests/cluster/run.sh installs it as root")
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other users
        made = Server(Path(folder), port)
        yield made
        made.stop()


def test_twenty_seconds_away_are_waited_for(server):
    storage = open_storage(server.url)
    study = optuna.create_study(storage=storage, study_name="away")
    study.enqueue_trial({"x": 1.0})
    server.stop()
    back = threading.Timer(20, server.start)
    back.start()
    begin = time.monotonic()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        study.optimize(lambda trial: trial.suggest_float("x", 0, 2), n_trials=1)
    back.join()
    assert 15 < time.monotonic() - begin < 90
    lines = [str(one.message) for one in told if issubclass(one.category, Notice)]
    assert lines and "does not answer" in lines[0] and "secret" not in lines[0]
    assert [(t.number, t.state.name, t.params) for t in study.trials] == [(0, "COMPLETE", {"x": 1.0})]


def test_longer_than_the_limit_names_the_server(server, monkeypatch):
    monkeypatch.setattr(patience, "LIMIT", 3.0)
    study = optuna.create_study(storage=open_storage(server.url), study_name="gone")
    server.stop()
    try:
        with pytest.warns(Notice), pytest.raises(RunError, match=r"has not answered for 3 s: .*(refused|terminat)"):
            study.ask()
    finally:
        server.start()


def test_a_killed_server_is_the_same(server):
    study = optuna.create_study(storage=open_storage(server.url), study_name="killed")
    pid = int((server.folder / "data/postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    back = threading.Timer(3, server.start)
    back.start()
    with pytest.warns(Notice, match="does not answer"):
        study.optimize(lambda trial: trial.suggest_float("x", 0, 2), n_trials=1)
    back.join()
    assert len(study.trials) == 1
