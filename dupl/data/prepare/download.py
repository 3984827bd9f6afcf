"""Downloading an archive: continued after cut connections and interruptions, and kept only if it verifies."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from dupl.data.prepare.archives import Archive
from dupl.data.prepare.checksums import is_known, verify
from dupl.data.prepare.disk import AGAIN, amount, require, write_all, writing
from dupl.data.prepare.partial import PartialFile
from dupl.errors import UserError
from dupl.version import __version__

Tick = Callable[[str, int, "int | None"], None]  # what is being done, amount done, amount in all
ATTEMPTS = 6  # failures in a row without progress
TIMEOUT = 60.0  # seconds without an answer
_PIECE = 1 << 20
_ELSEWHERE = "give another address with --mirror URL, or a folder that has the file with --from DIR"


class _CutError(Exception):
    """The connection ended early, and another attempt may succeed."""


def download(
    archive: Archive, folder: Path, mirror: str | None, tick: Tick, pause: Callable[[float], None] = time.sleep
) -> Path:
    """Download and verify an archive unless it is in the folder already, and return its path.

    Args:
        archive: The archive.
        folder: Folder to download to; NAME.part and NAME.part.json are there meanwhile, a wrong file is kept as
            NAME.bad.
        mirror: Address of a folder that has the file, instead of its owner's address.
        tick: Receives the progress.
        pause: Waits for a number of seconds between attempts.

    Raises:
        UserError: The server refuses or fails repeatedly, the file is wrong, or the disk is full.
    """
    final = folder / archive.name
    if final.is_file():
        if not is_known(archive.name, folder):  # the user put it there
            verify(final, archive, folder, tick)
        return final
    url = address(archive, mirror)
    if not url.startswith(("http://", "https://")):
        raise UserError(f"{url} is not a web address: --mirror takes http:// or https://, --from takes a folder")
    part = PartialFile(folder / f"{archive.name}.part")
    with writing(folder, archive.name, lambda: (part.size or archive.size or 0) - part.have):
        folder.mkdir(parents=True, exist_ok=True)
        part.restore(url)
        _receive_all(url, part, archive, tick, pause)
        try:
            verify(part.path, archive, folder, tick, aside=final.with_name(f"{archive.name}.bad"))
        except UserError:
            part.delete()
            raise
        part.path.rename(final)
        part.delete()
    return final


def address(archive: Archive, mirror: str | None) -> str:
    """Return an archive's address: its owner's, or its name on a mirror."""
    return archive.url if mirror is None else f"{mirror.rstrip('/')}/{archive.name}"


def _receive_all(url: str, part: PartialFile, archive: Archive, tick: Tick, pause: Callable[[float], None]) -> None:
    """Download until the part is complete; wait longer after each failure in a row."""
    most, failures = part.have, 0
    while True:
        try:
            _receive(url, part, archive, tick)
            return
        except _CutError as cut:
            failures = failures + 1 if part.have <= most else 0
            most = max(most, part.have)
            if failures >= ATTEMPTS:
                got = f"{amount(part.have)} are here"
                raise UserError(f"{archive.name}: {url} failed {failures} times ({cut}); {got}; {AGAIN}") from None
            tick(f"{archive.name}: {cut}, trying again", part.have, part.size)
            pause(min(2**failures, 60))


def _receive(url: str, part: PartialFile, archive: Archive, tick: Tick) -> None:
    """Append the missing bytes to a part over one connection."""
    have = part.have if part.validator else 0
    if have and have == part.size:
        return
    with _request(url, part, archive, have) as response:
        if response.status == 206:
            place = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range") or "")
            if place is None or int(place[1]) != have or int(place[2]) != part.size:
                part.delete()
                raise _CutError("the server sent another part than requested")
        else:  # from the start: a first attempt, a server that sends no parts, or a file that has changed
            have = 0
            _start(url, response, part, archive)
        require(part.path.parent, archive.name, (part.size or archive.size or 0) - have)
        _store(response, part, archive.name, have, part.size or archive.size, tick)


def _request(url: str, part: PartialFile, archive: Archive, have: int) -> Any:
    """Request the bytes of a file after the first `have`."""
    headers = {"User-Agent": f"dupl/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": str(part.validator)}
    try:
        return urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code == 416:  # the file is shorter than the part
            part.delete()
        if error.code in (408, 416, 425, 429) or error.code >= 500:
            raise _CutError(f"HTTP {error.code}") from None
        raise UserError(f"{archive.name}: {url} answers {error.code} {error.reason}; {_ELSEWHERE}") from None
    except (URLError, http.client.HTTPException, OSError) as error:
        raise _CutError(str(getattr(error, "reason", error)) or type(error).__name__) from None
    except ValueError as error:
        raise UserError(f"{url} is not a web address ({error}); {_ELSEWHERE}") from None


def _start(url: str, response: Any, part: PartialFile, archive: Archive) -> None:
    """Record size and version of a file whose download starts, and delete an older part."""
    length = response.headers.get("Content-Length")
    part.size = int(length) if length and length.isdigit() else None
    tag = response.headers.get("ETag") or ""
    part.validator = tag if tag.startswith('"') else response.headers.get("Last-Modified")
    if archive.size is not None and part.size not in (None, archive.size):
        sizes = f"{part.size:,} bytes instead of {archive.size:,}"
        raise UserError(f"{archive.name}: wrong file at {url}: {sizes}; {_ELSEWHERE}")
    part.path.unlink(missing_ok=True)
    part.save_note(url)


def _store(response: Any, part: PartialFile, name: str, have: int, most: int | None, tick: Tick) -> None:
    """Append the body of an answer to the part without a buffer, so that a crash loses nothing."""
    with open(part.path, "ab", buffering=0) as file:
        while True:
            tick(f"download {name}", have, part.size)
            try:
                piece = response.read(_PIECE)
            except http.client.IncompleteRead as error:
                write_all(file, error.partial)
                raise _CutError("connection cut") from None
            except (http.client.HTTPException, OSError) as error:
                raise _CutError(str(error) or type(error).__name__) from None
            if not piece:
                break
            write_all(file, piece)
            have += len(piece)
            if most is not None and have > most:
                part.delete()
                raise UserError(f"{name}: wrong file: more than {most:,} bytes; {_ELSEWHERE}")
    if part.size is not None and have < part.size:
        raise _CutError(f"connection cut at {have:,} of {part.size:,} bytes")
