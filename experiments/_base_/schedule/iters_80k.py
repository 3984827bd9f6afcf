"""The COCO schedule: 80,000 iterations of batch 8."""

_base_ = "iters_20k.py"

schedule = dict(iterations=80000, batch_size=8, images_per_loss=1)  # released code: 8 processes of 1 image
