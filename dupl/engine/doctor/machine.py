"""Checking a machine without torch: Python, packages, compiler, git, wandb, data sets, disk."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from dupl.config import catalogue
from dupl.engine.doctor.finding import Finding
from dupl.engine.doctor.packages import packages
from dupl.errors import UserError
from dupl.track import choice

OLDEST = (3, 10)
PLENTY, TOO_LITTLE = 10 * 2**30, 2**30  # free bytes


def examine(root: Path, environ: Mapping[str, str] = os.environ, of_recipe: bool = False) -> list[Finding]:
    """Run all checks that need no torch.

    Args:
        root: Folder of the runs.
        environ: The environment variables.
        of_recipe: Whether a recipe is checked too, whose own data and disk space then are what matters.
    """
    found = [python(), *packages(), compiler(environ), crf(), git(), wandb(environ)]
    return found if of_recipe else [*found, disk(root), *data_sets()]


def python() -> Finding:
    """Check the version of Python."""
    found = f"{platform.python_version()}, {sys.executable}"
    if sys.version_info[:2] < OLDEST:
        return Finding("python", "fail", found, f"install Python {'.'.join(map(str, OLDEST))} or newer")
    return Finding("python", "ok", found)


def compiler(environ: Mapping[str, str] = os.environ) -> Finding:
    """Look for a C++ compiler, which only the installation of the reference CRF needs."""
    for name in (environ.get("CXX"), "c++", "g++", "clang++"):
        if name and (path := shutil.which(name, path=environ.get("PATH"))):
            return Finding("compiler", "ok", path)
    return Finding("compiler", "note", "no C++ compiler", 'only pip install ".[crf]" needs one: apt install g++')


def crf() -> Finding:
    """List the backends of the dense CRF."""
    if find_spec("pydensecrf") is not None:
        return Finding("crf", "ok", "torch, and the reference pydensecrf")
    fix = 'for the reference implementation, pydensecrf: pip install ".[crf]"' if sys.version_info < (3, 13) else ""
    return Finding("crf", "ok" if not fix else "note", "backend torch", fix)


def git() -> Finding:
    """Look for git, by which runs record their commit."""
    path = shutil.which("git")
    if path:
        return Finding("git", "ok", path)
    return Finding("git", "note", "not found", "without it runs do not record their commit: apt install git")


def wandb(environ: Mapping[str, str] = os.environ) -> Finding:
    """Say what ``dupl train`` would send to wandb."""
    try:
        chosen = choice.choose(None, environ)
    except UserError as error:
        return Finding("tracking", "fail", str(error), "unset WANDB_MODE, or correct it")
    if chosen.mode == "online" and (reason := choice.unreachable(environ)):
        fix = "runs are recorded offline: train with --wandb offline, and run dupl sync later"
        return Finding("tracking", "note", f"online ({chosen.why}), but no answer from {reason}", fix)
    live = chosen.mode == "offline" and choice.account(environ) is None
    fix = "to watch runs live: wandb login; dupl sync uploads earlier runs" if live else chosen.hint
    return Finding("tracking", "ok", f"{chosen.mode} ({chosen.why})", fix)


def data_sets() -> list[Finding]:
    """Look for the public data sets in the folders that the recipes name."""
    found = []
    for name, recipe in (("voc", "voc/dupl"), ("coco", "coco/dupl")):
        try:
            root = Path(catalogue.load_values(recipe)["data"]["train"]["root"])
        except Exception:  # the current folder has another recipe of that name
            continue
        if root.is_dir():
            found.append(Finding(f"data {name}", "ok", f"{root}; dupl data check {recipe} verifies it"))
            continue
        fix = f"for {recipe}: dupl data prepare {name} --root {root}, or --set data.train.root=DIR data.val.root=DIR"
        found.append(Finding(f"data {name}", "note", f"there is no folder {root}", fix))
    return found


def disk(root: Path, need: int = 0) -> Finding:
    """Check the free disk space for runs.

    Args:
        root: Folder of the runs; it need not exist.
        need: Bytes that one run takes, if known.
    """
    place = root.absolute()
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        return Finding("disk", "fail", f"{place} cannot be written to", "choose another folder by --work-dir")
    free = shutil.disk_usage(place).free
    found = f"{free / 2**30:.1f} GiB free in {place}" + (f", a run takes {need / 2**30:.1f} GiB" if need else "")
    if free < max(TOO_LITTLE, need):
        return Finding("disk", "fail", found, "free some space, or choose another folder by --work-dir")
    if free < PLENTY + need:
        fix = "free some space, or take less: --set runtime.keep_checkpoints=1"
        return Finding("disk", "note", found, fix)
    return Finding("disk", "ok", found)
