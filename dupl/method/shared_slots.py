"""Slots that several methods have alike, most of them for components of another method.

A method whose slot differs, as DuPL's own L_dis does, states it in its ``SLOTS``.
"""

from __future__ import annotations

from dupl.config.kinds import Slot

STUDENTS = Slot("students", mark="DS", null="SingleStudent", optional=True, doc="The students, and who teaches whom.")
THRESHOLD = Slot(
    "threshold",
    mark="DTA",
    null="FixedThreshold",
    optional=True,
    after=("patch_contrast", "class_contrast", "segmentation"),
    doc="The high threshold over training.",
)
NOISE_FILTER = Slot(
    "noise_filter",
    mark="ANF",
    null="TrustAll",
    starts=True,
    optional=True,
    after=("segmentation",),
    doc="Noise filter of DuPL.",
)
DISCREPANCY = Slot(
    "discrepancy",
    mark="L_dis",
    null="NoDiscrepancy",
    starts=True,
    optional=True,
    weight="dis",
    doc="L_dis of DuPL.",
)
CONSISTENCY = Slot(
    "consistency",
    mark="L_reg",
    null="NoConsistency",
    starts=True,
    optional=True,
    after=("segmentation",),
    weight="reg",
    doc="L_reg of DuPL.",
)
PERTURB = Slot(
    "perturb",
    null="NoPerturbation",
    optional=True,
    after=("consistency",),
    doc="Strong augmentation of DuPL.",
)
REFINE = Slot("refine", null="NoRefinement", after=("segmentation",), doc="Refinement of the CAMs into pseudo-labels.")
SEGMENTATION = Slot(
    "segmentation",
    mark="L_seg",
    starts=True,
    weight="seg",
    doc="Segmentation loss; it starts the pseudo-labels.",
)
PATCH_CONTRAST = Slot(
    "patch_contrast",
    mark="L_ptc",
    null="NoPatchContrast",
    starts=True,
    optional=True,
    weight="ptc",
    doc="Patch token contrast of ToCo.",
)
CLASS_CONTRAST = Slot(
    "class_contrast",
    mark="L_ctc",
    null="NoClassContrast",
    starts=True,
    optional=True,
    weight="ctc",
    doc="Class token contrast of ToCo.",
)
DENSE_ENERGY = Slot(
    "dense_energy",
    mark="L_energy",
    null="NoDenseEnergy",
    of_paper=True,
    starts=True,
    weight="energy",
    doc="Dense energy.",
)
AFFINITY = Slot(
    "affinity",
    mark="L_aff",
    null="NoAffinity",
    starts=True,
    optional=True,
    weight="aff",
    doc="Affinity of AFA.",
)
AVERAGES = Slot("averages", mark="EMA", null="OwnCams", starts=True, optional=True, doc="Whose CAMs make the labels.")
