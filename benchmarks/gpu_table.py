"""Table 4 as a piece of ``benchmarks/gpu.py``: several runs at once on one GPU, kept as one small file."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpu_pieces import Setup

LARGE = {"checkpoints", "gallery", "events", "wandb"}  # folders of a run that no table needs


def table_command(setup: Setup, record: Path) -> list[str]:
    """Return the command that trains what is left of the table."""
    command = [sys.executable, "-m", "dupl", "ablate", setup.plan, "--root", str(setup.work / "runs")]
    command += ["--seeds", *map(str, setup.seeds)]
    command += ["--gpus", "none"] if setup.toy else ["--gpus", "0", "--runs-per-gpu", str(setup.runs_per_gpu)]
    return [*command, *_overrides(setup)]


def _overrides(setup: Setup) -> list[str]:
    """Return where data and weights lie."""
    given = []
    if setup.images:
        root = Path(setup.images).absolute()
        given += [f"data.train.root={root}", f"data.val.root={root}"]
    if setup.weights:
        given.append(f"model.network.backbone.weights={Path(setup.weights).absolute()}")
    return ["--set", *given] if given else []


def tell_table(setup: Setup, printed: str) -> str:
    """Return the table as far as it goes, with the runs that are finished and what the scheduler printed last."""
    runs = setup.work / "runs"
    command = [sys.executable, "-m", "dupl", "report", setup.plan, "--root", str(runs)]
    command += ["--seeds", *map(str, setup.seeds), *_overrides(setup)]
    report = subprocess.run(command, capture_output=True, text=True)
    end = (printed.strip().splitlines() or ["nothing was printed"])[-1]
    count = f"{len(finished(runs))} runs are finished, {setup.runs_per_gpu} at once. `dupl ablate` ended with: {end}"
    return f"{count}\n\n{(report.stdout or report.stderr).strip()}"


def finished(runs: Path) -> list[Path]:
    """Return the folders of the finished runs."""
    found = []
    for status in sorted(runs.glob("*/status.json")):
        try:
            if json.loads(status.read_text(encoding="utf-8")).get("state") == "finished":
                found.append(status.parent)
        except ValueError:  # being written when the process was killed
            continue
    return found


def pack(runs: Path, file: Path) -> None:
    """Write the finished runs into one file, without checkpoints and pictures; runs at work begin again elsewhere."""
    folders = finished(runs)
    if not folders:
        return
    beside = file.with_name(f".{file.name}.new")
    with tarfile.open(beside, "w:gz") as archive:
        for folder in folders:
            archive.add(folder, folder.name, filter=_small)
    beside.replace(file)


def _small(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    parts = Path(entry.name).parts
    return None if len(parts) > 1 and parts[1] in LARGE else entry


def unpack(file: Path, runs: Path) -> None:
    """Restore the runs of an earlier call; those that are there already stay."""
    if not file.is_file():
        return
    runs.mkdir(parents=True, exist_ok=True)
    there = {folder.name for folder in runs.iterdir()}
    with tarfile.open(file) as archive:
        chosen = [entry for entry in archive if Path(entry.name).parts[0] not in there]
        archive.extractall(runs, chosen, filter="data")
