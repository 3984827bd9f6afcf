"""The result of a data check: problems and counts, and their form as plain text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from dupl.terminal import counted

Severity = Literal["error", "warning"]
# Per split: images, masks, images without a tag, and pairs of image and class on which mask and tags disagree.
COUNTS = ("images", "masks", "untagged", "in mask, not in tags", "in tags, not in mask")


@dataclass(frozen=True)
class Problem:
    """One finding.

    Attributes:
        severity: An "error" makes training or evaluation wrong or impossible; a "warning" may be intended.
        split: The split it was found in.
        file: The file, or the image's name where it has no file.
        message: What is wrong and what to do.
    """

    severity: Severity
    split: str
    file: str
    message: str


@dataclass
class Report:
    """The result of a check.

    Attributes:
        problems: In the order of splits and images.
        counts: Per split, the `COUNTS`.
        class_counts: Per split, the number of images that carry the tag of each foreground class.
        classes: Per split whose classes a table names, one line on them.
        masks: Per split with masks, one line on what they hold, see `dupl.data.mask_summary`.
    """

    problems: list[Problem] = field(default_factory=list)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    class_counts: dict[str, dict[str, int]] = field(default_factory=dict)
    classes: dict[str, str] = field(default_factory=dict)
    masks: dict[str, str] = field(default_factory=dict)

    @property
    def errors(self) -> int:
        """Number of errors."""
        return sum(problem.severity == "error" for problem in self.problems)

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings are allowed."""
        return self.errors == 0

    def lines(self, limit: int | None = 50) -> list[str]:
        """Return the report as plain text: errors, warnings (at most `limit` of each), counts."""
        text: list[str] = []
        for severity in ("error", "warning"):
            found = [problem for problem in self.problems if problem.severity == severity]
            text += [f"{severity:<7}  {p.split}  {p.file}: {p.message}" for p in found[:limit]]
            if limit is not None and len(found) > limit:
                text.append(f"{severity:<7}  ... and {len(found) - limit} more")
        warnings = len(self.problems) - self.errors
        text += [f"classes  {split}: {line}" for split, line in self.classes.items()]
        text += [f"masks    {split}: {line}" for split, line in self.masks.items()]
        return [*text, *self._count_lines(), f"{counted(self.errors, 'error')}, {counted(warnings, 'warning')}"]

    def _count_lines(self) -> list[str]:
        """Return the counts as a table with one column per split."""
        splits = list(self.counts)
        rows = [*_rows(self.counts), *_rows(self.class_counts)]
        first = max(map(len, [*COUNTS, *(name for name, _ in rows)]))
        lines = [" ".join([" " * first, *(f"{split:>8}" for split in splits)])]
        for name, numbers in rows:
            cells = (f"{numbers.get(split, '–'):>{max(8, len(split))}}" for split in splits)
            lines.append(" ".join([f"{name:<{first}}", *cells]))
        return lines


def _rows(counts: Mapping[str, Mapping[str, int]]) -> list[tuple[str, dict[str, int]]]:
    """Return counts by split as rows: a name, and its number in each split that has one."""
    names = dict.fromkeys(name for numbers in counts.values() for name in numbers)
    return [(name, {split: numbers[name] for split, numbers in counts.items() if name in numbers}) for name in names]
