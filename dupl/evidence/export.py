"""Write the archive of a table: its numbers, and all that they follow from."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dupl.errors import UserError
from dupl.evidence import cells_file, container, crate, gather
from dupl.evidence.anonymous import Redactor
from dupl.evidence.consistency import TABLE
from dupl.evidence.planned import PLAN, ArchivedPlan
from dupl.evidence.recompute import Recomputed, recompute
from dupl.evidence.verify import MEANING, Verification, unpack, verify
from dupl.report.tables.layout import layout
from dupl.report.tables.markdown import markdown
from dupl.report.tables.render import csv_text
from dupl.runs.layout import EVALUATIONS, PER_IMAGE
from dupl.runs.stored_run import StoredRun
from dupl.terminal import counted
from dupl.version import __version__

AUTHOR = "DuPL Lab contributors"
README, CITATION = "README.md", "CITATION.cff"
METHOD = """preferred-citation:
  type: conference-paper
  title: "DuPL: Dual Student with Trustworthy Progressive Learning for Robust Weakly Supervised Semantic Segmentation"
  authors:
    - name: Wu et al.
  collection-title: Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition
  year: 2024
"""


@dataclass(frozen=True)
class Exported:
    """An archive that was written.

    Attributes:
        path: The file.
        digest: Its SHA-256.
        size: Its bytes.
        verification: Of the file, as `dupl verify` makes it.
    """

    path: Path
    digest: str
    size: int
    verification: Verification


def export(
    archived: ArchivedPlan,
    runs: Mapping[str, StoredRun],
    out: Path,
    *,
    forms: Mapping[str, str] | None = None,
    anonymous: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> Exported:
    """Write an archive and verify it.

    Args:
        archived: The plan and its runs.
        runs: The runs that a store holds, by id, with the evaluations that the table shows.
        out: The file to write.
        forms: Further texts by name, such as the compute report.
        anonymous: Whether to leave out what names people, machines and places.
        tell: Called with lines on what is not in the archive.

    Raises:
        UserError: There is no run, a file cannot be read, or a package of the extra "evidence" is missing.
    """
    if out.suffix != ".zip":
        raise UserError(f"--out {out}: end it with .zip")
    if not runs:
        raise UserError(f"no run of {archived.plan.name} is in the store: there is nothing to archive")
    crate.need("rocrate.rocrate"), crate.need("mlcroissant")
    chosen = list(runs.values())
    members, hide = _members(archived, chosen, forms or {}, anonymous, tell)
    with tempfile.TemporaryDirectory() as place:
        unpack(members, Path(place))
        found = recompute(Path(place))
    members[cells_file.CELLS] = cells_file.text_of(found).encode()
    members[TABLE] = markdown(layout(found.table)).encode()
    author, title = "" if anonymous else AUTHOR, found.archived.plan.title
    members[README] = _readme(found, anonymous).encode()
    members[CITATION] = _citation(title, author).encode()
    shown = [_hidden(run) for run in chosen] if hide else chosen
    members[crate.CRATE], day = crate.describe(members, title, shown, author, _sentence(found))
    members[crate.CROISSANT] = crate.data_lists(members, title, day, author)
    digest = container.write(out, members)
    return Exported(out, digest, out.stat().st_size, verify(out))


def _members(
    archived: ArchivedPlan,
    runs: Sequence[StoredRun],
    forms: Mapping[str, str],
    anonymous: bool,
    tell: Callable[[str], None],
) -> tuple[dict[str, bytes], Redactor | None]:
    """Return the members from which the table follows, and what hides names in them."""
    hide = Redactor.of(runs) if anonymous else None
    change: Callable[[Any], Any] = hide.config if hide else lambda values: values
    members = {PLAN: archived.text().encode("utf-8", "backslashreplace")}
    weights: list[tuple[object, ...]] = []
    for run in runs:
        members |= gather.run_members(run, archived.plan.columns, change)
        weights += gather.weight_rows(run, tell)
    rows = [dict(zip(gather.WEIGHT_COLUMNS, row, strict=True)) for row in weights]
    members[gather.WEIGHTS] = csv_text(rows, gather.WEIGHT_COLUMNS).encode()
    members |= gather.image_lists(members) | {name: text.encode() for name, text in forms.items()}
    return (hide.members(members), hide) if hide else (members, None)


def _hidden(run: StoredRun) -> StoredRun:
    """Return a run without what its status says of commands and hosts."""
    return replace(run, status=replace(run.status, host=None, command=[]))


def _sentence(found: Recomputed) -> str:
    runs = len(found.stored)
    return f"Evidence of a table: {counted(runs, 'run')}, the counts per image behind every cell, configs and versions."


def _readme(found: Recomputed, anonymous: bool) -> str:
    """Return what the archive says of itself."""
    plan = found.archived.plan
    hidden = "Hosts, users, paths, commands, commits and uncommitted changes are left out." if anonymous else ""
    return "\n".join(
        [
            f"# {plan.title}",
            "",
            f"{_sentence(found)} Written by DuPL Lab {__version__}. {hidden}".rstrip(),
            "",
            "    pip install --no-deps . && pip install numpy scipy pandas psutil pillow rich",
            "    dupl verify FILE.zip    # in a clone of DuPL Lab",
            "",
            f"This computes every number of `{cells_file.CELLS}` again from `runs/ID/{EVALUATIONS}/*/{PER_IMAGE}`.",
            MEANING,
            "",
            f"- `{cells_file.CELLS}`, `{TABLE}`: the cells, and the table that shows them",
            f"- `{PLAN}`: rows, columns and runs",
            "- `runs/ID/`: config, status with code, versions and machine, scalars, digests of data, counts",
            f"- `{gather.WEIGHTS}`: digests of the weights that runs began with and of those that they kept",
            "- `data/`: names of the images that were counted; `croissant.json` describes these lists",
            "- `compute.csv`, `compute.md`: what the runs took",
            f"- `{container.MANIFEST}`: SHA-256 of every member",
            "",
        ]
    )


def _citation(title: str, author: str) -> str:
    """Return the CITATION.cff of the archive; an anonymous one names nobody."""
    lines = [
        "cff-version: 1.2.0",
        "message: If you use this evidence, please cite it and the software that made it.",
        f'title: "Evidence: {title.replace(chr(34), chr(39))}"',
        "type: dataset",
        f"version: {__version__}",
        "authors:",
        f"  - name: {author or 'Anonymous'}",
    ]
    return "\n".join(lines) + "\n" + (METHOD if author else "")
