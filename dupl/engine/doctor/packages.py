"""Checking the installed packages against the requirements in the package's own metadata."""

from __future__ import annotations

from importlib import metadata

from packaging.requirements import Requirement

from dupl.engine.doctor.finding import Finding

NAME = "dupl-lab"
OPTIONAL = {  # package: the extra that installs it, and what needs it
    "wandb-workspaces": ("workspaces", "dupl dashboard on wandb"),
    "starlette": ("board", "dupl board"),
    "uvicorn": ("board", "dupl board"),
    "trackio": ("trackio", "dupl train --track trackio"),
    "ray": ("ray", "dupl ablate on Ray"),
    "submitit": ("slurm", "dupl ablate on Slurm"),
    "pycocotools": ("coco", "MS COCO's masks"),
}


def packages() -> list[Finding]:
    """Check that the required packages are installed in new enough versions, and name the optional ones."""
    try:
        listed = [Requirement(line) for line in metadata.requires(NAME) or ()]
    except metadata.PackageNotFoundError:
        return [Finding(NAME, "note", "not installed, so its requirements are unknown", "pip install . in its folder")]
    required = [one for one in listed if one.marker is None or one.marker.evaluate({"extra": ""})]
    return [*map(_required, required), *map(_optional, OPTIONAL)]


def _required(requirement: Requirement) -> Finding:
    """Check one required package."""
    version = _version(requirement.name)
    specifier = str(requirement.specifier)
    wanted = f'"{requirement.name}{specifier}"' if specifier else requirement.name
    if version is None:
        return Finding(requirement.name, "fail", "not installed", f"pip install {wanted}")
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding(requirement.name, "fail", f"{version} instead of {specifier}", f"pip install {wanted}")
    return Finding(requirement.name, "ok", version)


def _optional(name: str) -> Finding:
    """Check one package that only some commands need."""
    extra, use = OPTIONAL[name]
    version = _version(name)
    if version is None:
        return Finding(name, "note", "not installed", f'for {use}: pip install ".[{extra}]"')
    return Finding(name, "ok", version)


def _version(name: str) -> str | None:
    """Return the installed version of a package."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
