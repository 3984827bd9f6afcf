"""AFA on PASCAL VOC 2012 with a plain ViT, DeiT-B: a variant of ours, beside ToCo and DuPL with the same network.

Reproduces: no table of a paper. The affinity is read from the 24 heads of the last two blocks; network, crop, data and
    thresholds of the evaluation are those of voc/toco, and the auxiliary classifier of SubNet is trained too.
Not run by us.
Hours: not measured on a GPU yet.
Data: VOC 2012 with SBD in data/voc12. Weights: timm's deit_base_patch16_224.fb_in1k.

    torchrun --nproc-per-node 2 -m dupl train voc/afa_vitb --launcher pytorch
"""

_base_ = [
    "../_base_/method/afa_mitb1.py",
    "../_base_/data/voc12.py",
    "../_base_/schedule/iters_20k.py",
    "../_base_/runtime.py",
]

model = dict(
    network=dict(
        _delete_=True,
        type="SubNet",
        backbone=dict(
            name="deit_base_patch16_224.fb_in1k",
            pretrained=True,
            weights=None,  # a local .safetensors file instead of timm's hub
            aux_block=-3,
            options=dict(),
        ),
        pooling="max",
        head=dict(channels=512, dilation=5),
    ),
    affinity=dict(patch_pixel="centre"),
)
