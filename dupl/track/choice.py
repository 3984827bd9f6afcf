"""Decide whether a run is tracked by wandb or trackio, and under which names; imports none of them."""

from __future__ import annotations

import importlib.util
import netrc
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from dupl.errors import UserError
from dupl.runs import layout
from dupl.runs.run import Run
from dupl.track.wandb_like import TRACKIO

Mode = Literal["off", "offline", "online", "trackio"]
MODES: tuple[Mode, ...] = ("off", "offline", "online", "trackio")
TRACK = "DUPL_TRACK"  # the tracker of runs that other commands start: trackio, or nothing
WANDB_MODES: dict[str, Mode] = {
    "online": "online",
    "run": "online",
    "shared": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "off",
}
PROJECT = "dupl"
HINT = "wandb is off; --wandb online tracks the run, --wandb offline records it for dupl sync"


@dataclass(frozen=True)
class TrackingChoice:
    """Whether a run is tracked, and why.

    Attributes:
        mode: Of tracking.
        why: The reason in words.
        hint: How to switch tracking on; "" where somebody has chosen the mode.
    """

    mode: Mode
    why: str
    hint: str = ""


def server(environ: Mapping[str, str] = os.environ) -> str:
    """Return the address of wandb's server."""
    return environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"


def unreachable(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return why the server does not answer; None where it does, even with an error."""
    try:
        urlopen(Request(server(environ), method="HEAD"), timeout=10).close()
    except HTTPError:
        return None
    except (OSError, ValueError) as error:
        return f"{server(environ)}: {getattr(error, 'reason', error)}"
    return None


def account(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return where an account is set up, as wandb looks for one: a variable or the netrc file; None without one.

    Only the presence of an entry counts; the server is not asked.
    """
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        if environ.get(name):
            return name
    home = Path(environ.get("HOME") or Path.home())
    files = [Path(environ["NETRC"]).expanduser()] if environ.get("NETRC") else [home / ".netrc", home / "_netrc"]
    host = urlsplit(server(environ)).netloc
    for file in files:
        try:
            if netrc.netrc(str(file)).authenticators(host):
                return str(file)
        except (OSError, netrc.NetrcParseError):
            continue
    return None


def entity() -> str:
    """Ask the server for the account's entity.

    Raises:
        UserError: The server does not tell.
    """
    import wandb

    try:
        name = wandb.Api().default_entity
    except Exception as error:
        raise UserError(f"wandb does not tell whose account this is ({error}): name one (--entity)") from None
    if not name:
        raise UserError("the account has no entity of its own: name one (--entity)")
    return str(name)


def choose(flag: str | None = None, environ: Mapping[str, str] = os.environ) -> TrackingChoice:
    """Choose the mode: the flag's, else that of DUPL_TRACK, else WANDB_MODE's, else off.

    Args:
        flag: Of the command line, --wandb or --track; None where it was not given.
        environ: The environment.

    Raises:
        UserError: The flag or a variable is unknown, the flag asks for online without an account, or trackio is not
            installed.
    """
    wanted = environ.get(TRACK, "")
    if wanted not in ("", TRACKIO.name):
        raise UserError(f"{TRACK} is {wanted}: choose trackio, or unset it")
    if flag == TRACKIO.name or (flag is None and wanted):
        if importlib.util.find_spec(TRACKIO.name) is None:
            raise UserError('trackio is not installed: pip install ".[trackio]"')
        return TrackingChoice("trackio", f"--track {flag}" if flag else f"{TRACK} is {wanted}")
    if flag == "off":
        return TrackingChoice("off", "--wandb off")
    if flag is not None:
        if flag not in MODES:
            raise UserError(f"wandb {flag}: choose from {', '.join(MODES)}")
        if flag == "online" and account(environ) is None:
            raise UserError("wandb online: no account is set up: wandb login, or offline and dupl sync later")
        return TrackingChoice(cast(Mode, flag), f"--wandb {flag}")
    if name := environ.get("WANDB_MODE"):
        mode = WANDB_MODES.get(name)
        if mode is None:
            raise UserError(f"WANDB_MODE is {name}: choose online, offline or disabled")
        if mode == "online" and account(environ) is None:
            return TrackingChoice("offline", f"WANDB_MODE is {name}, but no account is set up")
        return TrackingChoice(mode, f"WANDB_MODE is {name}")
    return TrackingChoice("off", "not asked for", HINT)


@dataclass(frozen=True)
class RunNames:
    """What a run is called on a tracker.

    Attributes:
        project: Of all runs.
        group: The plan.
        job_type: The row of the plan.
        name: The row, the seed and the folder: two plans may have a row of one name.
        tags: Components that are on.
    """

    project: str
    group: str | None
    job_type: str
    name: str
    tags: tuple[str, ...]


def names(folder: str, seed: int, tags: Sequence[str], environ: Mapping[str, str] = os.environ) -> RunNames:
    """Return names by DUPL_PLAN and DUPL_ROW, which ``dupl ablate`` sets, else wandb's variables, else the folder.

    Args:
        folder: Name of the run's folder.
        seed: Of the run.
        tags: Components that are on.
        environ: The environment.
    """
    plan, row = environ.get("DUPL_PLAN"), environ.get("DUPL_ROW")
    return RunNames(
        project=environ.get("WANDB_PROJECT") or PROJECT,
        group=plan or environ.get("WANDB_RUN_GROUP") or None,
        job_type=row or environ.get("WANDB_JOB_TYPE") or "train",
        name=environ.get("WANDB_NAME") or (f"{row}, seed {seed} ({folder})" if row else f"{folder}, seed {seed}"),
        tags=tuple(tags),
    )


def identity(folder: Path, stem: str, called: RunNames, record: str = layout.TRACKER) -> dict[str, Any]:
    """Return id and names of a run on a tracker: those that it began under, or new ones, which its folder keeps.

    Args:
        folder: Of the run.
        stem: What a new id begins with.
        called: Names of a new run.
        record: File that keeps them.
    """
    run, fresh = Run(folder), {**asdict(called), "tags": list(called.tags)}
    try:
        known = run.read_json(record)
        mine = {name: known[name] for name in fresh if name in known}  # nothing else: anyone may have written the file
        return {**fresh, **mine, "id": str(known["id"]), "project": str(known["project"])}
    except (UserError, KeyError, TypeError):  # missing or corrupt: begin a new one
        fresh["id"] = f"{stem}-{secrets.token_hex(3)}"
        run.write_json(record, fresh)
        return fresh
