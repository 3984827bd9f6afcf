"""The stretches of a training: which iterations were computed by which code, packages and machine.

A run that is resumed under another commit, package or machine is no longer of one making. Its status therefore keeps
one entry for each stretch from a start or resumption to the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

LARGEST = 2**53
NUMBERS = ("processes", "threads")
CODE = ("commit", "uncommitted changes", "files of the package", "modules of custom_imports")  # digests
ROUNDING = ("processor", "vector instructions", "threads", "processes")  # they change the order of sums
BITS = "equality to the bit cannot be expected"


@dataclass(frozen=True)
class Stretch:
    """Iterations of a training that were computed without an interruption. Whatever is not known is None.

    Attributes:
        start, end: Iterations done before it and at its last checkpoint.
        seconds: Time spent in its training.
        began: When, in ISO 8601, UTC.
        commit, dirty: Git commit of the code, and whether it had uncommitted changes.
        changes: Digest of these changes; "" where there are none.
        package: Digest of the package's own files.
        modules: Digest of the modules that the recipe imports.
        versions: Versions of Python and of the packages that matter.
        processes: That trained together.
        threads: Of torch in one process, on a CPU.
        host: Where.
        machine: What it was computed on, in words.
        processor: Kind of the processor or GPU.
        vector: The processor's vector instructions that torch uses, such as "AVX2", on a CPU.
    """

    start: int = 0
    end: int = 0
    seconds: float = 0.0
    began: str | None = None
    commit: str | None = None
    dirty: bool | None = None
    changes: str | None = None
    package: str | None = None
    modules: str | None = None
    versions: Mapping[str, str | None] | None = None
    processes: int | None = None
    threads: int | None = None
    host: str | None = None
    machine: str | None = None
    processor: str | None = None
    vector: str | None = None

    @classmethod
    def of(cls, values: Any) -> Stretch:
        """Make a stretch of the values in a status file; fields that this version does not know are left out.

        Raises:
            ValueError: A value is of another type or out of range.
        """
        if isinstance(values, Stretch):
            return values
        names = {field.name for field in fields(cls)}
        known = {key: value for key, value in dict(values).items() if key in names}
        for key, value in known.items():
            if not _valid(key, value):
                raise ValueError(f"{key} of a stretch is {repr(value)[:60]}")
        return cls(**known)


def _valid(key: str, value: Any) -> bool:
    if key in ("start", "end"):
        return type(value) is int and 0 <= value < LARGEST
    if key == "seconds":
        return type(value) in (int, float) and 0 <= value < LARGEST
    if value is None:
        return True
    if key in NUMBERS:
        return type(value) is int and 0 < value < LARGEST
    if key == "dirty":
        return isinstance(value, bool)
    if key == "versions":
        words = [*value, *filter(None, value.values())] if isinstance(value, dict) else [None]
        return all(isinstance(word, str) for word in words)
    return isinstance(value, str)


def begun(before: Sequence[Stretch], new: Stretch) -> tuple[Stretch, ...]:
    """Return the stretches of a run that goes on at an iteration: what was trained beyond it is trained again."""
    kept = (replace(one, end=min(one.end, new.start)) for one in before)
    return (*(one for one in kept if one.end > one.start), new)


def reached(stretches: Sequence[Stretch], iteration: int, seconds: float) -> tuple[Stretch, ...]:
    """Return the stretches of a run whose last one has reached an iteration.

    Args:
        stretches: Of the run.
        iteration: Done so far.
        seconds: Of training so far, over all stretches.
    """
    if not stretches:
        return ()
    *before, last = stretches
    spent = max(0.0, seconds - sum(one.seconds for one in before))
    return (*before, replace(last, end=max(last.start, iteration), seconds=spent))


def changed(before: Stretch, after: Stretch) -> dict[str, tuple[str, str]]:
    """Return in what two stretches differ, by name; what is not known of either does not count."""
    values = ((one.commit, one.changes, one.package, one.modules) for one in (before, after))
    pairs: dict[str, tuple[Any, Any]] = dict(zip(CODE, zip(*values, strict=True), strict=True))
    old, new = before.versions or {}, after.versions or {}
    pairs |= {name: (old[name], new[name]) for name in old if name in new}
    pairs |= {
        "processor": (before.processor, after.processor),
        "vector instructions": (before.vector, after.vector),
        "threads": (before.threads, after.threads),
        "processes": (before.processes, after.processes),
    }
    return {
        name: (_short(name, one), _short(name, two))
        for name, (one, two) in pairs.items()
        if one != two and None not in (one, two)
    }


def _short(name: str, value: Any) -> str:
    return (str(value)[:12] or "none") if name in CODE else str(value)


def in_words(differences: Mapping[str, tuple[str, str]]) -> str:
    """Write differences as a part of a line: "commit c0ffee -> beef00, threads 1 -> 2"."""
    return ", ".join(f"{name} {old} -> {new}" for name, (old, new) in differences.items())


def turns(stretches: Iterable[Stretch]) -> list[str]:
    """Return a line for each iteration from which a training went on in another way than before."""
    found = list(stretches)
    lines = []
    for one, two in zip(found, found[1:], strict=False):
        if differences := changed(one, two):
            lines.append(f"from iteration {two.start} on: {in_words(differences)}")
    return lines


def described(stretches: Sequence[Stretch]) -> list[str]:
    """Return a line for each stretch: its iterations, what it was computed on, and in what it is other than before."""
    lines = []
    for number, one in enumerate(stretches):
        facts = [one.processor or one.machine, one.vector, one.threads and f"threads {one.threads}"]
        facts += [f"processes {one.processes}" if (one.processes or 1) > 1 else None]
        other = in_words(changed(stretches[number - 1], one)) if number else ""
        where = ", ".join(str(fact) for fact in facts if fact) or "not recorded"
        line = f"iterations {one.start} to {one.end} in {one.seconds:.0f} s: {where}"
        lines.append(f"{line} (other than before: {other})" if other else line)
    return lines


def distinct(stretches: Iterable[Stretch], name: str) -> list[Any]:
    """Return the known values of a field over stretches, each once, in their order."""
    return list(dict.fromkeys(value for one in stretches if (value := getattr(one, name)) is not None))
