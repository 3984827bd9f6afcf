"""What a scheduler asks of a worker, and what the worker answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, get_args

from dupl.execute.job import PLANS, Job
from dupl.lock import TTL

Outcome = Literal["finished", "failed", "interrupted", "held"]
HANG = 1800.0  # seconds without a heartbeat after which a command hangs


@dataclass(frozen=True)
class Order:
    """One attempt at a job.

    Attributes:
        ticket: Its id, by which its processes and its lock are known.
        ttl: Time to live of the lock that its training holds, in seconds.
        over: Note of a holder that stood still (`Sight.token`), which may be killed if it still is the same.
        parent: Process with which the worker ends, as nobody would look after it any more; 0 where there is none.
        cores: That it may use; all where empty.
        env: Environment variables for the commands.
        grace: Seconds that a command has to stop when it is asked to.
        hang: Seconds without a heartbeat after which a command is killed.
    """

    ticket: str
    ttl: float = TTL
    over: str = ""
    parent: int = 0
    cores: tuple[int, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    grace: float = 600.0
    hang: float = HANG


@dataclass(frozen=True)
class End:
    """How an attempt ended.

    Attributes:
        outcome: "held" where another process was at work on the run.
        error: Why it failed, or was interrupted in a way that must not repeat for ever.
        hopeless: Whether another attempt would fail in the same way.
        broken: Whether its worker ended before it could answer.
        lost: Whether the machine failed and not the run: its node, its cluster, a full disk.
    """

    outcome: Outcome
    error: str | None = None
    hopeless: bool = False
    broken: bool = False
    lost: bool = False


def stop_file(job: Job, ticket: str) -> Path:
    """Return the file whose presence asks the worker of an order to stop."""
    return Path(job.root) / PLANS / f"{job.fingerprint}.{ticket}.stop"


def encode(job: Job, order: Order) -> str:
    """Write job and order as one line of JSON."""
    return json.dumps([asdict(job), asdict(order)])


def decode(text: str) -> tuple[Job, Order]:
    """Read what `encode` wrote."""
    job, order = json.loads(text)
    return Job.of(job), Order(**order)


def encode_end(end: End) -> str:
    """Write how an attempt ended as one line of JSON."""
    return json.dumps(asdict(end))


def decode_end(text: object) -> End:
    """Read what `encode_end` wrote.

    Raises:
        ValueError: It is something else.
    """
    values = json.loads(text) if isinstance(text, str) else None
    if not isinstance(values, dict) or values.get("outcome") not in get_args(Outcome):
        raise ValueError(f"a worker answered {str(text)[:100]!r}, which is not how an attempt ended")
    error = values.get("error")
    return End(
        outcome=values["outcome"],
        error=None if error is None else str(error),
        hopeless=bool(values.get("hopeless")),
        broken=bool(values.get("broken")),
        lost=bool(values.get("lost")),
    )
