from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dupl.cli import main
from dupl.runs.run import Run

TIMING = ("seconds", "memory_GiB")  # what differs between two runs that are the same


@dataclass
class Child:
    """A `dupl` command at work."""

    pid: int
    commands: Commands
    out: Path
    err: Path

    def wait(self, timeout: float = 600) -> int:
        """The exit code, negative where a signal ended it."""
        code = self.commands.ask(pid=self.pid, timeout=timeout)
        if code is None:
            os.killpg(self.pid, signal.SIGKILL)
            pytest.fail(f"still at work after {timeout} s: {self.err.read_text()}")
        return code

    def lines(self) -> list[str]:
        """What it wrote to stderr."""
        return self.err.read_text().splitlines()


class Commands:
    """Starts `dupl` commands as processes, see forks.py."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0
        self.server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("forks.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            text=True,
        )

    def ask(self, **job: Any) -> Any:
        """One line to the server, one back."""
        self.server.stdin.write(json.dumps(job) + "\n")
        self.server.stdin.flush()
        return json.loads(self.server.stdout.readline())

    def start(self, *argv: Any, env: dict[str, str] | None = None) -> Child:
        """Start `dupl ARGV`."""
        self.count += 1
        out, err = self.folder / f"{self.count}.out", self.folder / f"{self.count}.err"
        paths = dict(out=str(out), err=str(err), cwd=str(self.folder))
        return Child(self.ask(argv=[*map(str, argv)], env=env or {}, **paths), self, out, err)


@pytest.fixture(scope="session")
def commands(tmp_path_factory):
    """``Commands``."""
    commands = Commands(tmp_path_factory.mktemp("commands"))
    yield commands
    commands.server.kill()
    commands.server.wait()


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """A finished run draws for a second; that has a test of its own."""
    monkeypatch.setattr("dupl.engine.pictures.draw", lambda *_: [])


def until(condition, seconds: float = 300) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain"
        time.sleep(0.003)


def progress(folder: Path) -> int:
    """Iterations that scalars.jsonl knows of."""
    file = folder / "scalars.jsonl"
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    return json.loads(lines[-1])["iter"] if lines else 0


def rows(folder: Path) -> list[dict[str, Any]]:
    """Scalars without timings."""
    return [{k: v for k, v in row.items() if k not in TIMING} for row in Run(folder).scalars()]


def evaluations(folder: Path) -> dict[str, str]:
    """What evaluations while training left, by file, without timings."""
    files = sorted((folder / "evaluation").glob("iter_*/*.*"))
    texts = {str(f.relative_to(folder)): f.read_text() for f in files}
    for name in [n for n in texts if n.endswith("metrics.json")]:
        texts[name] = json.dumps({k: v for k, v in json.loads(texts[name]).items() if k not in ("seconds", "made")})
    return texts


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Every tensor and value of a checkpoint by its place."""
    if isinstance(value, (dict, list, tuple)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for name, item in items for k, v in leaves(item, f"{path}/{name}").items()}
    return {path: value}


def assert_same_run(one: Path, other: Path) -> None:
    """Bit for bit: weights, optimiser, scalars, evaluations."""
    assert rows(one) == rows(other)
    assert evaluations(one) == evaluations(other)
    for name in ("iter_000024.pth", "best.pth"):
        a, b = (
            leaves(torch.load(run / "checkpoints" / name, map_location="cpu", weights_only=True))
            for run in (one, other)
        )
        assert a.keys() == b.keys()
        for place in a:
            if isinstance(a[place], torch.Tensor):
                assert torch.equal(a[place], b[place]), place
            elif not place.startswith("/meta") or place.endswith(("/iter", "/fingerprint")):
                assert a[place] == b[place], place


def free_port() -> str:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def start_two(commands, *argv):
    """Start `dupl ARGV` as a training of two processes."""
    port = free_port()
    env = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    return [
        commands.start(*argv, "--launcher", "pytorch", env={**env, "RANK": str(r), "LOCAL_RANK": str(r)})
        for r in range(2)
    ]


def weights(folder):
    """The weights of the last checkpoint of a run of 24 iterations."""
    return torch.load(folder / "checkpoints" / "iter_000024.pth", weights_only=True)["state_dict"]


def kill_and_resume(commands, recipe, folder):
    """Kill a training after 8 iterations or more and resume it; what the resumed command told."""
    child = commands.start("train", recipe, "--work-dir", folder)
    until(lambda: progress(folder) >= 8)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    child = commands.start("train", recipe, "--work-dir", folder, "--resume")
    assert child.wait() == 0, child.lines()
    told = child.err.read_text()
    assert "resuming from iter_0000" in told
    return told


def assert_two_processes_are_one(commands, recipe, place):
    """Train with two losses a step, by one process in `place`/one and by two in `place`/two: the same weights."""
    one, two = place / "one", place / "two"
    halves = ("--set", "schedule.images_per_loss=2")
    child = commands.start("train", recipe, "--work-dir", one, *halves)
    assert child.wait() == 0, child.lines()
    pair = start_two(commands, "train", recipe, "--work-dir", two, *halves)
    assert [child.wait() for child in pair] == [0, 0], [child.lines() for child in pair]
    assert all(torch.equal(weights(one)[key], value) for key, value in weights(two).items())
    assert evaluations(one) == evaluations(two)


@pytest.fixture(scope="module")
def recipe(request, tmp_path_factory) -> str:
    """File of the recipe that a module states: its RECIPE, on the shipped recipe that its BASE names."""
    base = Path(__file__).parents[2] / "experiments" / request.module.BASE
    path = tmp_path_factory.mktemp("recipes") / base.name
    path.write_text(request.module.RECIPE.format(base=str(base)).lstrip(), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def undisturbed(recipe, tmp_path_factory) -> Path:
    """Folder of the finished run of the module's recipe."""
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    assert main(["train", recipe, "--work-dir", str(folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def helpers():
    """The functions of this file, which no test file can import."""
    functions = (
        until,
        progress,
        rows,
        evaluations,
        leaves,
        assert_same_run,
        free_port,
        start_two,
        weights,
        kill_and_resume,
        assert_two_processes_are_one,
    )
    return SimpleNamespace(**{function.__name__: function for function in functions})
