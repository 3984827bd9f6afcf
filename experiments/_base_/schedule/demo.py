"""A schedule of a few minutes on two CPU cores."""

schedule = dict(
    iterations=500,
    batch_size=16,
    images_per_loss=16,
    lr=1e-3,
    head_lr=1.0,
    weight_decay=0.01,
    betas=[0.9, 0.999],
    warmup=50,
    warmup_ratio=1e-6,
    power=0.9,
)
