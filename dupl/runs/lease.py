"""Who is at work on a run: leases as files, which need a shared file system and no clocks that agree.

The claims on a run are the numbered files of ``<store>/.leases/<fingerprint>/``, of which none is ever deleted. Who
creates number n + 1, which only one can, has taken the run from the holder of n. A holder renews its claim by writing
a higher beat into it, and has lost the run as soon as there is a next number. Others judge by their own clock whether
a claim still changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

FOLDER = ".leases"
TTL = 60.0  # seconds that a claim may stay unchanged
BEATS = 4  # renewals in that time

Outcome = Literal["finished", "failed", "interrupted"]


@dataclass(frozen=True)
class Claim:
    """What one claim on a run says.

    Attributes:
        number: From 1 on; the highest one of a run counts.
        ticket: Id of the order that the holder carries out.
        folder: Of the run.
        host, pid: Of the holder.
        ttl: Seconds without a change after which others may take the run.
        beat: Renewals so far.
        outcome: How it ended; None while it is held.
        error: Why it failed, or was interrupted in a way that should not go on for ever.
        hopeless: Whether another attempt would fail alike.
        digest: Of the file as it was read.
    """

    number: int
    ticket: str = ""
    folder: str = ""
    host: str = ""
    pid: int = 0
    ttl: float = TTL
    beat: int = 0
    outcome: Outcome | None = None
    error: str | None = None
    hopeless: bool = False
    digest: str = field(default="", compare=False)

    @property
    def held(self) -> bool:
        """Whether its holder has not ended it."""
        return self.outcome is None

    @classmethod
    def read(cls, path: Path) -> Claim:
        """Reads a claim; one that is not written yet, or damaged, says nothing and counts as held."""
        data = path.read_bytes()
        number, digest = int(path.stem), hashlib.sha256(data).hexdigest()
        try:
            return cls(**{**json.loads(data), "number": number, "digest": digest})
        except (ValueError, TypeError):
            return cls(number, digest=digest)

    def encode(self) -> bytes:
        """The file's content."""
        values = {key: value for key, value in asdict(self).items() if key not in ("number", "digest")}
        return (json.dumps(values, indent=2) + "\n").encode()


class Leases:
    """The claims on the runs of a store, as one observer sees them.

    Args:
        root: The store.
        clock: In seconds, of this observer alone.
    """

    def __init__(self, root: str | Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder, self.clock = Path(root) / FOLDER, clock
        self.ended: dict[Path, Claim] = {}
        self.watched: dict[Path, tuple[str, float, float]] = {}

    def claims(self, fingerprint: str) -> list[Claim]:
        """All claims on a run, in order; [] where nobody ever claimed it."""
        paths = sorted((self.folder / fingerprint).glob("[0-9]*.json"))
        return [self._read(path) for path in paths]

    def _read(self, path: Path) -> Claim:
        if path in self.ended:
            return self.ended[path]
        claim = Claim.read(path)
        if not claim.held:
            self.ended[path] = claim
        return claim

    def last(self, fingerprint: str) -> Claim | None:
        """The claim that counts."""
        claims = self.claims(fingerprint)
        return claims[-1] if claims else None

    def stale(self, fingerprint: str, claim: Claim) -> bool:
        """Whether a held claim has not changed for its ``ttl``, over several calls to this function.

        Time between two calls counts as a beat at most, lest an observer that slept takes all others for dead.
        """
        path, now = self._path(fingerprint, claim.number), self.clock()
        digest, age, looked = self.watched.get(path, ("", 0.0, now))
        age = age + min(now - looked, claim.ttl / BEATS) if digest == claim.digest else 0.0
        self.watched[path] = claim.digest, age, now
        return age >= claim.ttl

    def take(self, fingerprint: str, ticket: str, folder: str | Path, ttl: float, over: str = "") -> Lease | None:
        """Claims a run that nobody holds; None where somebody does, or was faster.

        Args:
            fingerprint: Of the run.
            ticket: Id of the order.
            folder: Of the run.
            ttl: In seconds.
            over: Digest of a claim found stale, which may be taken over if it is still the same.
        """
        last = self.last(fingerprint)
        if last is not None and last.held and last.digest != over:
            return None
        number = 1 if last is None else last.number + 1
        claim = Claim(number, ticket, str(folder), socket.gethostname(), os.getpid(), ttl)
        path = self._path(fingerprint, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(path, "xb") as file:
                file.write(claim.encode())
        except FileExistsError:
            return None
        return Lease(path, claim, self.clock)

    def _path(self, fingerprint: str, number: int) -> Path:
        return self.folder / fingerprint / f"{number:04d}.json"


class Lease:
    """A claim in the hands of its holder.

    Args:
        path: Of the claim's file.
        claim: As it was written.
        clock: In seconds.
    """

    def __init__(self, path: Path, claim: Claim, clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self.claim, self.clock = path, claim, clock
        self.next = path.with_name(f"{claim.number + 1:04d}.json")
        self.renewed = clock()

    def keep(self) -> bool:
        """Renews the claim where it is time to; False where it is lost, or could not be renewed for its ``ttl``."""
        if self.next.exists():
            return False
        since = self.clock() - self.renewed
        if since < self.claim.ttl / BEATS:
            return True
        try:
            self._write(replace(self.claim, beat=self.claim.beat + 1))
        except OSError:  # a full or a distant disk may come back
            return since < self.claim.ttl
        return True

    def end(self, outcome: Outcome, error: str | None = None, hopeless: bool = False) -> None:
        """Gives the run back, unless it is lost already."""
        if not self.next.exists():
            self._write(replace(self.claim, outcome=outcome, error=error, hopeless=hopeless))

    def _write(self, claim: Claim) -> None:
        draft = self.path.with_name(f".{self.path.name}.{claim.ticket}")
        draft.write_bytes(claim.encode())  # a beat need not outlast a power cut, and must not wait for a busy disk
        os.replace(draft, self.path)
        self.claim, self.renewed = claim, self.clock()
