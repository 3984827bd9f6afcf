"""The fully supervised ceiling of the demo: one student of demo/toy on the same schedule, trained with the true masks.

Reproduces: no table of the paper. It is an upper bound for training on tags with this network, this many iterations
    and this batch, on the toy validation set.

    dupl train demo/supervised
"""

_base_ = ["toy.py"]

model = dict(
    type="Supervised",
    students=dict(type="SingleStudent"),
    discrepancy=dict(_delete_=True, type="NoDiscrepancy"),
    threshold=dict(_delete_=True, type="FixedThreshold", value=0.7),
    noise_filter=dict(_delete_=True, type="TrustAll"),
    consistency=dict(_delete_=True, type="NoConsistency"),
    segmentation=dict(type="CrossEntropy", start=0),
    patch_contrast=dict(_delete_=True, type="NoPatchContrast"),
    weights=dict(seg=1.0),
)
