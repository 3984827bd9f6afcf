"""Names shared by the backends of the dense CRF, and how its parameters appear in file names.

Released code: 10 iterations; a Gaussian kernel of 1 pixel and weight 1; a bilateral one of 121 pixels, 5 grey levels
and weight 4; the unary term is -log of the softmax, which is clipped at 1e-5.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from dupl.config.schema import CRF

Labels = NDArray[np.uint8]
Probabilities = NDArray[np.float32]
CLIP = 1e-5  # smallest probability of the unary term
BACKENDS = ("pydensecrf", "torch")


def suffix(crf: CRF) -> str:
    """Return the parameters that differ from the released code, for file names; "" where none does."""
    values, released = asdict(crf), asdict(CRF())
    return "".join(f"-{name}{value:g}" for name, value in values.items() if value != released[name])
