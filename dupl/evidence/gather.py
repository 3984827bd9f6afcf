"""The files of a run that go into an archive."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.checksum import file_sha256
from dupl.config.fingerprint import weight_files
from dupl.config.text import to_text
from dupl.errors import UserError
from dupl.evidence.container import PART
from dupl.evidence.recompute import RUNS
from dupl.places import find_weights
from dupl.runs import ids, layout
from dupl.runs.config import read_config_values
from dupl.runs.files import jsonable
from dupl.runs.stored_run import StoredRun

if TYPE_CHECKING:
    from dupl.plans.plan import Column

TABLES = (layout.PER_IMAGE, layout.CONFUSION, layout.PER_CLASS)
WEIGHTS = "weights.csv"  # of the archive
WEIGHT_COLUMNS = ("run", "what", "file", "bytes", "sha256")
Members = dict[str, bytes]


def run_members(
    stored: StoredRun, columns: Sequence[Column], change: Callable[[Any], Any] = lambda values: values
) -> Members:
    """Return the files of a run by their name in the archive.

    Of its evaluations those that speak for the run are kept, those of its best weights where a column shows them, and
    no checkpoint.

    Args:
        stored: The run, with the evaluations that its table shows.
        columns: Of the table; the counts of evaluations by their protocols are kept, of others the metrics alone.
        change: Applied to the config before it is written.

    Raises:
        UserError: A file of the run cannot be read.
    """
    place, found = f"{RUNS}/{stored.fingerprint}", Members()
    found[f"{place}/{layout.CONFIG}"] = to_text(change(read_config_values(stored.path))).encode()
    status = replace(stored.status, state=stored.state, pid=None, id_version=ids.VERSION)
    found[f"{place}/{layout.STATUS}"] = as_json(asdict(status))
    if scalars := stored.run.scalars_text():
        found[f"{place}/{layout.SCALARS}"] = scalars.encode()
    best = stored.path / layout.BEST_RECORD
    if best.is_file() and any(column.report == "best" for column in columns):
        found[f"{place}/{layout.BEST_RECORD}"] = _read(best)
    for file in [stored.path / layout.DATA, *sorted(stored.path.glob("git*.diff"))]:
        if file.is_file():
            found[f"{place}/{file.name}"] = _read(file)
    names, counted = set[str](), {column.protocol for column in columns}
    shown = [one for one in stored.evaluations if one.last or any(column.shows(one) for column in columns)]
    for number, one in enumerate(shown):
        name = one.folder.name if PART.fullmatch(one.folder.name) else f"evaluation-{number}"
        name = f"{name}-{number}" if name in names else name
        names.add(name)
        for file in (layout.METRICS, *(TABLES if one.protocol in counted else ())):
            if (one.folder / file).is_file():
                found[f"{place}/{layout.EVALUATIONS}/{name}/{file}"] = _read(one.folder / file)
    return found


def weight_rows(stored: StoredRun, tell: Callable[[str], None]) -> list[tuple[object, ...]]:
    """Return digests of the weights that a run began with and of those that it kept, in `WEIGHT_COLUMNS`.

    Args:
        stored: The run.
        tell: Called with a line for each file that is not here.
    """
    rows = []
    for name in weight_files(read_config_values(stored.path).get("model")):
        rows.append((stored.fingerprint, "start", *_digest(find_weights(name), tell)))
    last = layout.checkpoints(stored.path)[:1]
    for what, file in [("last", path) for _, path in last] + [("best", stored.path / layout.BEST)]:
        if file.is_file():
            rows.append((stored.fingerprint, what, *_digest(file, tell)))
    return rows


def as_json(value: Any) -> bytes:
    """Return a value as the JSON text of the archive."""
    return (json.dumps(jsonable(value), indent=1, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def _digest(file: Path, tell: Callable[[str], None]) -> tuple[object, ...]:
    try:
        return file.name, file.stat().st_size, file_sha256(file)
    except OSError:
        tell(f"{file} is not here: its digest is not in the archive")
        return file.name, None, None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror or error}") from None


def image_lists(members: Mapping[str, bytes]) -> Members:
    """Return the names of the images that were counted as CSV, a file for each set of names and split."""
    import csv
    import io

    found, seen = Members(), dict[tuple[str, ...], str]()
    for name, data in sorted(members.items()):
        if not name.endswith(f"/{layout.PER_IMAGE}"):
            continue
        rows = csv.reader(io.StringIO(data.decode()))
        next(rows, None)
        images = tuple(dict.fromkeys(row[1] for row in rows))
        if images and images not in seen:
            seen[images] = f"data/images-{len(seen) + 1}.csv"
            found[seen[images]] = ("image\n" + "".join(f"{_quoted(image)}\n" for image in images)).encode()
    return found


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in '",\n\r') else text
