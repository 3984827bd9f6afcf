"""Clusters on loopback: Slurm, Ray and PostgreSQL, as far as this machine has them.

They are skipped unless DUPL_CLUSTER is set, as `tests/cluster/run.sh` does: they start daemons, and need root.
"""

from __future__ import annotations

import getpass
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    """Skip the tests of this folder unless they are asked for."""
    if not os.environ.get("DUPL_CLUSTER"):
        reason = "tests of real clusters start daemons: DUPL_CLUSTER is not set, as tests/cluster/run.sh sets it"
        for item in items:
            if item.path.parent == HERE:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def reaped():
    """What the tests start ends with them, however they end."""
    mark = uuid.uuid4().hex
    reaper = subprocess.Popen([sys.executable, HERE / "reaper.py", mark], stdin=subprocess.PIPE, start_new_session=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DUPL_CLUSTER_MARK", mark)
        yield
    reaper.stdin.close()
    reaper.wait(60)


_spec = importlib.util.spec_from_file_location(
    "execute_conftest", Path(__file__).parents[1] / "execute" / "conftest.py"
)
execute = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(execute)
store, until = execute.store, execute.until
DRIVE = Path(__file__).with_name("drive.py")


def need(*programs: str) -> None:
    """Skip the test where a program is missing, with the reason."""
    if missing := [name for name in programs if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]:
        pytest.skip(f"this machine has no {', '.join(missing)}: tests/cluster/run.sh installs them as root")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port: int) -> bool:
    """Whether somebody takes connections at a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Slurm:
    """Slurm on this machine: one controller, one node."""

    def __init__(self, folder: Path, accounting: bool) -> None:
        self.folder, self.host, self.accounting = folder, socket.gethostname(), accounting
        self.conf = folder / "slurm.conf"
        self.env = {**os.environ, "SLURM_CONF": str(self.conf), "PATH": f"{os.environ['PATH']}:/usr/sbin"}
        self.pids: dict[str, Path] = {name: folder / f"{name}.pid" for name in ("munged", "slurmctld", "slurmd")}
        for name in ("state", "spool"):
            (folder / name).mkdir()
        key, where = folder / "munge.key", folder / "munge.sock"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        files = [f"--{n}={folder / n}" for n in ("seed-file", "log-file")]
        files += [f"--key-file={key}", f"--socket={where}", f"--pid-file={self.pids['munged']}"]
        self.run("munged", "--force", *files)
        text = Path(__file__).with_name("slurm.conf").read_text()
        facts = dict(host=self.host, folder=folder, ctld=free_port(), node=free_port(), user=getpass.getuser())
        storage = "none"
        if accounting:
            storage = f"slurmdbd\nAccountingStorageHost=127.0.0.1\nAccountingStoragePort={self._accounting(where)}"
            storage += f"\nAccountingStoragePass={where}\nAccountingStorageEnforce=associations,limits"
        self.conf.write_text(text.format(**facts, storage=storage))
        if accounting:
            self.run("sacctmgr", "--immediate", "add", "cluster", "test")  # with an account of root
        self.start("slurmctld", "-i")
        self.start("slurmd")
        until(lambda: self.state() == "idle", 60)

    def _accounting(self, munge: Path) -> int:
        """Start slurmdbd over a MariaDB of its own, and return its port."""
        data, port, sock = self.folder / "mysql", free_port(), self.folder / "mysql.sock"
        self.run("mariadb-install-db", "--user=root", f"--datadir={data}", "--auth-root-authentication-method=socket")
        words = ["mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--socket={sock}", f"--port={port}"]
        self.mysql = subprocess.Popen([*words, "--bind-address=127.0.0.1"], env=self.env, stderr=subprocess.DEVNULL)
        until(sock.exists, 60)
        sql = "create user slurm@'127.0.0.1' identified by 'x'; grant all on *.* to slurm@'127.0.0.1';"
        until(lambda: not self.run("mariadb", f"--socket={sock}", "-e", sql, check=False).returncode, 60)
        conf, mine = self.folder / "slurmdbd.conf", free_port()
        lines = [f"AuthType=auth/munge\nAuthInfo=socket={munge}\nDbdHost=localhost\nDbdPort={mine}\nSlurmUser=root"]
        lines += [f"StorageType=accounting_storage/mysql\nStorageHost=127.0.0.1\nStoragePort={port}\nStorageUser=slurm"]
        lines += [f"StoragePass=x\nStorageLoc=slurm\nPidFile={self.folder}/slurmdbd.pid\nLogFile={self.folder}/dbd.log"]
        conf.write_text("\n".join(lines) + "\n")
        conf.chmod(0o600)
        self.conf.touch()  # slurmdbd finds its own file beside this one
        self.pids["slurmdbd"] = self.folder / "slurmdbd.pid"
        self.start("slurmdbd")
        until(lambda: listens(mine), 60)  # a controller that finds nobody there ends
        return mine

    def start(self, name: str, *words: str) -> None:
        """Start a daemon and wait for its pid file."""
        self.run(name, *words)
        until(lambda: self.pids[name].exists() and self.pids[name].read_text().strip(), 30)

    def stop(self, name: str, number: int = signal.SIGKILL) -> None:
        """End a daemon; a controller that is killed forgets which jobs it started, and starts them again."""
        with suppress(OSError, ValueError):
            pid = int(self.pids[name].read_text())
            os.kill(pid, number)
            until(lambda: not execute.process_exists(pid), 20)
        self.pids[name].unlink(missing_ok=True)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess:
        return subprocess.run(command, env=self.env, capture_output=True, text=True, check=check, timeout=60)

    def state(self) -> str:
        """The node's state."""
        return self.run("sinfo", "--noheader", "--format=%T", check=False).stdout.strip()

    def jobs(self) -> dict[str, str]:
        """State of the jobs that Slurm lists, by id."""
        lines = self.run("squeue", "--noheader", "--states=all", "--format=%i|%T", check=False).stdout.splitlines()
        return dict(line.split("|") for line in lines)

    def live(self) -> list[str]:
        return [job for job, state in self.jobs().items() if state in ("PENDING", "RUNNING")]

    def node(self, **changes: str) -> None:
        """Change the node; one that came back by itself cannot be resumed."""
        words = [f"{key}={value}" for key, value in changes.items()]
        self.run("scontrol", "update", f"nodename={self.host}", *words, check=False)

    def limit(self, jobs: int) -> None:
        """Let the user submit so many jobs; -1 is no limit."""
        words = ["modify", "user", getpass.getuser(), "set", f"maxsubmitjobs={jobs}"]
        self.run("sacctmgr", "--immediate", *words)
        words = ["--noheader", "--parsable2", "show", "assoc", f"user={getpass.getuser()}", "format=maxsubmit"]
        told = "" if jobs < 0 else str(jobs)
        until(lambda: set(self.run("sacctmgr", *words).stdout.split("\n")[:-1]) == {told}, 30)

    def hurry(self) -> None:
        """Let jobs that are queued again start now; Slurm holds them back for two minutes."""
        for job, state in self.jobs().items():
            if state == "PENDING":
                self.run("scontrol", "update", f"jobid={job}", "starttime=now", check=False)

    def clean(self) -> None:
        """Leave no job, and an idle node, to the next test."""
        self.run("scancel", "--user", getpass.getuser(), check=False)
        until(lambda: not self.live(), 60)
        until(self._resumed, 90)

    def _resumed(self) -> bool:
        """Whether the node is idle; else resume it, which does nothing while it still completes a job."""
        if self.state() == "idle":
            return True
        self.node(state="resume")
        time.sleep(0.5)
        return False

    def close(self) -> None:
        self.run("scancel", "--user", getpass.getuser(), check=False)
        time.sleep(0.5)
        for name in ("slurmd", "slurmctld", "slurmdbd", "munged"):
            if name in self.pids:
                self.stop(name, signal.SIGTERM)
        if self.accounting:
            self.mysql.kill()
            self.mysql.wait()


