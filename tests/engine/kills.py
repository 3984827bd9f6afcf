"""Kills a tiny training at random moments, again and again, and compares what it leaves with an undisturbed run.

    python tests/engine/kills.py --kills 50 --seed 1

Each training is a process of its own, forked from one that has imported torch (forks.py), and ended by a real signal;
it is resumed and killed until it finishes. Then every file that training writes is compared (weights, optimiser,
scalars, evaluations, gallery, config, data, status), bit for bit but for times, process ids and where the code comes
from. Pictures at the end of a run are left out (a second each).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

WRITTEN = ("*.py", "*.json", "*.jsonl", "checkpoints/*", "evaluation/iter_*/*", "gallery/*")
TIMES = ("seconds", "memory_GiB", "made")
OF_THE_ATTEMPT = ("created", "started", "ended", "seconds", "pid", "command", "commit", "dirty", "stretches")
MOMENTS = ("any", "any", "start", "checkpoint", "checkpoint", "draft")
SIGNALS = ("SIGKILL", "SIGKILL", "SIGTERM", "SIGTERM+SIGKILL")


@dataclass(frozen=True)
class Kill:
    """One signal, and where it found the run."""

    signal: str
    where: str
    iteration: int


class Ordeal:
    """A recipe trained under fire.

    Args:
        commands: Starts `dupl` commands.
        recipe: A file.
        undisturbed: Folder of its run that nobody killed.
        root: Where the others go.
        chance: Of moments and signals.
        seconds: That a run takes.
    """

    def __init__(
        self, commands: Any, recipe: str, undisturbed: Path, root: Path, chance: random.Random, seconds: float
    ) -> None:
        self.commands, self.recipe, self.undisturbed, self.root = commands, recipe, undisturbed, root
        self.chance, self.seconds = chance, seconds
        self.kills: list[Kill] = []
        self.lives = 0

    def run(self, count: int, tell: Any = lambda *_: None) -> None:
        """Kill so many times, over as many runs as that takes, the last one to its end."""
        while len(self.kills) < count:
            self.lives += 1
            folder = self.root / f"life{self.lives}"
            while len(self.kills) < count and not self.attempt(folder):
                tell(len(self.kills), self.kills[-1], self.lives)
            child = self.commands.start("train", self.recipe, "--work-dir", folder, "--resume")
            code = child.wait()
            assert code == 0 or "finished" in child.lines()[-1], child.lines()
            found = differences(folder, self.undisturbed)
            assert not found, "\n".join(found)

    def attempt(self, folder: Path) -> bool:
        """Start or resume, and kill; whether the run was finished before."""
        moment, name = self.chance.choice(MOMENTS), self.chance.choice(SIGNALS)
        child = self.commands.start("train", self.recipe, "--work-dir", folder, "--resume")
        if not self.wait(child, folder, moment):
            last = (child.lines() or [""])[-1]  # the kill before may have come after the end
            assert "dupl: " not in last or "this run, finished" in last, child.lines()
            return True
        os.kill(child.pid, getattr(signal, name.partition("+")[0]))
        if "+" in name:
            time.sleep(self.chance.uniform(0, 0.1))
            os.kill(child.pid, signal.SIGKILL)
        code = child.wait()
        saved = code == 1 and "which is saved" in child.lines()[-1]
        assert code in (-signal.SIGKILL, -signal.SIGTERM, 0) or saved, (code, child.lines())
        if code == 0:
            return True
        self.kills.append(Kill(name, where(folder, saved), iteration(folder)))
        return False

    def wait(self, child: Any, folder: Path, moment: str) -> bool:
        """Wait for the moment; False where the process ended before."""
        end = time.monotonic() + self.chance.uniform(0, 0.1 if moment == "start" else self.seconds)
        polled = time.monotonic()
        patterns = {"checkpoint": ("checkpoints/.*",), "draft": (".[!l]*", "evaluation/*/.*", "gallery/.*")}
        after = self.chance.randrange(6)  # of what is waited for, that many pass
        seen: set[str] = set()
        while True:
            time.sleep(0.0005)
            now = time.monotonic()
            if moment in patterns:
                seen |= {str(f) for pattern in patterns[moment] for f in folder.glob(pattern)}
                if len(seen) > after:
                    return True
            elif now >= end:
                return True
            if now - polled > 0.02:
                polled = now
                if not os.path.exists(f"/proc/{child.pid}/fd") or not listening(child.pid):
                    return False


def listening(pid: int) -> bool:
    """Whether a process has not ended; one that nobody has buried yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def where(folder: Path, saved: bool) -> str:
    """What a killed process was doing, by what it left."""
    if saved:
        return "saved, then stopped"
    if list(folder.glob("checkpoints/.*.part")):
        return "writing a checkpoint or best weights"
    drafts = [f for pattern in (".*.*.*", "*/.*", "evaluation/*/.*") for f in folder.glob(pattern) if f.is_file()]
    if drafts:
        return "writing " + re.sub(r"iter_\d+", "gallery", drafts[0].name.strip(".").rpartition(".")[0])
    if not (folder / "status.json").exists():
        return "before there was a run"
    if json.loads((folder / "status.json").read_text())["state"] == "finished":
        return "finished, not yet gone"
    return "training" if (folder / "scalars.jsonl").exists() else "starting"


