"""Do everything that one GPU should do for this project, in pieces of minutes, the most useful ones first.

    python benchmarks/gpu.py --minutes 9 --out DIR --images VOC --weights FILE
    python benchmarks/gpu.py --minutes 9 --out DIR2 --continue DIR --images VOC --weights FILE

Each result is written as it comes: results.json and results.md in DIR, and table4.tar.gz with the finished runs of the
table. --continue takes what an earlier call wrote, possibly on another machine, and does the rest. A piece that does
not fit into the time is stopped and repeated by the next call; one that fails twice is left out and said. Without a GPU
the command prints what it would do; --toy does all of it at toy size on the CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gpu_pieces import FOLDER, Piece, Setup, pieces
from gpu_table import pack, unpack

ATTEMPTS = 2
RESULTS, PAGE, RUNS = "results.json", "results.md", "table4.tar.gz"
LEAST = 20.0  # seconds below which no piece is started
GRACE = 25.0  # seconds that a stopped piece has to end, and the time kept for the last files


@dataclass
class Result:
    """What became of a piece.

    Attributes:
        state: "done", "stopped" (the time was over) or "failed".
        attempts: How often it failed.
        seconds: Of the last attempt.
        text: Markdown of the result, or the last lines of what a failed command printed.
        record: The same as plain values, where the command writes them.
    """

    state: str
    attempts: int = 0
    seconds: float = 0.0
    text: str = ""
    record: Any = None

    @property
    def settled(self) -> bool:
        """Whether it is not to be tried again."""
        return self.state == "done" or self.attempts >= ATTEMPTS


@dataclass
class Ledger:
    """The results so far, which are written after each piece.

    Attributes:
        out: Folder of the files.
        facts: What the results were measured on, one line per call.
        results: By the name of the piece.
    """

    out: Path
    facts: list[str] = field(default_factory=list)
    results: dict[str, Result] = field(default_factory=dict)

    @classmethod
    def open(cls, out: Path, earlier: Path | None) -> Ledger:
        """Begin with what an earlier call wrote, in another folder or in the same."""
        out.mkdir(parents=True, exist_ok=True)
        source = (earlier or out) / RESULTS
        if earlier is not None and not source.is_file():
            raise SystemExit(f"--continue {earlier}: there is no {RESULTS}; name a folder that an earlier call wrote")
        if not source.is_file():
            return cls(out)
        values = json.loads(source.read_text(encoding="utf-8"))
        return cls(out, values["facts"], {name: Result(**one) for name, one in values["results"].items()})

    def write(self, plan: list[Piece]) -> None:
        """Write both files; each is replaced at once."""
        values = {"facts": self.facts, "results": {name: asdict(one) for name, one in self.results.items()}}
        _replace(self.out / RESULTS, json.dumps(values, indent=1) + "\n")
        lines = ["# What one GPU said", "", *self.facts]
        for piece in plan:
            lines += ["", f"## {piece.title}", "", *self._section(piece)]
        _replace(self.out / PAGE, "\n".join(lines) + "\n")

    def _section(self, piece: Piece) -> list[str]:
        one = self.results.get(piece.name)
        if one is None:
            return ["Not done yet."]
        if one.state == "failed":
            return [
                f"Failed ({one.attempts} of {ATTEMPTS} attempts), the end of its output:",
                "",
                "```",
                one.text,
                "```",
            ]
        note = [] if one.state == "done" else ["", "Stopped as the time was over; the next call continues."]
        return [one.text or "Nothing yet.", *note, "", f"{one.seconds:.0f} s."]


def _replace(file: Path, text: str) -> None:
    beside = file.with_name(f".{file.name}.new")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, file)


def work(piece: Piece, setup: Setup, seconds: float) -> Result:
    """Run the command of a piece for at most so many seconds."""
    record = setup.work / f"{piece.name}.json"
    record.unlink(missing_ok=True)
    files = [setup.work / f"{piece.name}.{kind}" for kind in ("out", "err")]
    began = time.monotonic()
    with open(files[0], "wb") as out, open(files[1], "wb") as err:
        command = piece.command(setup, record)
        child = subprocess.Popen(command, stdout=out, stderr=err, cwd=FOLDER.parent, start_new_session=True)
        try:
            code: int | None = child.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
            stop(child)
    printed, said = (file.read_text(encoding="utf-8", errors="replace") for file in files)
    took = time.monotonic() - began
    if code not in (0, None):
        return Result("failed", 1, took, "\n".join((printed + said).splitlines()[-15:]))
    values = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else None
    return Result("stopped" if code is None else "done", 0, took, piece.tell(setup, printed), values)


def stop(child: subprocess.Popen[bytes]) -> None:
    """Ask a command to save and end, and kill what is left of its group."""
    child.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        child.wait(GRACE)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def carry_out(plan: list[Piece], ledger: Ledger, setup: Setup, ends: float) -> None:
    """Do the pieces that are not settled, in their order, until the time is over."""
    for piece in plan:
        before = ledger.results.get(piece.name)
        left = ends - time.monotonic() - GRACE
        if (before is not None and before.settled) or left < LEAST:
            continue
        print(f"{piece.title} ...", flush=True)
        found = work(piece, setup, left)
        if found.state == "failed":
            found.attempts += before.attempts if before is not None else 0
        ledger.results[piece.name] = found
        pack(setup.work / "runs", ledger.out / RUNS)
        ledger.write(plan)
        print(f"  {found.state}, {found.seconds:.0f} s", flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9.0, help="time of this call; default: 9")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results, three files")
    parser.add_argument("--continue", dest="earlier", type=Path, metavar="DIR", help="go on from an earlier call")
    parser.add_argument(
        "--images", metavar="DIR", help="photos in VOC layout; default: toy scenes, and the demo's table"
    )
    parser.add_argument("--weights", metavar="FILE", help="weights of deit_tiny_patch16_224, for the table on photos")
    parser.add_argument("--plan", help="the table; default: animals_table4 with --images, otherwise demo_table4")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of the table; default: 0 1 2")
    parser.add_argument("--runs-per-gpu", type=int, default=6, metavar="N", help="of the table; default: 6")
    parser.add_argument("--only", nargs="+", metavar="PIECE", help="some of the pieces")
    parser.add_argument("--work", type=Path, metavar="DIR", help="folder for runs and logs; default: a temporary one")
    parser.add_argument("--toy", action="store_true", help="all of it at toy size on the CPU, to try the command")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        setup = Setup(
            work=(options.work or Path(folder)).absolute(),
            toy=options.toy,
            images=options.images,
            weights=options.weights,
            plan=options.plan or ("animals_table4" if options.images else "demo_table4"),
            seeds=tuple(options.seeds),
            runs_per_gpu=options.runs_per_gpu,
        )
        plan = pieces(setup)
        if unknown := sorted({*(options.only or ())} - {piece.name for piece in plan}):
            parser.error(f"--only {' '.join(unknown)}: choose from {', '.join(piece.name for piece in plan)}")
        plan = [piece for piece in plan if not options.only or piece.name in options.only]
        where = None if options.toy else gpu()
        if not options.toy and where is None:
            print("torch sees no GPU here. On a machine with one this command would do:\n")
            print("\n".join(outline(plan, setup)))
            return
        ends = time.monotonic() + 60 * options.minutes
        setup.work.mkdir(parents=True, exist_ok=True)
        ledger = Ledger.open(options.out, options.earlier)
        unpack((options.earlier or options.out) / RUNS, setup.work / "runs")
        ledger.facts.append(f"- {time.strftime('%Y-%m-%d')}: {where or 'the CPU, at toy size'}; {versions()}")
        carry_out(plan, ledger, setup, ends)
        ledger.write(plan)
    left = [piece.name for piece in plan if (one := ledger.results.get(piece.name)) is None or not one.settled]
    print(f"{options.out / PAGE}; left to do: {', '.join(left) or 'nothing'}")


def gpu() -> str | None:
    """Return the name of the GPU and what it computes; None without one."""
    import torch

    from dupl.engine.precision import capability

    if not torch.cuda.is_available():
        return None
    return f"{torch.cuda.get_device_name()}, which {capability(torch.device('cuda', 0))}"


def versions() -> str:
    """Return the code and the packages that matter."""
    from dupl.runs import provenance

    code, found = provenance.code(), provenance.versions()
    commit = f"commit {code.commit[:10]}{' with changes' if code.dirty else ''}" if code.commit else "no checkout"
    return f"{commit}, torch {found['torch']}, timm {found['timm']}, Python {sys.version.split()[0]}"


def outline(plan: list[Piece], setup: Setup) -> list[str]:
    """Return what would be done, in order, with the commands."""
    lines = []
    for number, piece in enumerate(plan, 1):
        words = " ".join(piece.command(setup, Path("OUT.json")))
        lines += [f"{number}. {piece.name} (expected: {piece.minutes:g} min): {piece.title}", f"   {words}"]
    return lines


if __name__ == "__main__":
    main()
