"""All five components on synthetic scenes, from random weights, in a few minutes on two CPU cores.

Reproduces: no table of the paper. It shows the method on scenes where CAMs over-activate. ANF is fitted to all labelled
    pixels, as the paper says, in images with more than 20 of them: the released code's 1000 of a crop of 448 x 448 is
    the same share of 64 x 64.

    dupl demo
"""

_base_ = [
    "../_base_/method/dupl_vitb.py",
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
    discrepancy=dict(_delete_=True, type="OnePlusCosine", over="channel", start=0),
    noise_filter=dict(fit_on="all", start=260, min_pixels=20),
    consistency=dict(_delete_=True, type="ConfidentConsistency", confidence=0.9, start=260),
    segmentation=dict(type="BalancedCrossEntropy", start=140),
    patch_contrast=dict(start=140),
    refine=dict(dilations=[1, 2, 4], iterations=5, downscale=1),
    cam_scales=[1.0, 0.5],
)
schedule = dict(iterations=420, lr=2e-3)
evaluation = dict(interval=70, size=64, batch_size=50)
runtime = dict(threads=2, workers=0, log_interval=10, checkpoint_interval=100)
