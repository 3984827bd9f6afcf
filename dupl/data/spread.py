"""Choosing a few images of a data set."""

from __future__ import annotations

import numpy as np


def spread(count: int, size: int) -> list[int]:
    """Return the positions of ``count`` images, evenly spread over ``size``; all of them where there are fewer."""
    return sorted(set(np.linspace(0, size - 1, min(count, size)).round().astype(int).tolist()))
