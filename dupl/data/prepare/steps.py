"""Preparing a data set step by step; each step sees from the files whether it is done, so that any can run again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dupl.data.prepare.archives import Archive
from dupl.data.prepare.checksums import verify
from dupl.data.prepare.disk import amount, free
from dupl.data.prepare.download import Tick, address, download
from dupl.data.prepare.unpack import unpack
from dupl.errors import UserError
from dupl.lock import hold

ARCHIVES = "archives"  # folder of the downloads, below the root
LOCK = ".prepare.lock"  # below the root


@dataclass(frozen=True)
class PrepareStep:
    """One thing to do.

    Attributes:
        name: What comes of it.
        done: Whether it is there.
        run: Makes it and returns what is to be said of it.
        download: Bytes to fetch.
        disk: Bytes it takes beside the download, roughly.
        origin: Where the bytes come from.
    """

    name: str
    done: Callable[[], bool]
    run: Callable[[], str]
    download: int = 0
    disk: int = 0
    origin: str = ""


@dataclass(frozen=True)
class Place:
    """Where a data set is prepared.

    Attributes:
        root: Its root; the folder need not exist.
        source: Folder that has the archives already, or None.
        mirror: Address of a folder with the archives, instead of their owners'.
        tick: Told of the progress.
    """

    root: Path
    source: Path | None = None
    mirror: str | None = None
    tick: Tick = lambda what, done, total: None

    def unpacked(self, archive: Archive) -> PrepareStep:
        """Return the step that fetches an archive and unpacks it."""
        there = next((path for path in self._places(archive) if path.is_file()), None)
        part = self.root / ARCHIVES / f"{archive.name}.part"
        have = part.stat().st_size if part.is_file() else 0

        def run() -> str:
            path = self._fetch(archive)
            unpack(path, archive, self.root, self.tick)
            if not archive.is_unpacked(self.root):
                short = ", ".join(archive.holds)
                raise UserError(f"{path} does not hold all of {short}; it may be another version of the archive")
            return f"unpacked from {path}"

        return PrepareStep(
            name=archive.name,
            done=lambda: archive.is_unpacked(self.root),
            run=run,
            download=0 if there else max(0, (archive.size or 0) - have),
            disk=archive.bytes_left(self.root),
            origin=str(there or address(archive, self.mirror)),
        )

    def _places(self, archive: Archive) -> list[Path]:
        return [folder / archive.name for folder in (self.source, self.root / ARCHIVES) if folder is not None]

    def _fetch(self, archive: Archive) -> Path:
        """Return a verified archive: of the folder given, or downloaded earlier or now."""
        if self.source is not None and (self.source / archive.name).is_file():
            path = self.source / archive.name
            verify(path, archive, self.root / ARCHIVES, self.tick)
            return path
        return download(archive, self.root / ARCHIVES, self.mirror, self.tick)


def listing(root: Path, steps: Sequence[PrepareStep]) -> list[str]:
    """Return what would be done: a line per step, and the room it takes."""
    lines, need = [], 0
    for step in steps:
        if step.done():
            lines.append(f"done  {step.name}")
            continue
        need += step.download + step.disk
        facts = [f"{amount(step.download)} to download"] if step.download else []
        facts += [f"about {amount(step.disk)} on disk"] if step.disk else []
        facts += [f"from {step.origin}"] if step.origin else []
        lines.append(f"todo  {step.name}" + (": " if facts else "") + ", ".join(facts))
    left = free(root)
    verdict = "" if left >= need else f"; {amount(need - left)} missing"
    return [*lines, f"room  about {amount(need)} needed in {root}, {amount(left)} free{verdict}"]


def run(root: Path, steps: Sequence[PrepareStep], say: Callable[[str], None]) -> None:
    """Do what is not done yet.

    Raises:
        Held: Another process is preparing the same root.
        UserError: A step fails.
    """
    with hold(root, say, name=LOCK, what="this data set (dupl data prepare)"):
        for step in steps:
            said = "done already" if step.done() else step.run()
            say(f"{step.name}: {said}")
