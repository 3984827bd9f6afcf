"""Chosen runs side by side: curves, bars, settings that differ, and galleries at the same iteration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dupl.board.site import BoardSite
from dupl.errors import UserError
from dupl.report.pages import dashboard
from dupl.runs import layout
from dupl.runs.gallery import read_sheet
from dupl.track.workspace import BOARDS

MOST = 40  # runs side by side
KEPT = ("iter", "cell", "columns", "legend")  # of the description of a contact sheet


def compare(names: Sequence[str], folders: Sequence[Path], site: BoardSite) -> str:
    """Return the page of chosen runs as HTML.

    Args:
        names: Folders of the runs below the store.
        folders: The same as paths.
        site: Where the page stands.

    Raises:
        UserError: There are none, or too many.
    """
    if len(names) > MOST:
        raise UserError(f"{len(names)} runs do not fit side by side: choose at most {MOST}")
    galleries = [{"shots": shots(name, folder, site)} for name, folder in zip(names, folders, strict=True)]
    boards = [asdict(board) for board in BOARDS]
    return dashboard.page(list(folders), boards, site=site, galleries=galleries)


def shots(name: str, folder: Path, site: BoardSite) -> list[dict[str, Any]]:
    """Return what a run's gallery shows at each evaluation, with the address of its contact sheet."""
    found = []
    for file in layout.gallery_descriptions(folder):
        try:
            described = read_sheet(file)
        except (OSError, ValueError, LookupError, TypeError, RecursionError):  # the run's own page says what is wrong
            continue
        images = [{key: image[key] for key in ("name", "size", "filled")} for image in described["images"]]
        sheet = site.addresses.sheet(name, described["iter"])
        found.append({**{key: described[key] for key in KEPT}, "images": images, "sheet": sheet})
    return found


def sheet_bytes(folder: Path, iteration: int) -> bytes:
    """Return the contact sheet of an iteration.

    Raises:
        UserError: The run has none, or the file is no WebP picture.
    """
    try:
        found = (folder / layout.gallery_sheet(iteration)).read_bytes()
    except OSError:
        raise UserError(f"the run has no pictures of iteration {iteration}") from None
    if found[:4] != b"RIFF" or found[8:12] != b"WEBP":
        raise UserError(f"the pictures of iteration {iteration} are corrupt")
    return found
