"""Wait for a study's storage that does not answer for a while, such as a database server that restarts."""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dupl.errors import Notice, RunError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

LIMIT = 300.0  # seconds without an answer after which the storage has failed
AGAIN = 2.0  # seconds between two attempts


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

    for method in (one for one in dir(Base) if not one.startswith("_") and callable(getattr(storage, one, None))):
        setattr(storage, method, _patiently(getattr(storage, method), name, LIMIT if limit is None else limit))
    return storage


def _patiently(work: Callable[..., Any], name: str, limit: float) -> Callable[..., Any]:
    @functools.wraps(work)
    def again(*args: Any, **kwargs: Any) -> Any:
        since: float | None = None
        while True:
            try:
                return work(*args, **kwargs)
            except Exception as error:
                if (cause := lost_connection(error)) is None:
                    if since is not None and type(error).__name__ == "UpdateFinishedTrialError":
                        return True  # the attempt before was heard, only its answer was lost
                    raise
                now = time.monotonic()
                if since is None:
                    since = now
                    line = f"storage {name} does not answer ({cause}): trying again for {limit:g} s"
                    warnings.warn(Notice(line), stacklevel=2)
                if now - since > limit:
                    raise RunError(f"storage {name} has not answered for {limit:g} s: {cause}") from error
                time.sleep(AGAIN)

    return again


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
