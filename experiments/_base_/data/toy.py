"""Synthetic scenes: shapes on their usual ground in training, on any ground in validation."""

data = dict(
    train=dict(type="Toy", split="train", size=64, contrast=0.14, texture=0.3, textured=0.8, cooccurrence=0.95),
    val=dict(type="Toy", split="val", size=64, contrast=0.14, texture=0.3, textured=0.8, count=200),
    augment=dict(
        scale=None,
        flip=0.5,
        crop=64,
        jitter=0.0,
        brightness=0.0,
        contrast=0.0,
        saturation=0.0,
        hue=0.0,
        gray=0.0,
        blur=0.0,
    ),
)
