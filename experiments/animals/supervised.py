"""The fully supervised ceiling of voc_animals: one student on the same schedule, trained with the true masks.

Reproduces: no table of the paper. It is an upper bound for training on tags with this network, this many iterations
    and this batch. Only recipes of this kind read masks in training.
Protocol: mIoU over 7 classes (mIoU-7), with the 21-class mIoU beside it; 160 px, squashed, no CRF.
Data: as for voc_animals.

    dupl train animals/supervised --set data.train.root=DIR data.val.root=DIR model.network.backbone.weights=FILE
"""

_base_ = ["../voc_animals.py"]

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
