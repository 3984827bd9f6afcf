"""The code behind a run: the commit of a checkout, its uncommitted changes, and the versions of packages."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # the checkout, where the package is imported from one
PACKAGES = ("dupl-lab", "torch", "torchvision", "timm", "mmengine", "numpy")


@dataclass(frozen=True)
class Code:
    """The state of a checkout.

    Attributes:
        commit: The commit's hash; None where the code is no checkout or git is not installed.
        dirty: Whether files were changed or added since; None as above.
        diff: What was changed, as a patch under a list of the files; "" where nothing was.
    """

    commit: str | None = None
    dirty: bool | None = None
    diff: str = ""


def code(root: Path = ROOT) -> Code:
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
