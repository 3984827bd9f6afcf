"""Tracking by wandb, without torch and wandb: whether to, under which names, and what is to be uploaded."""

from __future__ import annotations

import importlib.util
import netrc
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from dupl.errors import UserError
from dupl.lab.alive import at_work
from dupl.lab.run import Run

Mode = Literal["off", "offline", "online"]
MODES: tuple[Mode, ...] = ("off", "offline", "online")
WANDB_MODES: dict[str, Mode] = {
    "online": "online",
    "run": "online",
    "shared": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "off",
}
PROJECT = "dupl"
RECORD = "wandb.json"  # in a run's folder: the id that a resumed run goes on under
INSTALL = 'pip install "dupl-lab[track]"'


@dataclass(frozen=True)
class Choice:
    """A mode and where it comes from, for people."""

    mode: Mode
    why: str


def installed() -> bool:
    """Whether wandb can be imported; the folder ``./wandb`` that offline runs leave behind is not it."""
    spec = importlib.util.find_spec("wandb")
    return spec is not None and spec.origin is not None


def server(environ: Mapping[str, str] = os.environ) -> str:
    """Address of wandb's server."""
    return environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"


def unreachable(environ: Mapping[str, str] = os.environ) -> str | None:
    """Why the server does not answer; None where it does, whatever it says."""
    try:
        urlopen(Request(server(environ), method="HEAD"), timeout=10).close()
    except HTTPError:
        return None
    except (OSError, ValueError) as error:
        return f"{server(environ)}: {getattr(error, 'reason', error)}"
    return None


