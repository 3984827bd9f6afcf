"""DeiT-tiny on VOC's photos of cats, cows, dogs, horses and sheep, from tags only: real photos on a CPU.

Reproduces: no table of the paper. The measured curve is in docs/results/measured.md.
Protocol: mIoU over 7 classes (mIoU-7), with the 21-class mIoU beside it; 160 px, squashed, no CRF.
Hours: 38 minutes on two CPU cores.
Data: a part of VOC 2012 in VOC layout in data/voc_animals (JPEGImages, SegmentationClass, ImageSets, tags.csv). Any VOC
    folder with lists train and val100 can be used. Weights: timm's deit_tiny_patch16_224, or a local file.

    dupl train voc_animals --set data.train.root=DIR data.val.root=DIR model.network.backbone.weights=FILE.safetensors
"""

_base_ = [
    "_base_/method/dupl_vitb.py",
    "_base_/animals.py",
]

model = dict(
    network=dict(backbone=dict(name="deit_tiny_patch16_224.fb_in1k", fit="drop")),
    discrepancy=dict(_delete_=True, type="OnePlusCosine", over="channel", start=0),
    threshold=dict(
        _delete_=True,
        type="PerClassCosineDescent",
        initial=0.7,
        final=[0.7] * 4 + [0.55] * 4 + [0.7] + [0.55] * 9 + [0.7, 0.55],
        start=350,
    ),
    noise_filter=dict(fit_on="foreground", gamma=0.95, start=600, min_pixels=128, bins=None, init="sklearn-1.0"),
    consistency=dict(_delete_=True, type="ConfidentConsistency", confidence=0.9, start=600),
    segmentation=dict(type="BalancedCrossEntropy", start=350),
)
