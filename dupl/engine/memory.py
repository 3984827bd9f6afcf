"""How a process holds its memory."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from dupl.errors import UserError

SURE = 1 << 30  # bytes that are taken for granted
CGROUP = Path("/sys/fs/cgroup")


def keep_memory() -> None:
    """Make this process hold on to freed memory, where its C library is glibc.

    Work on a CPU allocates and frees arrays of megabytes all the time; to get each page of them anew from the system
    takes up to half of the time of a transformer's forward pass (benchmarks/README.md).
    """
    with suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(-4, 0)  # M_MMAP_MAX: nothing lies outside the heap
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: the heap does not shrink


def require(maps: float, classes: int, size: Sequence[int], what: str, advice: str) -> None:
    """Say that maps of a photo will not fit into the memory, before the system kills the process for them.

    Args:
        maps: How many times (C, H, W) float32 are held at once.
        classes: C.
        size: H, W.
        what: Whose they are, for the message.
        advice: What takes less, in words that follow "try".

    Raises:
        UserError: There is less free memory; nothing is said where the system does not tell how much is free.
    """
    needed = 4 * maps * classes * size[0] * size[1]
    if needed > SURE and (left := free()) is not None and needed > left:
        gib = [f"{value / 2**30:.0f} GiB" for value in (needed, left)]
        raise UserError(
            f"{what} has {size[1]}x{size[0]} pixels: maps of {classes} classes of it take about {gib[0]}, and {gib[1]} "
            f"are free: try {advice}"
        )


def free() -> int | None:
    """Bytes of memory that this process may still take; None where nobody tells."""
    left = []
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        left.append(int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) << 10)
    with suppress(OSError, ValueError):  # of a container; "max" is no limit
        most = int((CGROUP / "memory.max").read_text())
        left.append(most - int((CGROUP / "memory.current").read_text()))
    return min(left, default=None)
