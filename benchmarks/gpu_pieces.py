"""The pieces of ``benchmarks/gpu.py``, in order of worth: each is a command, and how its output is told."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gpu_table import table_command, tell_table

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Setup:
    """What all pieces share.

    Attributes:
        work: Folder for runs, records and logs.
        toy: Whether to work at toy size on the CPU.
        images: Photos in VOC layout; None: toy scenes.
        weights: Weights of DeiT-tiny; None: what the recipe says.
        plan: The plan of the table.
        seeds: Its seeds.
        runs_per_gpu: Its runs at once.
    """

    work: Path
    toy: bool
    images: str | None
    weights: str | None
    plan: str
    seeds: tuple[int, ...]
    runs_per_gpu: int

    @property
    def device(self) -> list[str]:
        """Options of the benchmarks for device, case and inputs."""
        images = ["--images", str(Path(self.images).absolute())] if self.images else []
        if self.toy:
            return ["--case", "micro", "--device", "cpu", "--threads", "1", *images]
        return ["--case", "vitb", "--batch", "4", "--device", "cuda", *images]


@dataclass(frozen=True)
class Piece:
    """Some minutes of work.

    Attributes:
        name: For --only and the files.
        title: Heading of its result.
        minutes: Expected on one GPU; no measurement.
        command: The command line for a setup and the file of the record.
        tell: Markdown of what the command printed.
    """

    name: str
    title: str
    minutes: float
    command: Callable[[Setup, Path], list[str]]
    tell: Callable[[Setup, str], str]


def pieces(setup: Setup) -> list[Piece]:
    """Return all pieces, the most useful ones first."""
    return [
        Piece("tests", "Tests that need a GPU", 1, _tests, _last_line),
        Piece(
            "exactness", "The same step twice: bits and time, deterministic off and on", 1, _steps("exactness"), _table
        ),
        Piece("losses", "Losses and gradients in other precisions, beside float32", 1, _steps("losses"), _table),
        Piece("step", "The step of ViT-B at 448 px, float32", 1, _use("off", "none"), _table),
        Piece("bf16", "The same in bfloat16", 1, _use("bf16", "none"), _table),
        Piece("inductor", "The same in bfloat16, blocks compiled", 2, _use("bf16", compiled(setup)), _table),
        Piece("graphs", "The same in bfloat16, blocks as CUDA graphs", 2, _use("bf16", graphs(setup)), _table),
        Piece("fp32-inductor", "The step in float32, blocks compiled", 2, _use("off", compiled(setup)), _table),
        Piece("loader", "What the loader gives, by its workers", 1, _steps("loader"), _table),
        Piece("table4", "Table 4 on photos, several runs on the GPU", 20, table_command, tell_table),
    ]


def compiled(setup: Setup) -> str:
    """Return the backend of torch.compile; the toy size needs no compiler."""
    return "eager" if setup.toy else "inductor"


def graphs(setup: Setup) -> str:
    """Return the backend that records CUDA graphs, or its stand-in on the CPU."""
    return "aot_eager" if setup.toy else "cudagraphs"


def _tests(setup: Setup, record: Path) -> list[str]:
    test = FOLDER.parent / "tests/engine/test_gpu.py"
    return [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", str(test)]


def _steps(name: str) -> Callable[[Setup, Path], list[str]]:
    """Return the command of one part of ``gpu_steps.py``."""

    def command(setup: Setup, record: Path) -> list[str]:
        repeats = ["--repeats", "1"] if setup.toy else []
        return [sys.executable, str(FOLDER / "gpu_steps.py"), name, *setup.device, *repeats, "--json", str(record)]

    return command


def _use(precision: str, compile_by: str) -> Callable[[Setup, Path], list[str]]:
    """Return the command for step time, MFU, waits of the host and hours of 20,000 iterations of one variant."""

    def command(setup: Setup, record: Path) -> list[str]:
        chosen = ["--precision", precision, "--compile", compile_by, "--loader-seconds", "1"]
        chosen += ["--workers", "0"] + (["--repeats", "1", "--here"] if setup.toy else ["--repeats", "10"])
        return [sys.executable, str(FOLDER / "utilisation.py"), *setup.device, *chosen, "--json", str(record)]

    return command


def _last_line(setup: Setup, printed: str) -> str:
    """Return the summary of pytest, and the tests that did not pass."""
    lines = [line for line in printed.splitlines() if line.strip()]
    said = [f"- {line}" for line in lines if line.startswith(("FAILED", "ERROR", "SKIPPED"))]
    return "\n".join([*said, *lines[-1:]])


def _table(setup: Setup, printed: str) -> str:
    """Return what a benchmark printed; its output is Markdown."""
    return printed.strip()
