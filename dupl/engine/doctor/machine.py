"""What a machine has and lacks, as far as it can be told without torch."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from dupl.config import catalogue
from dupl.errors import UserError
from dupl.track import choice

State = Literal["ok", "note", "fail"]
OLDEST = (3, 10)
NEEDED = {
    "torch": "2.6",
    "torchvision": None,
    "timm": "1.0.15",
    "mmengine": "0.10.7",
    "numpy": None,
    "pillow": None,
    "pandas": None,
    "scikit-learn": None,
    "scipy": None,
    "rich": None,
    "safetensors": None,
    "matplotlib": None,
    "plotly": "6",
    "jinja2": None,
    "filelock": None,
    "psutil": None,
    "optuna": "5",
    "cmaes": None,
    "wandb": "0.31",
}
OPTIONAL = {
    "wandb-workspaces": ("workspaces", "dupl dashboard on wandb"),
    "ray": ("ray", "dupl ablate on Ray"),
    "submitit": ("slurm", "dupl ablate on Slurm"),
    "pycocotools": ("coco", "MS COCO's own masks"),
}
SPARE, SCARCE = 10 * 2**30, 2**30  # bytes free that are plenty, and too few to begin with


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What.
        state: "ok"; "note", where something is missing that not everyone needs; "fail", where training would fail.
        found: What was found.
        mend: What to do; empty where nothing is to be done.
    """

    name: str
    state: State
    found: str
    mend: str = ""


def examine(root: Path, environ: Mapping[str, str] = os.environ) -> list[Finding]:
    """Look at everything that needs no torch.

    Args:
        root: Where runs go.
        environ: The environment.
    """
    return [python(), *packages(), compiler(environ), crf(), git(), wandb(environ), disk(root), *data_sets()]


def python() -> Finding:
    """The Python that runs this."""
    found = f"{platform.python_version()}, {sys.executable}"
    if sys.version_info[:2] < OLDEST:
        return Finding("python", "fail", found, f"install Python {'.'.join(map(str, OLDEST))} or newer")
    return Finding("python", "ok", found)


def packages() -> list[Finding]:
    """Packages that are needed, each with its version, and those that some commands need."""
    found = []
    for name, floor in NEEDED.items():
        version = _version(name)
        if version is None:
            found.append(Finding(name, "fail", "not installed", f"pip install {name}"))
        elif floor is not None and _parts(version) < _parts(floor):
            found.append(Finding(name, "fail", f"{version}, older than {floor}", f'pip install "{name}>={floor}"'))
        else:
            found.append(Finding(name, "ok", version))
    for name, (extra, use) in OPTIONAL.items():
        version = _version(name)
        mend = f'for {use}: pip install ".[{extra}]"'
        found.append(Finding(name, "ok", version) if version else Finding(name, "note", "not installed", mend))
    return found


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _parts(version: str) -> tuple[int, ...]:
    """The numbers of a version, for comparing: 2.10.0+cu126 is (2, 10, 0)."""
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])


def compiler(environ: Mapping[str, str] = os.environ) -> Finding:
    """A C++ compiler, which only the reference CRF needs, when it is installed."""
    for name in (environ.get("CXX"), "c++", "g++", "clang++"):
        if name and (path := shutil.which(name, path=environ.get("PATH"))):
            return Finding("compiler", "ok", path)
    return Finding("compiler", "note", "no C++ compiler", 'only pip install ".[crf]" needs one: apt install g++')


def crf() -> Finding:
    """Backends of the dense CRF."""
    if find_spec("pydensecrf") is not None:
        return Finding("crf", "ok", "torch, and the reference pydensecrf")
    mend = 'for the reference: pip install ".[crf]"' if sys.version_info < (3, 13) else ""
    return Finding("crf", "ok" if not mend else "note", "torch", mend)


def git() -> Finding:
    """git, by which runs know their commit."""
    path = shutil.which("git")
    if path:
        return Finding("git", "ok", path)
    return Finding("git", "note", "not found", "without it runs do not record their commit: apt install git")


def wandb(environ: Mapping[str, str] = os.environ) -> Finding:
    """What ``dupl train`` would do about wandb."""
    try:
        chosen = choice.choose(None, environ)
    except UserError as error:
        return Finding("tracking", "fail", str(error), "unset WANDB_MODE, or mend it")
    if chosen.mode == "online" and (reason := choice.unreachable(environ)):
        mend = "runs go on offline: train with --wandb offline, and dupl sync later"
        return Finding("tracking", "note", f"online ({chosen.why}), but no answer from {reason}", mend)
    live = chosen.mode == "offline" and choice.account(environ) is None
    mend = "to watch runs live: wandb login; what is recorded until then is uploaded by dupl sync" if live else ""
    return Finding("tracking", "ok", f"{chosen.mode} ({chosen.why})", mend)


def data_sets() -> list[Finding]:
    """The public data sets, where the recipes look for them unless told otherwise."""
    found = []
    for name, recipe in (("voc", "voc/dupl"), ("coco", "coco/dupl")):
        try:
            root = Path(catalogue.load_values(recipe)["data"]["train"]["root"])
        except Exception:  # without mmengine, which is told above, or a recipe of that name in the current folder
            continue
        if root.is_dir():
            found.append(Finding(f"data {name}", "ok", f"{root}; dupl data check {recipe} looks into it"))
            continue
        mend = f"for {recipe}: dupl data prepare {name} --root {root}, or --set data.train.root=DIR data.val.root=DIR"
        found.append(Finding(f"data {name}", "note", f"no folder {root}", mend))
    return found


def disk(root: Path, need: int = 0) -> Finding:
    """Room for runs.

    Args:
        root: Where they go; it need not be there.
        need: Bytes that one run takes, where that is known.
    """
    place = root.absolute()
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        return Finding("disk", "fail", f"{place} cannot be written to", "choose another folder by --work-dir")
    free = shutil.disk_usage(place).free
    found = f"{free / 2**30:.1f} GiB free in {place}" + (f", a run takes {need / 2**30:.1f} GiB" if need else "")
    if free < max(SCARCE, need):
        return Finding("disk", "fail", found, "free some space, or choose another folder by --work-dir")
    if free < SPARE + need:
        mend = "not plenty: free some space, or --set runtime.keep_checkpoints=1, which takes less"
        return Finding("disk", "note", found, mend)
    return Finding("disk", "ok", found)
