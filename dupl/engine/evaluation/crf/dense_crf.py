"""Refining the probability maps of one image by a dense CRF, with either backend."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dupl.config.schema import CRF
from dupl.engine.evaluation.crf import reference
from dupl.engine.evaluation.crf.parameters import BACKENDS, Labels, Probabilities
from dupl.errors import UserError


@dataclass(frozen=True, eq=False)
class RefineJob:
    """One image to refine.

    Attributes:
        image: RGB, uint8 (H, W, 3).
        probabilities: Its S probability maps, float32 (S, C, H, W).
        classes: Label ids to choose from; None for all C.
    """

    image: NDArray[np.uint8]
    probabilities: Probabilities
    classes: tuple[int, ...] | None = None


def refine(job: RefineJob, crf: CRF, backend: str, device: str = "cpu") -> Labels:
    """Return the label ids of a job's maps after the CRF, uint8 (S, H, W).

    Args:
        job: The image and its maps.
        crf: The parameters.
        backend: One of ``BACKENDS``.
        device: The device of the torch backend.
    """
    maps = job.probabilities
    if job.classes is not None:
        maps = maps[:, list(job.classes)]
        maps = maps / maps.sum(1, keepdims=True).clip(min=1e-12)
    if backend == "pydensecrf":
        labels = reference.refine(job.image, maps, crf)
    else:
        from dupl.engine.evaluation.crf import mean_field  # torch, which a process of the other backend does not need

        labels = mean_field.refine(job.image, maps, crf, device)
    return labels if job.classes is None else np.array(job.classes, np.uint8)[labels]


def require(backend: str) -> None:
    """Check that a backend is installed.

    Raises:
        UserError: It is not; the message names the command that installs it.
    """
    if backend not in BACKENDS:
        raise UserError(f"CRF backend {backend}: choose from {', '.join(BACKENDS)}")
    if backend == "pydensecrf" and importlib.util.find_spec("pydensecrf") is None:
        raise UserError(
            'pydensecrf is not installed: pip install ".[crf]" (it needs a C++ compiler and Python below 3.13), '
            "or use the CRF backend torch"
        )
