"""The zip file of an archive: its bytes follow from its members, and a changed byte is found.

The comment of the zip ends with the SHA-256 of everything before it, and the manifest has the SHA-256 of each member.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dupl.atomic import atomic_write
from dupl.errors import UserError

FORMAT = "dupl-evidence 1"
MANIFEST = "manifest.json"
SEAL = f"{FORMAT} sha256 ".encode()
DIGITS = 64  # of a SHA-256
BEGAN = (1980, 1, 1, 0, 0, 0)  # the time of every member
PART = re.compile(r"[\w][\w.+=,@()-]*", re.ASCII)
LONGEST, MOST_MEMBERS = 240, 50_000
LARGEST, LARGEST_MEMBER = 4 << 30, 1 << 30  # bytes, unpacked
SMALL, SWELLING = 50_000_000, 100  # larger contents unpack to no more than this many times their packed bytes
DAMAGE = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError),
    *(ValueError, LookupError, NotImplementedError),
)


@dataclass(frozen=True)
class Container:
    """What was read of an archive.

    Attributes:
        members: Content by name, of the members that could be read.
        altered: Members that are not as the manifest has them, by name, with the reason.
        faults: Lines on the archive as a whole; none where it is as it was written.
        digest: SHA-256 of the file.
    """

    members: Mapping[str, bytes]
    altered: Mapping[str, str]
    faults: tuple[str, ...]
    digest: str


def pack(members: Mapping[str, bytes]) -> bytes:
    """Return the zip of some members and their manifest; equal members give equal bytes.

    Raises:
        UserError: A name is none that `unpack` takes.
    """
    _check_names(members)
    listed = {name: [hashlib.sha256(data).hexdigest(), len(data)] for name, data in sorted(members.items())}
    manifest = json.dumps({"format": FORMAT, "members": listed}, indent=1) + "\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in [*sorted(members.items()), (MANIFEST, manifest.encode())]:
            entry = zipfile.ZipInfo(name, BEGAN)
            entry.create_system, entry.external_attr = 3, (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED, 9)
        archive.comment = SEAL + b"0" * DIGITS
    body = buffer.getvalue()[:-DIGITS]
    return body + hashlib.sha256(body).hexdigest().encode()


def write(path: Path, members: Mapping[str, bytes]) -> str:
    """Write an archive, whole or not at all, and return its SHA-256."""
    data = pack(members)
    atomic_write(path, data)
    return hashlib.sha256(data).hexdigest()


def read(path: Path) -> Container:
    """Read an archive and compare it with its manifest and its seal.

    Raises:
        UserError: The file is missing, or no archive that can be unpacked safely.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}): give a file of dupl export") from None
    try:
        return unpack(data)
    except UserError as error:
        raise UserError(f"{path} {error}") from None


def unpack(data: bytes) -> Container:
    """Read the bytes of an archive, see `read`; messages begin with what is wrong with it.

    Raises:
        UserError: They are no archive that can be unpacked safely.
    """
    faults, found, broken = [], dict[str, bytes](), dict[str, str]()
    sealed = hashlib.sha256(data[:-DIGITS]).hexdigest().encode() == data[-DIGITS:]
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(entries)
            if archive.comment[:-DIGITS] != SEAL or not sealed:
                faults.append("the archive was altered or packed again: its bytes are not those of its seal")
            for entry in entries:
                try:
                    found[entry.filename] = archive.read(entry)
                except DAMAGE as error:
                    broken[entry.filename] = f"cannot be unpacked ({_short(error)})"
    except UserError:
        raise
    except DAMAGE as error:
        why = "" if sealed else ", and its seal says that it was altered"
        raise UserError(f"is no whole archive of dupl export{why}: {_short(error)}") from None
    listed = _manifest(found)
    for name in sorted({*found, *broken, *listed} - {MANIFEST}):
        if name not in broken and (why := _difference(name, found, listed)):
            broken[name] = why
    faults += [f"{name} {why}" for name, why in sorted(broken.items())]
    return Container(found, broken, tuple(faults), hashlib.sha256(data).hexdigest())


def _difference(name: str, found: Mapping[str, bytes], listed: Mapping[str, Any]) -> str:
    """Return how a member differs from the manifest; "" where it does not."""
    if name not in listed:
        return "is not in the manifest"
    if name not in found:
        return "is missing"
    same = listed[name] == [hashlib.sha256(found[name]).hexdigest(), len(found[name])]
    return "" if same else "differs from the manifest: its digest is another"


def _manifest(found: Mapping[str, bytes]) -> Mapping[str, Any]:
    """Return what the manifest lists.

    Raises:
        UserError: There is none, or it cannot be read.
    """
    try:
        facts = json.loads(found[MANIFEST])
        listed = facts["members"]
        if facts["format"] != FORMAT or not isinstance(listed, dict):
            raise ValueError(f"its format is {str(facts.get('format'))[:40]!r}, this version reads {FORMAT!r}")
    except KeyError:
        raise UserError(f"is no archive of dupl export: it has no readable {MANIFEST}") from None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"is no whole archive of dupl export: {MANIFEST} is corrupt ({_short(error)})") from None
    return dict(listed)


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    """Refuse what no archive of ours has: strange or repeated names, links, encryption, members that overlap or swell.

    Raises:
        UserError: There is such a thing.
    """
    if len(entries) > MOST_MEMBERS:
        raise UserError(f"has {len(entries)} members: more than {MOST_MEMBERS}, no archive of dupl export")
    names = [entry.filename for entry in entries]
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if entry.flag_bits & 1 or kind not in (0, stat.S_IFREG) or entry.compress_type not in (0, zipfile.ZIP_DEFLATED):
            raise UserError(f"has a member {_name(entry.filename)} that is encrypted, a link or packed in another way")
        if entry.file_size > LARGEST_MEMBER:
            raise UserError(
                f"has a member {_name(entry.filename)} of {entry.file_size} bytes: too large to be unpacked"
            )
    whole, packed = (sum(getattr(entry, size) for entry in entries) for size in ("file_size", "compress_size"))
    if whole > LARGEST:
        raise UserError(f"unpacks to more than {LARGEST >> 30} GiB: too large to be unpacked")
    if whole > SMALL and whole > SWELLING * packed:
        raise UserError(f"swells from {packed} to {whole} bytes, as no archive of dupl export does: it is not unpacked")
    _check_names(names)
    end = 0
    for entry in sorted(entries, key=lambda one: one.header_offset):
        if entry.header_offset < end:
            raise UserError(f"has members that overlap: {_name(entry.filename)}")
        end = entry.header_offset + entry.compress_size


def _check_names(names: Iterable[str]) -> None:
    """Refuse names that would leave the folder of the archive, or mean one file on some systems.

    Raises:
        UserError: There is such a name.
    """
    seen = set[str]()
    for name in names:
        if len(name) > LONGEST or not all(PART.fullmatch(part) for part in name.split("/")):
            raise UserError(f"has a member whose name is not allowed: {_name(name)}")
        if name.lower() in seen:
            raise UserError(f"has two members of the name {_name(name)}")
        seen.add(name.lower())


def _name(name: str) -> str:
    return repr(name if len(name) <= 80 else f"{name[:80]}...")


def _short(error: object) -> str:
    return " ".join(f"{error}".split())[:120] or type(error).__name__
