"""One-line explanations of errors from outside the code: a full disk, too little memory, a killed worker."""

from __future__ import annotations

import errno
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dupl.errors import FULL, FULL_TEXT, DiskError, RunError, UserError

DISK = (*FULL, errno.EROFS, errno.EACCES, errno.EIO, errno.ESTALE)  # errors of a disk that is written to
LACK = re.compile(r"out of memory|can't allocate memory|not enough memory|bad_alloc|ALLOC_FAILED|Cannot allocate")
WORKER = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+|unknown)\) (?:is killed by signal: (\w[\w ]*)|exited)")
TORCH_SAVE = re.compile(r"PytorchStreamWriter|enforce fail at inline_container")  # all that torch.save says
AGAIN = "repeat the command (dupl train with --resume)"


@contextmanager
def plain_errors(smaller: str = "", workers: int = 0) -> Iterator[None]:
    """Replace the traceback of an error that is not a fault of the code by one line.

    A `UserError` in a worker of the data loader is raised again with its own line only.

    Args:
        smaller: Settings that take less memory here, in words that follow "try".
        workers: Number of the loader's workers, ``runtime.workers``.

    Raises:
        UserError: A mistake of the user.
        DiskError: The disk is full or cannot be written.
        RunError: Memory ran out, or a worker of the loader was killed.
    """
    try:
        yield
    except UserError as error:
        raise UserError(str(error).strip().rsplit("UserError: ", 1)[-1]) from error
    except (OSError, EOFError, RuntimeError, MemoryError) as error:
        if (line := disk(error)) is not None:
            raise DiskError(line) from error
        if (line := memory(error, smaller, workers) or loader(error, workers)) is None:
            raise
        raise RunError(line) from error


def disk(error: BaseException) -> str | None:
    """Explain a disk that is full or cannot be written; None for another error."""
    number = getattr(error, "errno", None)
    if number not in DISK and not TORCH_SAVE.search(str(error)):
        return None
    what = FULL_TEXT if number in FULL else "the disk could not be written"
    return f"{what} ({_short(error, 200)}): fix this, then {AGAIN}"


def memory(error: BaseException, smaller: str, workers: int) -> str | None:
    """Explain that memory ran out; None for another error."""
    on_gpu = isinstance(error, torch.OutOfMemoryError)
    lacking = isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM
    if not (on_gpu or lacking or LACK.search(str(error))):
        return None
    where = "GPU" if on_gpu or re.search("CUDA|CUBLAS|CUDNN", str(error)) else "CPU"
    tries = [smaller] if smaller else []
    if workers and where == "CPU":
        tries.append(f"runtime.workers=0 (now {workers})")
    advice = f"try {', '.join(tries)}; or " if tries else ""
    return f"out of memory on the {where} ({_short(error, 160)}): {advice}free memory and {AGAIN}"


def loader(error: BaseException, workers: int) -> str | None:
    """Explain that a worker of the loader was killed; None for another error."""
    if (found := WORKER.search(str(error))) is None:
        lost = workers and isinstance(error, (ConnectionError, EOFError))  # before the loader notices
        return loader(RuntimeError("DataLoader worker (pid unknown) exited"), workers) if lost else None
    how = f"killed by signal {found[2].strip()}" if found[2] else "gone"
    where = "shared memory" if found[2] and found[2].startswith("Bus error") else "memory, or shared memory,"
    fewer = (
        f"--set runtime.workers={workers // 2} (now {workers}; it changes no result)" if workers else "fewer workers"
    )
    return (
        f"a worker of the data loader (process {found[1].strip()}) is {how}: {where} may have run out; free some "
        f"(df -h /dev/shm; docker run --shm-size), or try {fewer}, and {AGAIN}"
    )


@contextmanager
def workers_of(batches: object) -> Iterator[None]:
    """Shut down a loader's workers at the end, and name a killed one that the loader has not noticed yet.

    Args:
        batches: The loader's iterator.

    Raises:
        RuntimeError: A worker was killed, in the loader's own words.
    """
    try:
        yield
    except (ConnectionError, EOFError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "exited unexpectedly" not in str(error):
            raise  # not the end of a worker, or the signal is named already
        time.sleep(0.2)  # a worker's end may be visible later than the broken connection
        codes = {worker.pid: worker.exitcode for worker in getattr(batches, "_workers", ())}
        if (killed := next((pid for pid, code in codes.items() if code), None)) is None:
            raise
        how = signal.strsignal(-codes[killed]) if codes[killed] < 0 else f"exit code {codes[killed]}"
        raise RuntimeError(f"DataLoader worker (pid {killed}) is killed by signal: {how}. ") from error
    finally:
        with without_alarm():
            if (end := getattr(batches, "_shutdown_workers", None)) is not None:
                end()


@contextmanager
def without_alarm() -> Iterator[None]:
    """Suspend torch's signal handler for workers that end, which raises an error wherever the code is."""
    try:
        before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    except ValueError:  # outside the main thread, where the handler does not run
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


def _short(error: BaseException, length: int) -> str:
    """Return the beginning of an error's message; the last line of one that a worker passed on."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    message = lines[-1] if lines[0].startswith("Caught ") else " ".join(lines)
    return message if len(message) <= length else f"{message[:length]}…"
