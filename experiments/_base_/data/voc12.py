"""PASCAL VOC 2012 with SBD, in VOC layout, with the weak augmentation of the released code."""

data = dict(
    train=dict(type="VOC", root="data/voc12", split="train_aug", tags=None),
    val=dict(type="VOC", root="data/voc12", split="val", tags=None),
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
