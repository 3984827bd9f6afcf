"""How a process holds its memory."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def keep_memory() -> None:
    """Make this process hold on to freed memory, where its C library is glibc.

    Work on a CPU allocates and frees arrays of megabytes all the time; to get each page of them anew from the system
    takes up to half of the time of a transformer's forward pass (benchmarks/README.md).
    """
    with suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(-4, 0)  # M_MMAP_MAX: nothing lies outside the heap
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: the heap does not shrink
