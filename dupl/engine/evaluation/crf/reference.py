"""The reference backend of the dense CRF, pydensecrf."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dupl.config.schema import CRF
from dupl.engine.evaluation.crf.parameters import CLIP, Labels, Probabilities


def refine(image: NDArray[np.uint8], probabilities: Probabilities, crf: CRF) -> Labels:
    """Refine several probability maps of one image, which share the kernels.

    Args:
        image: RGB, (H, W, 3).
        probabilities: (S, C, H, W).
        crf: The parameters.

    Returns:
        The most likely of the C classes at each pixel, uint8 (S, H, W).
    """
    from pydensecrf.densecrf import DenseCRF2D

    count, height, width = probabilities.shape[1:]
    field = DenseCRF2D(width, height, count)
    field.addPairwiseGaussian(sxy=crf.sxy, compat=crf.compat)
    pixels = np.array(image, order="C")  # pydensecrf refuses read-only arrays
    field.addPairwiseBilateral(sxy=crf.bilateral_sxy, srgb=crf.srgb, rgbim=pixels, compat=crf.bilateral_compat)
    labels = []
    for single in probabilities:  # the kernels depend on the image alone
        field.setUnaryEnergy(-np.log(np.clip(single, CLIP, 1)).reshape(count, -1))
        belief = np.asarray(field.inference(crf.iterations))
        labels.append(belief.argmax(0).reshape(height, width).astype(np.uint8))
    return np.stack(labels)