def account(environ: Mapping[str, str] = os.environ) -> str | None:
    """Where an account is set up, as wandb itself looks for one: a variable or the netrc file; None where nowhere.

    Only whether there is an entry is looked at; nothing is asked of the server.
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
    """The account's own entity, asked of the server.

    Raises:
        UserError: The server does not tell.
    """
    import wandb

    try:
        name = wandb.Api().default_entity
    except Exception as error:
        raise UserError(f"wandb does not tell whose account this is ({error}): give --entity") from None
    if not name:
        raise UserError("the account has no entity of its own: give --entity")
    return str(name)


def choose(flag: str | None = None, environ: Mapping[str, str] = os.environ) -> Choice:
    """The mode: the flag's, else WANDB_MODE's, else online with an account and offline without one.

    Args:
        flag: What the command line says; None where it says nothing.
        environ: The environment.

    Raises:
        UserError: The flag asks for what cannot be: wandb is not installed, or online without an account.
    """
    if flag == "off":
        return Choice("off", "--wandb off")
    there = installed()
    if flag is not None:
        if flag not in MODES:
            raise UserError(f"--wandb {flag}: choose of {', '.join(MODES)}")
        if not there:
            raise UserError(f"--wandb {flag}: wandb is not installed: {INSTALL}")
        if flag == "online" and account(environ) is None:
            raise UserError("--wandb online: no account is set up: wandb login, or --wandb offline and dupl sync later")
        return Choice(cast(Mode, flag), f"--wandb {flag}")
    if not there:
        return Choice("off", "wandb is not installed")
    if name := environ.get("WANDB_MODE"):
        mode = WANDB_MODES.get(name)
        if mode is None:
            raise UserError(f"WANDB_MODE is {name}: choose online, offline or disabled")
        if mode == "online" and account(environ) is None:
            return Choice("offline", f"WANDB_MODE is {name}, but no account is set up")
        return Choice(mode, f"WANDB_MODE is {name}")
    place = account(environ)
    return Choice("online", f"account in {place}") if place else Choice("offline", "no account is set up")


@dataclass(frozen=True)
class Names:
    """What a run is called on wandb.

    Attributes:
        project: Of all runs.
        group: The plan.
        job_type: The row of the plan.
        name: The row and the seed.
        tags: Components that are on.
    """

    project: str
    group: str | None
    job_type: str
    name: str
    tags: tuple[str, ...]


def names(folder: str, seed: int, tags: Sequence[str], environ: Mapping[str, str] = os.environ) -> Names:
    """Names from DUPL_PLAN and DUPL_ROW, which ``dupl ablate`` sets; else from wandb's own variables, else the folder.

    Args:
        folder: Name of the run's folder.
        seed: Of the run.
        tags: Components that are on.
        environ: The environment.
    """
    plan, row = environ.get("DUPL_PLAN"), environ.get("DUPL_ROW")
    return Names(
        project=environ.get("WANDB_PROJECT") or PROJECT,
        group=plan or environ.get("WANDB_RUN_GROUP") or None,
        job_type=row or environ.get("WANDB_JOB_TYPE") or "train",
        name=environ.get("WANDB_NAME") or f"{row or folder}, seed {seed}",
        tags=tuple(tags),
    )


def identity(folder: Path, stem: str, project: str) -> dict[str, str]:
    """Id and project of a run on wandb: those it has, or new ones, kept in its folder.

    Args:
        folder: Of the run.
        stem: What a new id begins with.
        project: Of a new run.
    """
    run = Run(folder)
    try:
        known = run.read_json(RECORD)
        return {"id": str(known["id"]), "project": str(known["project"])}
    except (UserError, KeyError, TypeError):  # none yet, or damaged: a new one is better than none
        fresh = {"id": f"{stem}-{secrets.token_hex(3)}", "project": project}
        run.write_json(RECORD, fresh)
        return fresh


@dataclass(frozen=True)
class Upload:
    """One stretch of a run that may have to be uploaded.

    Attributes:
        path: Its folder, ``wandb/offline-run-TIME-ID`` or ``wandb/run-TIME-ID`` in the folder of a run.
        online: Whether it was recorded online; then it is here because its upload did not end.
        done: Whether it has been uploaded.
        busy: Whether its run is still at work; an upload would take it for whole.
    """

    path: Path
    online: bool
    done: bool
    busy: bool

    @property
    def id(self) -> str:
        """Of the run on wandb."""
        return self.path.name.rpartition("run-")[2].partition("-")[2]


COMPLETE = "upload-complete"  # a file that says so of a stretch recorded online
LATELY = 300.0  # seconds; wandb writes the load of the machine several times a minute


def uploads(roots: Sequence[Path]) -> list[Upload]:
    """The stretches below some folders, in the order they were recorded.

    Raises:
        UserError: There is no such folder.
    """
    found = {}
    for root in roots:
        if not root.is_dir():
            raise UserError(f"{root} is no folder: name runs, or the folder that holds them")
        for log in root.rglob("run-*.wandb"):
            folder = log.parent
            if not re.fullmatch(r"(offline-)?run-\d{8}_\d{6}-.+", folder.name):
                continue
            done = log.with_name(f"{log.name}.synced").exists() or (folder / COMPLETE).exists()
            online = not folder.name.startswith("offline-")
            found[folder.resolve()] = Upload(folder, online, done, _busy(Run(folder.parent.parent), log))
    return sorted(found.values(), key=lambda u: u.path.name.removeprefix("offline-"))


def _busy(run: Run, log: Path) -> bool:
    """Whether a run is at work; where that cannot be told from here, whether its log was written lately."""
    try:
        status = run.status
        if status.state != "running":
            return False
        working = at_work(status, (run.path / "status.json").stat().st_mtime)
        return time.time() - log.stat().st_mtime < LATELY if working is None else working
    except (UserError, OSError):  # not a run of ours, or one without a status
        return False


def upload(stretches: Sequence[Upload], environ: Mapping[str, str] = os.environ) -> str | None:
    """Upload the stretches of one run by ``wandb sync``, in order.

    wandb marks what it has uploaded, and that alone is believed: its exit code is 0 in failure too.

    Returns:
        Why it failed, in one line; None where all of it is there.
    """
    command = [sys.executable, "-m", "wandb", "sync", "--include-online", *(str(s.path) for s in stretches)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=dict(environ))
    missing = [s for s in uploads([s.path for s in stretches]) if not s.done]
    if not missing:
        return None
    said = [line.removeprefix("wandb:").strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    reason = next((line for line in reversed(said) if "rror" in line), said[-1] if said else f"exit {done.returncode}")
    return f"{missing[0].path}: {reason}"
