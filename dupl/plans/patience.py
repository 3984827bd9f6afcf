"""Wait for a study's storage that does not answer for a while, such as a database server that restarts."""

from __future__ import annotations

import functools
import threading
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dupl.errors import Notice, RunError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

LIMIT = 300.0  # seconds without an answer after which the storage has failed
AGAIN = 2.0  # seconds between two attempts
PATIENCE = "dupl_patience"  # attribute of a storage that is waited for


class Patience:
    """Wait for one storage, until it has not answered for too long or nobody wants to wait any more.

    Args:
        name: Of the storage, for messages.
        limit: Seconds without an answer after which the storage has failed.

    Attributes:
        away: What the driver says of the connection that is lost; "" while the storage answers.
    """

    def __init__(self, name: str, limit: float) -> None:
        self.name, self.limit, self.away = name, limit, ""
        self.ended = threading.Event()

    def call(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a method of the storage, again and again while it does not answer.

        Raises:
            RunError: It has not answered for too long, or nobody wants to wait.
        """
        since: float | None = None
        while not (self.away and self.ended.is_set()):
            try:
                answer = work(*args, **kwargs)
                self.away = ""
                return answer
            except Exception as error:
                if (cause := lost_connection(error)) is None:
                    if since is not None and type(error).__name__ == "UpdateFinishedTrialError":
                        return True  # the attempt before was heard, only its answer was lost
                    raise
                self.away, now = cause, time.monotonic()
                if since is None:
                    since = now
                    line = f"storage {self.name} does not answer ({cause}): trying again for {self.limit:g} s"
                    warnings.warn(Notice(line), stacklevel=3)
                if now - since > self.limit:
                    raise RunError(f"storage {self.name} has not answered for {self.limit:g} s: {cause}") from error
                self.ended.wait(AGAIN)
        raise RunError(self.line())

    def line(self) -> str:
        """Say that the storage does not answer."""
        return f"storage {self.name} does not answer: {self.away}"


def make_patient(storage: BaseStorage, name: str, limit: float | None = None) -> BaseStorage:
    """Have every method of a storage be called again while the server does not answer.

    Args:
        storage: The storage, which is changed.
        name: Of the storage, for messages.
        limit: Seconds without an answer after which a `RunError` names the cause; `LIMIT` where None.

    Returns:
        The storage.
    """
    from optuna.storages import BaseStorage as Base

    patience = Patience(name, LIMIT if limit is None else limit)
    for method in (one for one in dir(Base) if not one.startswith("_") and callable(getattr(storage, one, None))):
        setattr(storage, method, functools.partial(patience.call, getattr(storage, method)))
    setattr(storage, PATIENCE, patience)
    return storage


def give_up(storage: BaseStorage) -> None:
    """Wait for a storage no longer: calls fail at once while it does not answer."""
    if (patience := getattr(storage, PATIENCE, None)) is not None:
        patience.ended.set()


def given_up(storage: BaseStorage) -> str:
    """Return a line on a storage that was given up because it did not answer; "" for another one."""
    patience: Patience | None = getattr(storage, PATIENCE, None)
    return patience.line() if patience is not None and patience.ended.is_set() and patience.away else ""


def lost_connection(error: BaseException) -> str | None:
    """Return what the driver says of a connection that is lost or refused; None for another error."""
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, (OperationalError, InterfaceError)) or getattr(seen, "connection_invalidated", False):
            said = seen.orig if isinstance(seen, DBAPIError) else seen
            return (" ".join(str(said).split()) or type(seen).__name__)[:200]
        seen = seen.__cause__ or seen.__context__
    return None
