"""Leave out of an archive what names people, machines and places."""

from __future__ import annotations

import getpass
import hashlib
import json
import re
import socket
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dupl.config.fingerprint import PLACES, WEIGHTS
from dupl.runs.provenance import ROOT
from dupl.runs.stored_run import StoredRun

PATH = re.compile(r"(?<![\w.:/<>-])(?:[A-Za-z]:[\\/]|~[\w.-]*/|/(?=[\w.~-]+[/\w]))[^\s\"'`,;:)\]}>]*")
MAIL = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+")
URL_USER = re.compile(r"(\w+://)[^\s/@]+@")
NOBODY = {  # accounts and hosts that name nobody
    *("root", "user", "users", "admin", "ubuntu", "debian", "runner", "jovyan", "home", "data", "local", "localhost"),
    *("host", "work", "test"),
}
SHORTEST = 3  # letters of a name that is looked for
FILES = (*PLACES, WEIGHTS, "work_dir")  # keys whose values say where files are
FOLDER = "folder"  # key of the folder that label maps of another program were read from
DIGEST = re.compile(r"[0-9a-f]{8,64}")
DIFFS = re.compile(r"/git[^/]*\.diff$")


@dataclass(frozen=True)
class Redactor:
    """Replaces what names people, machines and places by what it is.

    Attributes:
        names: Words to replace, each by what it stands for.
    """

    names: Mapping[str, str]

    @classmethod
    def of(cls, runs: Iterable[StoredRun]) -> Redactor:
        """Collect the names that this machine, its checkout and the runs know."""
        names = {name: "HOST" for name in _hosts(runs)} | {name: "NAME" for name in _people()}
        known = {n: what for n, what in names.items() if len(n) >= SHORTEST and n.lower() not in NOBODY}
        return cls(dict(sorted(known.items(), key=lambda pair: -len(pair[0]))))

    def text(self, text: str) -> str:
        """Return a text without addresses, paths and names."""
        text = PATH.sub("PATH", MAIL.sub("NAME", URL_USER.sub(r"\1", text)))
        for name, what in self.names.items():
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", what, text, flags=re.IGNORECASE)
        return text

    def members(self, members: Mapping[str, bytes]) -> dict[str, bytes]:
        """Return the members of an archive without names; uncommitted changes are left out whole."""
        found = {}
        for name, data in members.items():
            if not DIFFS.search(f"/{name}"):
                found[name] = self._member(name, data)
        return found

    def _member(self, name: str, data: bytes) -> bytes:
        text = data.decode("utf-8", "backslashreplace")
        if name.endswith(".json"):
            return (json.dumps(self._facts(json.loads(text)), indent=1, ensure_ascii=False) + "\n").encode()
        return self.text(text).encode()

    def config(self, value: Any) -> Any:
        """Return a config that says of no file where it is; what counts for the id stays."""
        if isinstance(value, (list, tuple)):
            return type(value)(map(self.config, value))
        if not isinstance(value, dict):
            return value
        found = {}
        for key, item in value.items():
            found[key] = "PATH" if isinstance(item, str) and item and key in FILES else self.config(item)
        return found

    def _facts(self, value: Any, key: str = "") -> Any:
        """Return facts without hosts, commands and folders; a commit becomes a digest of it."""
        last = key.rpartition(".")[2]
        if isinstance(value, dict):
            return {self.text(name): self._facts(item, name) for name, item in value.items()}
        if last == "command":
            return [] if isinstance(value, list) else ""
        if isinstance(value, list):
            return [self._facts(item, key) for item in value]
        if not isinstance(value, str):
            return value
        if last == "commit":
            return commit_digest(value)
        if last == "checkpoint" or (last == "base" and value.endswith(".py")):
            return PurePosixPath(value).name
        if last == "host":
            return ""
        if (
            last in (*FILES, FOLDER) and value and not DIGEST.fullmatch(value)
        ):  # the record of data has digests of these names
            return "PATH"
        return self.text(value)


def commit_digest(commit: str) -> str:
    """Return a digest of a commit, by which equal commits are seen and no repository is found."""
    return hashlib.sha256(commit.encode()).hexdigest()[:40]


def _hosts(runs: Iterable[StoredRun]) -> set[str]:
    found = {socket.gethostname(), socket.getfqdn()}
    for run in runs:
        found |= {run.status.host or "", *(one.host or "" for one in run.status.history)}
    return {part for name in found if name for part in (name, name.partition(".")[0])}


def _people() -> set[str]:
    """Return the names of this account and of the authors of the checkout's commits."""
    found = {Path.home().name}
    try:
        import pwd

        found |= {getpass.getuser(), *(pwd.getpwnam(getpass.getuser()).pw_gecos.split(","))}
    except (ImportError, OSError, KeyError):
        pass
    log = ["log", "--all", "-n", "20000", "--format=%an%n%ae%n%cn%n%ce"]
    for arguments in (log, ["config", "user.name"], ["config", "user.email"]):
        try:
            done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.SubprocessError):
            break
        found |= set(done.stdout.splitlines())
    mails = {name.partition("@")[0] for name in found if "@" in name}
    return {name.strip() for name in found | mails if name.strip()}
