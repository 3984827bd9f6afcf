"""AFA with DeiT-tiny on VOC's photos of cats, cows, dogs, horses and sheep, from tags only: real photos on a CPU.

Reproduces: no table of the paper. Data, network, schedule and evaluation are those of voc_animals.
Protocol: mIoU over 7 classes (mIoU-7), with the 21-class mIoU beside it; 160 px, squashed, no CRF.
Data: as for voc_animals.

    dupl train animals/afa --set data.train.root=DIR data.val.root=DIR model.network.backbone.weights=FILE.safetensors
"""

_base_ = [
    "../_base_/method/afa_mitb1.py",
    "../_base_/animals.py",
]

model = dict(
    network=dict(
        _delete_=True,
        type="SubNet",
        backbone=dict(
            name="deit_tiny_patch16_224.fb_in1k",
            pretrained=True,
            weights=None,
            aux_block=-3,
            options=dict(),
            fit="drop",
        ),
        pooling="max",
        head=dict(channels=512, dilation=5),
    ),
    affinity=dict(start=350, spread_from=500, patch_pixel="centre"),
    segmentation=dict(start=350),
    dense_energy=dict(start=350, scale=5e-6, sigma_xy=36.0),
)
