"""The method, torch only: reads like section 3 of the paper. Importing it registers every component."""

from dupl.method import (
    consistency,
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
)

__all__ = [
    "consistency",
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
]
