"""CoSA on MS COCO 2014 with ViT-B, as in its released code.

Reproduces: 51.0 on val (the paper of CoSA), of the checkpoint that was best on val.
Not run by us: this is the paper's number.
Hours: not measured on a GPU yet.
Data: COCO 2014 in data/coco14, made by `dupl data prepare coco --root data/coco14`.
Weights: timm's vit_base_patch16_224.orig_in21k_ft_in1k.

    torchrun --nproc-per-node 2 -m dupl train coco/cosa --launcher pytorch
    dupl eval runs/RUN --split val_full
"""

_base_ = [
    "../_base_/method/cosa_vitb.py",
    "../_base_/data/coco14.py",
    "../_base_/schedule/iters_80k.py",
    "../_base_/runtime.py",
]

model = dict(
    network=dict(backbone=dict(fit="drop")),
    students=dict(initial="own"),
    aux_scales="last",
    segmentation=dict(start=10001),
    seg_to_cam=dict(start=10001),
    dense_energy=dict(start=10001),
    threshold=dict(value=0.65),
)
data = dict(augment=dict(jitter=0.0, gray=0.0, blur=0.5))
schedule = dict(iterations=60000, images_per_loss=4)  # released code: 2 processes of 4 images
evaluation = dict(
    interval=4000,
    final=dict(scales=[1.0, 1.25, 1.5], over_scales="sum", size=448),  # as in coco/toco, for comparison
)
