"""The fully supervised counterpart of voc/dupl: the same network, data and schedule, trained with the true masks.

Reproduces: Table 3, column val (F) (the paper's numbers: 80.5 mIoU with ImageNet-1k, 82.3 with ImageNet-21k; the final
    protocol, as for the 72.2 beside it). It is an upper bound: only recipes of this kind read masks in training.
Not run by us: these are the paper's numbers, and the paper does not state how they were trained. Here it is
    cross-entropy of weight 1 from the first iteration, together with the classification loss; everything else is as in
    voc/dupl.
Hours: not measured.
ImageNet-21k: --set model.network.backbone.name=vit_base_patch16_224.orig_in21k_ft_in1k

    dupl train voc/supervised
    dupl eval runs/voc-supervised-FINGERPRINT --protocol final
"""

_base_ = ["dupl.py"]

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
