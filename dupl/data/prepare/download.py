"""Downloading an archive: goes on after cut connections and interruptions, and keeps only what is whole and right."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from dupl import __version__
from dupl.atomic import atomic_write
from dupl.data.prepare.archives import Archive
from dupl.data.prepare.checksums import is_known, verify
from dupl.data.prepare.disk import AGAIN, amount, require, room, write_all
from dupl.errors import UserError

Tick = Callable[[str, int, "int | None"], None]  # what is done, how far, of how much
ATTEMPTS = 6  # in a row without a byte more
TIMEOUT = 60.0  # seconds without an answer
_PIECE = 1 << 20
_ELSEWHERE = "give another place with --mirror URL, or a folder that has the file with --from DIR"


class _Cut(Exception):
    """The connection ended early; it is worth trying again."""


@dataclass
class _Part:
    """What is there of a download, and which version of the file it is a part of.

    Attributes:
        path: The partial file.
        size: Bytes of the whole file; None where the server does not say.
        validator: The server's mark of the version: a strong ETag or the date of change; without one there is no
            going on.
    """

    path: Path
    size: int | None = None
    validator: str | None = None

    @property
    def have(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def note(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def recall(self, url: str) -> None:
        """Take up an earlier run's part, if it is of this address."""
        try:
            known = json.loads(self.note.read_text(encoding="utf-8"))
            if known["url"] == url:
                self.size, self.validator = known["size"], known["validator"]
        except (OSError, ValueError, KeyError, TypeError):
            pass

    def remember(self, url: str) -> None:
        note = dict(url=url, size=self.size, validator=self.validator)
        atomic_write(self.note, json.dumps(note))

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def download(
    archive: Archive, folder: Path, mirror: str | None, tick: Tick, pause: Callable[[float], None] = time.sleep
) -> Path:
    """Return the archive in a folder, downloaded and verified if it is not there yet.

    Args:
        archive: What to get.
        folder: Where to; NAME.part and NAME.part.json lie there meanwhile, a wrong file is kept as NAME.bad.
        mirror: Address of a folder that has the file, instead of the owner's.
        tick: Told of the progress.
        pause: Waits so many seconds between attempts.

    Raises:
        UserError: The server refuses or fails again and again, it has another file, the disk is full.
    """
    final = folder / archive.name
    if final.is_file():
        if not is_known(archive.name, folder):  # put there by hand
            verify(final, archive, folder, tick)
        return final
    url = address(archive, mirror)
    if not url.startswith(("http://", "https://")):
        raise UserError(f"{url} is no web address: --mirror takes http:// or https://, --from takes a folder")
    part = _Part(folder / f"{archive.name}.part")
    with room(folder, archive.name, lambda: (part.size or archive.size or 0) - part.have):
        folder.mkdir(parents=True, exist_ok=True)
        part.recall(url)
        most, failures = part.have, 0
        while True:
            try:
                _receive(url, part, archive, tick)
                break
            except _Cut as cut:
                failures = failures + 1 if part.have <= most else 0
                most = max(most, part.have)
                if failures >= ATTEMPTS:
                    got = f"{amount(part.have)} are here"
                    raise UserError(f"{archive.name}: {url} failed {failures} times ({cut}); {got}; {AGAIN}") from None
                tick(f"{archive.name}: {cut}, trying again", part.have, part.size)
                pause(min(2**failures, 60))
        try:
            verify(part.path, archive, folder, tick, aside=final.with_name(f"{archive.name}.bad"))
        except UserError:
            part.drop()
            raise
        part.path.rename(final)
        part.drop()
    return final


def address(archive: Archive, mirror: str | None) -> str:
    """Return where an archive is fetched: from its owner, or by its name from a mirror."""
    return archive.url if mirror is None else f"{mirror.rstrip('/')}/{archive.name}"


def _receive(url: str, part: _Part, archive: Archive, tick: Tick) -> None:
    """Append to a part what is missing, in one connection."""
    have = part.have if part.validator else 0
    if have and have == part.size:
        return
    headers = {"User-Agent": f"dupl/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": str(part.validator)}
    try:
        response: Any = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code == 416:  # the file is shorter than the part
            part.drop()
        if error.code in (408, 416, 425, 429) or error.code >= 500:
            raise _Cut(f"HTTP {error.code}") from None
        raise UserError(f"{archive.name}: {url} answers {error.code} {error.reason}; {_ELSEWHERE}") from None
    except (URLError, http.client.HTTPException, OSError) as error:
        raise _Cut(str(getattr(error, "reason", error)) or type(error).__name__) from None
    except ValueError as error:
        raise UserError(f"{url} is no web address ({error}); {_ELSEWHERE}") from None
    with response:
        if response.status == 206:
            place = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range") or "")
            if place is None or int(place[1]) != have or int(place[2]) != part.size:
                part.drop()
                raise _Cut("the server sent another part than asked for")
        else:  # from the start: a first try, a server that knows no parts, or a file that has changed
            have = 0
            length = response.headers.get("Content-Length")
            part.size = int(length) if length and length.isdigit() else None
            tag = response.headers.get("ETag") or ""
            part.validator = tag if tag.startswith('"') else response.headers.get("Last-Modified")
            if archive.size is not None and part.size not in (None, archive.size):
                sizes = f"{part.size:,} bytes instead of {archive.size:,}"
                raise UserError(f"{archive.name}: wrong file at {url}: {sizes}; {_ELSEWHERE}")
            part.path.unlink(missing_ok=True)
            part.remember(url)
        require(part.path.parent, archive.name, (part.size or archive.size or 0) - have)
        _store(response, part, archive.name, have, part.size or archive.size, tick)


def _store(response: Any, part: _Part, name: str, have: int, most: int | None, tick: Tick) -> None:
    """Write the body of an answer to the part, at once, so that a crash loses nothing."""
    with open(part.path, "ab", buffering=0) as file:
        while True:
            tick(f"download {name}", have, part.size)
            try:
                piece = response.read(_PIECE)
            except http.client.IncompleteRead as error:
                write_all(file, error.partial)
                raise _Cut("connection cut") from None
            except (http.client.HTTPException, OSError) as error:
                raise _Cut(str(error) or type(error).__name__) from None
            if not piece:
                break
            write_all(file, piece)
            have += len(piece)
            if most is not None and have > most:
                part.drop()
                raise UserError(f"{name}: wrong file: more than {most:,} bytes; {_ELSEWHERE}")
    if part.size is not None and have < part.size:
        raise _Cut(f"connection cut at {have:,} of {part.size:,} bytes")
