"""The VOC schedule: 20,000 iterations of batch 4."""

schedule = dict(
    iterations=20000,
    batch_size=4,  # of one optimiser step, over all processes
    images_per_loss=2,  # released code: losses are means over the 2 images of each of its 2 processes
    lr=6e-5,
    head_lr=10.0,  # factor on lr for classifiers and segmentation heads
    weight_decay=0.01,
    betas=[0.9, 0.999],
    warmup=1500,
    warmup_ratio=1e-6,
    power=0.9,
)
