"""The steps of preparing a data set; each one tells from its files whether it is done, so any can run again."""

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
    """One step.

    Attributes:
        name: Name of its result.
        done: Returns whether the result exists.
        run: Makes the result and returns a line about it.
        download: Bytes to download.
        disk: Bytes on disk beside the download, roughly.
        origin: Address or folder of its archive.
    """

    name: str
    done: Callable[[], bool]
    run: Callable[[], str]
    download: int = 0
    disk: int = 0
    origin: str = ""


@dataclass(frozen=True)
class Place:
    """The place where a data set is prepared, and the sources of its archives.

    Attributes:
        root: Root of the data set; the folder need not exist.
        source: Folder that has the archives already, or None.
        mirror: Address of a folder with the archives, instead of their owners' addresses.
        tick: Receives the progress.
    """

    root: Path
    source: Path | None = None
    mirror: str | None = None
    tick: Tick = lambda what, done, total: None

    def unpacked(self, archive: Archive) -> PrepareStep:
        """Return the step that downloads and unpacks an archive."""
        existing = next((path for path in self._places(archive) if path.is_file()), None)
        part = self.root / ARCHIVES / f"{archive.name}.part"
        have = part.stat().st_size if part.is_file() else 0

        def run() -> str:
            path = self._fetch(archive)
            unpack(path, archive, self.root, self.tick)
            if not archive.is_unpacked(self.root):
                content = ", ".join(archive.holds)
                raise UserError(f"{path} does not hold all of {content}; it may be another version of the archive")
            return f"unpacked from {path}"

        return PrepareStep(
            name=archive.name,
            done=lambda: archive.is_unpacked(self.root),
            run=run,
            download=0 if existing else max(0, (archive.size or 0) - have),
            disk=archive.bytes_left(self.root),
            origin=str(existing or address(archive, self.mirror)),
        )

    def _places(self, archive: Archive) -> list[Path]:
        """Return the files that an archive may be."""
        return [folder / archive.name for folder in (self.source, self.root / ARCHIVES) if folder is not None]

    def _fetch(self, archive: Archive) -> Path:
        """Return a verified archive: from the source, or downloaded earlier or now."""
        if self.source is not None and (self.source / archive.name).is_file():
            path = self.source / archive.name
            verify(path, archive, self.root / ARCHIVES, self.tick)
            return path
        return download(archive, self.root / ARCHIVES, self.mirror, self.tick)


def listing(root: Path, steps: Sequence[PrepareStep]) -> list[str]:
    """Return one line per step, and one on the disk space that they need."""
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
    """Run the steps that are not done yet.

    Raises:
        Held: Another process is preparing the same root.
        UserError: A step fails.
    """
    with hold(root, say, name=LOCK, what="this data set (dupl data prepare)"):
        for step in steps:
            result = "done already" if step.done() else step.run()
            say(f"{step.name}: {result}")
