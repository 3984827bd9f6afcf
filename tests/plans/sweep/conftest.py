"""Sweeps over a toy recipe whose trainings are toys."""

import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # sweep_drive.py is a program that tests also call


class Lab:
    """A folder with a recipe, sweeps over it, and a store."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root, self.journal = folder, folder / "runs", folder / "journal"
        self.started: list[subprocess.Popen] = []

    def recipe(self, **toy) -> Path:
        values = dict(x=0.5, y=0.5, pace=0.0, broken_from=9.0, journal=str(self.journal), part=dict(type="A", z=1.0))
        path = self.folder / "base.py"
        path.write_text(
            "data = dict(train=dict(type='Toy', split='train', count=40), val=dict(type='Toy', split='val'))\n"
            "model = dict(type='Toy', limit=0.9)\nschedule = dict(iterations=6)\nevaluation = dict(interval=2)\n"
            f"runtime = dict(seed=0)\ntoy = {values | toy!r}\n"
        )
        return path

    def sweep(self, name: str = "s", toy: dict | None = None, **values) -> str:
        """A sweep file; None leaves a key out."""
        number = dict(type="float", low=0.0, high=1.0)
        whole = dict(
            base=str(self.recipe(**(toy or {}))),
            goal=dict(metric="seg/best/mIoU"),
            space={"toy.x": number, "toy.y": number},
            sampler=dict(type="random"),
            trials=4,
        )
        whole = {key: value for key, value in (whole | values).items() if value is not None}
        path = self.folder / f"{name}.py"
        path.write_text('"""A toy."""\n' + "".join(f"{key} = {value!r}\n" for key, value in whole.items()))
        return str(path)

    def url(self, kind: str = "sqlite") -> str:
        return f"journal:{self.folder / 's.log'}" if kind == "journal" else f"sqlite:///{self.folder / 's.db'}"

    def times(self) -> Counter:
        """How often each run did each iteration."""
        return Counter(self.journal.read_text().splitlines() if self.journal.exists() else [])

    def start(self, file: str, url: str, count: int, jobs: int = 1) -> subprocess.Popen:
        """A sweep in a process of its own."""
        words = [
            sys.executable,
            "-W",
            "ignore",
            str(HERE / "sweep_drive.py"),
            file,
            url,
            str(self.root),
            str(count),
            str(jobs),
        ]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.started.append(process)
        return process


def read_until(process: subprocess.Popen, word: str) -> str:
    """The first line of a process that holds a word."""
    for line in process.stdout:
        if word in line:
            return line
    raise AssertionError(f"it never said {word}")


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = Lab(tmp_path)
    yield made
    for process in made.started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


@pytest.fixture
def waiting():
    """`read_until`, which importlib mode does not let tests import."""
    return read_until


@pytest.fixture
def search(lab, monkeypatch):
    """Carries out a sweep in this process: file, trials, and what `sweep_drive.search` takes."""
    import sweep_drive

    from dupl.execute import job

    monkeypatch.setattr(job, "train_command", sweep_drive.toy_command)

    def run(file: str, count: int, jobs: int = 1, **rules):
        return sweep_drive.search(file, lab.url(), lab.root, count, jobs, place=sweep_drive.Threads, **rules)

    return run
