"""The code behind a run: its commit, its uncommitted changes, its own files, and the versions of packages."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from dupl.checksum import files_digest
from dupl.runs.stretches import Stretch

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parent  # the checkout, where the package is imported from one
BUILT = "built_from.json"  # commit of a wheel or an sdist, which the build writes into the package
PACKAGES = ("dupl-lab", "torch", "torchvision", "timm", "mmengine", "numpy")


@dataclass(frozen=True)
class Code:
    """The state of the code: of a checkout, or of the checkout that an installed package was built from.

    Attributes:
        commit: The commit's hash; None where it is not known.
        dirty: Whether files were changed or added since; None as above.
        diff: What was changed, as a patch under a list of the files; "" where nothing was, or it is not known.
    """

    commit: str | None = None
    dirty: bool | None = None
    diff: str = ""

    @property
    def changes(self) -> str | None:
        """Digest of what was changed; "" where nothing was, None where it is not known."""
        if self.diff:
            return changes_digest(self.diff.encode(errors="backslashreplace"))
        return "" if self.dirty is False else None


def changes_digest(diff: bytes) -> str:
    """Return the digest of a patch."""
    return hashlib.sha256(diff).hexdigest()[:8]


def code(root: Path = ROOT) -> Code:
    """Return the state of the code at `root`: of the checkout, else what the build of the package has recorded."""
    found = of_checkout(root)
    return found if found.commit is not None else of_build(root / "dupl" / BUILT)


def of_build(file: Path) -> Code:
    """Read the commit that a wheel or an sdist was built from."""
    try:
        built = json.loads(file.read_text(encoding="utf-8"))
        return Code(str(built["commit"]), bool(built["dirty"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Code()


@cache
def package_digest(package: Path = PACKAGE) -> str:
    """Return a digest of the package's own files, which is the same in a checkout and where it is installed."""
    named = {file.relative_to(package).as_posix(): file for file in package.rglob("*") if file.is_file()}
    own = {name: file for name, file in named.items() if name != BUILT and not name.startswith("_recipes/")}
    return files_digest({name: file for name, file in own.items() if file.suffix != ".pyc"})


def of_checkout(root: Path) -> Code:
    """Ask git about the checkout at `root`; a folder inside another checkout is none."""
    top = _git(root, "rev-parse", "--show-toplevel")
    commit = _git(root, "rev-parse", "HEAD")
    if top is None or commit is None or Path(top.strip()).resolve() != root.resolve():
        return Code()
    files = _git(root, "status", "--porcelain") or ""
    if not files:
        return Code(commit.strip(), dirty=False)
    listing = "".join(f"# {line}\n" for line in files.splitlines())
    return Code(commit.strip(), dirty=True, diff=listing + (_git(root, "diff", "HEAD", "--binary") or ""))


def stretch(code: Code, hardware: Mapping[str, Any], start: int = 0) -> Stretch:
    """Return the stretch of a training that this process begins now.

    Args:
        code: As ``code()`` returns it.
        hardware: Fields of `Stretch` on the machine.
        start: Iterations done before.
    """
    return Stretch(
        start,
        start,
        began=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        commit=code.commit,
        dirty=code.dirty,
        changes=code.changes,
        package=package_digest(),
        versions=versions(),
        host=socket.gethostname(),
        **hardware,
    )


def _git(root: Path, *arguments: str) -> str | None:
    """Return what a git command prints, or None where it fails; it takes no lock and prompts for nothing."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    try:
        result = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            check=True,
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.decode(errors="replace")


def versions() -> dict[str, str | None]:
    """Return the versions of Python and of the packages that matter; None where one is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found