def iteration(folder: Path) -> int:
    """Of the newest checkpoint."""
    return max((int(f.stem[5:]) for f in folder.glob("checkpoints/iter_*.pth")), default=0)


def differences(one: Path, other: Path) -> list[str]:
    """In what two runs differ that must not."""
    files = [{str(f.relative_to(run)) for pattern in WRITTEN for f in run.glob(pattern)} for run in (one, other)]
    found = [f"only in one: {name}" for name in sorted(files[0] ^ files[1])]
    found += [f"left behind: {f}" for f in one.rglob(".*") if f.is_file()]
    for name in sorted(files[0] & files[1]):
        a, b = content(one / name), content(other / name)
        if isinstance(a, dict) and isinstance(b, dict):
            found += [f"{name}: {key}" for key in sorted(a.keys() | b.keys()) if not same(a.get(key), b.get(key))]
        elif a != b:
            found.append(name)
    return found


def content(file: Path) -> Any:
    """What must be the same of a file."""
    if file.suffix == ".pth":
        flat = leaves(torch.load(file, map_location="cpu", weights_only=True))
        scalars = flat.pop("/meta/scalars", "")
        meta = ("/meta/iter", "/meta/fingerprint")
        kept = {key: value for key, value in flat.items() if not key.startswith("/meta") or key in meta}
        return {**kept, "/meta/scalars": rows(scalars)}
    if file.name == "scalars.jsonl":
        return rows(file.read_text())
    if file.name == "status.json":
        return {key: value for key, value in json.loads(file.read_text()).items() if key not in OF_THE_ATTEMPT}
    if file.suffix == ".json":
        return {key: value for key, value in json.loads(file.read_text()).items() if key not in TIMES}
    return file.read_bytes()


def rows(text: str) -> list[dict[str, Any]]:
    """Scalars without times."""
    return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in text.splitlines()]


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Every tensor and value of a checkpoint by its place."""
    if isinstance(value, (dict, list, tuple)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for name, item in items for k, v in leaves(item, f"{path}/{name}").items()}
    return {path: value}


def same(a: Any, b: Any) -> bool:
    """Equal bit for bit."""
    return torch.equal(a, b) if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) else bool(a == b)


def load(name: str) -> Any:
    """A conftest.py as a module."""
    spec = importlib.util.spec_from_file_location("loaded", (Path(__file__).parent / name).resolve())
    module = sys.modules["loaded"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    text = load("../conftest.py").TINY_RECIPE
    with tempfile.TemporaryDirectory(prefix="kills-") as root_name:
        root = Path(root_name)
        (root / "tiny.py").write_text(text.lstrip())
        commands = load("conftest.py").Commands(root)
        try:
            undisturbed, recipe = root / "undisturbed", str(root / "tiny.py")
            begun = time.monotonic()
            first = commands.start("train", recipe, "--work-dir", undisturbed)
            assert first.wait() == 0, first.lines()
            seconds = time.monotonic() - begun
            ordeal = Ordeal(commands, recipe, undisturbed, root, random.Random(arguments.seed), seconds)

            def tell(done: int, kill: Kill, life: int) -> None:
                told = f"{done}/{arguments.kills}  run {life}  {kill.signal:15}  {kill.where}, from {kill.iteration}"
                print(told, file=sys.stderr, flush=True)

            ordeal.run(arguments.kills, tell)
        finally:
            commands.server.kill()
            commands.server.wait()
    print(f"{len(ordeal.kills)} kills over {ordeal.lives} runs; every run ended like the undisturbed one\n")
    counted = Counter((kill.where, kill.signal) for kill in ordeal.kills)
    names = list(dict.fromkeys(SIGNALS))
    print("| killed while | " + " | ".join(names) + " |\n|---|" + "---:|" * len(names))
    for place in sorted({place for place, _ in counted}):
        print(f"| {place} | " + " | ".join(str(counted[place, name]) for name in names) + " |")


if __name__ == "__main__":
    main()