def _process_exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


execute.process_exists = _process_exists


@pytest.fixture(scope="module", params=[False, True], ids=["without accounting", "with slurmdbd"])
def slurm(request, tmp_path_factory):
    """Slurm, in the environment of the tests."""
    need("slurmctld", "slurmd", "munged", "sbatch", *(["slurmdbd", "mariadbd"] if request.param else []))
    if os.geteuid() != 0:
        pytest.skip("slurmd needs root")
    started = Slurm(tmp_path_factory.mktemp("slurm"), request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(started.conf))
        yield started
    started.close()


class Loop:
    """A scheduler as a process of its own."""

    def __init__(self, store, jobs, kind: str, options: dict) -> None:
        file = store.root / "jobs.json"
        file.write_text(json.dumps([execute.asdict(job) for job in jobs]))
        self.errors = store.root / "stderr"
        command = [sys.executable, str(DRIVE), str(file), kind, json.dumps(options)]
        with open(self.errors, "w") as errors:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
            )
        store.started.append(self.process)
        assert self.process.stdout.readline() == "ready\n", self.errors.read_text()

    def signal(self, number: int = signal.SIGINT) -> None:
        self.process.send_signal(number)

    def told(self, timeout: float = 120) -> dict:
        """What the scheduler says at its end."""
        said = self.process.communicate(timeout=timeout)[0].splitlines()
        assert said, self.errors.read_text()
        return json.loads(said[-1])


@pytest.fixture
def loop(store):
    """Start a scheduler on jobs."""
    return lambda runs, kind, **options: Loop(store, runs, kind, options)


@pytest.fixture
def wait():
    """Wait for a condition."""
    return until


@pytest.fixture(scope="session")
def wait_for():
    """The same, for fixtures of any scope."""
    return until
