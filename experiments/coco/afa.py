"""AFA on MS COCO 2014 with MiT-B1, as in its released code.

Reproduces: 38.9 on val (the paper of AFA).
Not run by us: this is the paper's number.
Hours: not measured on a GPU yet.
Data: COCO 2014 in data/coco14, made by `dupl data prepare coco --root data/coco14`.
Weights: SegFormer's mit_b1.pth, ImageNet-1k, in weights.
From 15k on the affinity learns from the labels of propagated CAMs, on VOC from those of the CAMs themselves.

    torchrun --nproc-per-node 4 -m dupl train coco/afa --launcher pytorch
    dupl eval runs/RUN --split val_full
"""

_base_ = [
    "../_base_/method/afa_mitb1.py",
    "../_base_/data/coco14.py",
    "../_base_/schedule/iters_80k.py",
    "../_base_/runtime.py",
]

model = dict(
    network=dict(backbone=dict(fit="any", drop_in_cams=True)),
    affinity=dict(start=5001, spread_from=15001, targets="spread", extra_pairs=1.0, refine_in="photo"),
    segmentation=dict(start=5001),
    dense_energy=dict(_delete_=True, type="NoDenseEnergy"),
    refine=dict(iterations=15),
    levels="truncate",
    idle_heads="decay",
)
data = dict(augment=dict(crop=512, jitter=0.0, gray=0.0, blur=0.0))
schedule = dict(images_per_loss=2, power=1.0, norm_lr=0.0)  # released code: 4 processes of 2 images
evaluation = dict(
    interval=5000,
    size=512,
    cam_threshold=0.45,
    final=dict(scales=[1.0, 0.5, 0.75], over_scales="max", size=512),
    crf=dict(sxy=3.0, compat=3.0, bilateral_sxy=64.0),
)
runtime = dict(seed=1)
