"""CoSA on the synthetic scenes, from random weights, in a few minutes on two CPU cores.

Reproduces: no table of the paper. The network, the data and the schedule are those of demo/toy. The average keeps 0.98,
    because training has 420 steps instead of 32,000.

    dupl train demo/cosa
"""

_base_ = [
    "../_base_/method/cosa_vitb.py",
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
    students=dict(momentum=0.98),
    segmentation=dict(start=140),
    seg_to_cam=dict(start=140),
    dense_energy=dict(start=140, scale=1e-5, sigma_xy=14.0, downscale=1),
    refine=dict(downscale=1),
    cam_scales=[1.0, 0.5],
)
schedule = dict(iterations=420, lr=2e-3)
evaluation = dict(interval=70, size=64, batch_size=50)
runtime = dict(threads=2, workers=0, log_interval=10, checkpoint_interval=100)
