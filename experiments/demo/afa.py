"""AFA on the synthetic scenes, from random weights, in a few minutes on two CPU cores.

Reproduces: no table of the paper. The network, a plain ViT, the data and the schedule are those of demo/toy.

    dupl train demo/afa
"""

_base_ = [
    "../_base_/method/afa_mitb1.py",
    "../_base_/data/toy.py",
    "../_base_/schedule/demo.py",
    "../_base_/runtime.py",
]

model = dict(
    network=dict(
        _delete_=True,
        type="SubNet",
        backbone=dict(
            name="vit_tiny_patch16_224",
            pretrained=False,
            weights=None,
            aux_block=-3,
            options=dict(img_size=64, patch_size=4, embed_dim=64, depth=4, num_heads=4),
        ),
        pooling="max",
        head=dict(channels=64, dilation=2),
    ),
    affinity=dict(start=140, spread_from=220, radius=4, patch_pixel="centre"),
    segmentation=dict(start=140),
    dense_energy=dict(start=140, scale=1e-5, sigma_xy=14.0, downscale=1),
    refine=dict(dilations=[1, 2, 4], iterations=5, downscale=1),
    cam_scales=[1.0, 0.5],
)
schedule = dict(iterations=420, lr=2e-3)
evaluation = dict(interval=70, size=64, batch_size=50)
runtime = dict(threads=2, workers=0, log_interval=10, checkpoint_interval=100)
