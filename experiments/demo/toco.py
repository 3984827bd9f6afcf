"""ToCo on the synthetic scenes, from random weights, in a few minutes on two CPU cores.

Reproduces: no table of the paper. The network, the data and the schedule are those of demo/toy.

    dupl train demo/toco
"""

_base_ = [
    "../_base_/method/toco_vitb.py",
    "../_base_/data/toy.py",
    "../_base_/schedule/demo.py",
    "../_base_/runtime.py",
]

model = dict(
    network=dict(
        backbone=dict(
            name="vit_tiny_patch16_224",
            pretrained=False,
            options=dict(img_size=64, patch_size=4, embed_dim=64, depth=4, num_heads=4),
        ),
        head=dict(channels=64, dilation=2),
    ),
    patch_contrast=dict(start=140),
    class_contrast=dict(start=70, crop_size=16, projector=dict(hidden=128, bottleneck=32, out=64)),
    segmentation=dict(start=140),
    dense_energy=dict(start=140, scale=1e-5, sigma_xy=14.0, downscale=1),
    refine=dict(dilations=[1, 2, 4], iterations=5, downscale=1),
    cam_scales=[1.0, 0.5],
)
data = dict(contrast_augment=dict(other_blur=0.0, solarize=0.0, local_blur=0.0))
schedule = dict(iterations=420, lr=2e-3)
evaluation = dict(interval=70, size=64, batch_size=50)
runtime = dict(threads=2, workers=0, log_interval=10, checkpoint_interval=100)
