"""Write the commit that a wheel or an sdist is built from into the package, where runs look for it."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FILE = "dupl/built_from.json"  # as `dupl.runs.provenance` reads it


class CommitHook(BuildHookInterface):
    """Add a file with the commit of the checkout; without git, the file of an sdist stays as it is."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file to what is built; an editable installation asks git itself."""
        if version == "editable" or (known := built_from(Path(self.root))) is None:
            return
        with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False, encoding="utf-8") as file:
            json.dump(known, file)
        self.written = Path(file.name)
        build_data["force_include"][file.name] = FILE

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the temporary file."""
        if written := getattr(self, "written", None):
            written.unlink(missing_ok=True)


def built_from(root: Path) -> dict[str, Any] | None:
    """Return the commit of a checkout, and whether files were changed since; None where `root` is no checkout."""
    try:
        top = git(root, "rev-parse", "--show-toplevel")
        if Path(top).resolve() != root.resolve():
            return None
        return {"commit": git(root, "rev-parse", "HEAD"), "dirty": bool(git(root, "status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


def git(root: Path, *words: str) -> str:
    """Return what a git command prints."""
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, check=True, text=True, timeout=60)
    return done.stdout.strip()
