"""MS COCO 2014 with the weak augmentation of the released code.

val is the released code's val_part: the first 5,000 images of val that have objects. The whole of val is val_full.
"""

data = dict(
    train=dict(type="COCO", root="data/coco14", split="train", part=None, empty=False),
    val=dict(type="COCO", root="data/coco14", split="val", part=5000, empty=False),
    val_full=dict(type="COCO", root="data/coco14", split="val", part=None, empty=False),
    augment=dict(
        scale=[0.5, 2.0],
        flip=0.5,
        crop=448,
        jitter=0.8,
        brightness=0.4,
        contrast=0.4,
        saturation=0.2,
        hue=0.1,
        gray=0.2,
        blur=1.0,
    ),
)
