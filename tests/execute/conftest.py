"""Stores of toy jobs, and schedulers as processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from dupl.execute.job import Job, Step, config_file
from dupl.lock import Watch
from dupl.runs.run import Run

HERE = Path(__file__).parent


class Store:
    """Toy jobs below one folder, and the journal of what their trainers did."""

    def __init__(self, root: Path) -> None:
        self.root, self.journal = root, root / ".plans" / "journal"
        self.started: list[subprocess.Popen] = []

    def job(self, name: str, evaluate: bool = False, **settings) -> Job:
        config = config_file(self.root, name)
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text("".join(f"{key} = {value!r}\n" for key, value in settings.items()))
        steps = [Step((sys.executable, str(HERE / "toy.py"), str(config), "{folder}"))]
        if evaluate:
            words = (sys.executable, str(HERE / "toy_eval.py"), str(config), "{folder}")
            steps.append(Step(words, "final", ("seg/best/mIoU",)))
        return Job(name, f"row {name}", str(self.root), str(self.root / f"toy-{name}"), tuple(steps), str(self.root))

    def lines(self) -> list[str]:
        return self.journal.read_text().splitlines() if self.journal.exists() else []

    def times(self) -> Counter:
        """How often each line stands in the journal."""
        return Counter(self.lines())

    def status(self, name: str):
        return Run(self.root / f"toy-{name}").status

    def holder(self, name: str):
        """The process that trains a run now; None where none does."""
        sight = Watch()(self.root / f"toy-{name}")
        return sight.holder if sight is not None else None

    def worker(self, name: str) -> int:
        """The worker that looks after the training of a run."""
        return psutil.Process(self.holder(name).pid).ppid()

    def start(self, jobs: list[Job], kind: str = "local", **rules) -> subprocess.Popen:
        """A scheduler at work on jobs, in a process of its own."""
        file = self.root / "jobs.json"
        file.write_text(json.dumps([asdict(job) for job in jobs]))
        command = [sys.executable, str(HERE / "drive.py"), str(file), kind, json.dumps(rules)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process


def told(process: subprocess.Popen, timeout: float = 60) -> dict:
    """What a scheduler says at its end."""
    return json.loads(process.communicate(timeout=timeout)[0].splitlines()[-1])


def until(condition, timeout: float = 30) -> None:
    """Waits for something to become true."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def marked(ticket: str) -> list[int]:
    """The processes of an order that are alive."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"DUPL_TICKET={ticket}".encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path)
    yield made
    for process in made.started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


@pytest.fixture
def helpers():
    """Functions of this file, which importlib mode does not let tests import."""
    return {"told": told, "until": until, "marked": marked}
