"""The methods and their components, as in section 3 of the paper. Importing this package registers them by name."""

from dupl.method import (
    class_contrast,
    consistency,
    dense_energy,
    discrepancy,
    dupl,
    network,
    noise_filter,
    own_view,
    patch_contrast,
    perturb,
    refine,
    segmentation,
    students,
    supervised,
    threshold,
    toco,
)

__all__ = [
    "class_contrast",
    "consistency",
    "dense_energy",
    "discrepancy",
    "dupl",
    "network",
    "noise_filter",
    "own_view",
    "patch_contrast",
    "perturb",
    "refine",
    "segmentation",
    "students",
    "supervised",
    "threshold",
    "toco",
]
