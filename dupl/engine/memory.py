"""The memory of this process: keeping freed pages, and refusing maps that will not fit."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from dupl.errors import UserError

ALWAYS_FREE = 1 << 30  # bytes that are not checked
CGROUP = Path("/sys/fs/cgroup")


def keep_memory() -> None:
    """Make this process keep freed memory instead of returning it to the system, where its C library is glibc.

    Work on a CPU allocates and frees arrays of megabytes all the time; requesting each page from the system again takes
    up to half of the time of a transformer's forward pass (benchmarks/README.md).
    """
    with suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(-4, 0)  # M_MMAP_MAX: everything is allocated on the heap
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: the heap does not shrink


def require(maps: float, classes: int, size: Sequence[int], what: str, advice: str) -> None:
    """Refuse maps of a photo that will not fit into memory, before the system kills the process for them.

    Args:
        maps: Number of float32 maps (C, H, W) held at once.
        classes: C.
        size: H, W.
        what: The photo or mask, for the message.
        advice: What takes less memory, in words that follow "try".

    Raises:
        UserError: Less memory is free. Nothing is refused where the system does not report its free memory.
    """
    needed = 4 * maps * classes * size[0] * size[1]
    if needed > ALWAYS_FREE and (left := free()) is not None and needed > left:
        gib = [f"{value / 2**30:.0f} GiB" for value in (needed, left)]
        raise UserError(
            f"{what} has {size[1]}x{size[0]} pixels: maps of {classes} classes of it take about {gib[0]}, and {gib[1]} "
            f"are free; try {advice}"
        )


def free() -> int | None:
    """Return the bytes of memory that this process may still take; None where the system does not report them."""
    left = []
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        left.append(int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) << 10)
    with suppress(OSError, ValueError):  # the limit of a container; "max" means none
        most = int((CGROUP / "memory.max").read_text())
        left.append(most - int((CGROUP / "memory.current").read_text()))
    return min(left, default=None)
