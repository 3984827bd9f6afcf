"""AFA on PASCAL VOC 2012 with MiT-B1, with the dense energy of its paper and without the quirks of its release.

Reproduces: 66.0 on val and 66.3 on test, with several scales and CRF (the paper of AFA).
Not run by us: these are the paper's numbers.
Hours: not measured on a GPU yet.
Data and weights: as for voc/afa.

    torchrun --nproc-per-node 2 -m dupl train voc/afa_repaired --launcher pytorch
"""

_base_ = [
    "../_base_/method/afa_mitb1.py",
    "../_base_/data/voc12.py",
    "../_base_/schedule/iters_20k.py",
    "../_base_/runtime.py",
]

data = dict(augment=dict(crop=512, jitter=0.0, gray=0.0, blur=0.0))
schedule = dict(power=1.0, norm_lr=0.0)
evaluation = dict(
    size=512,
    cam_threshold=0.45,
    final=dict(scales=[1.0, 0.5, 0.75], over_scales="max", size=512),
    crf=dict(sxy=3.0, compat=3.0, bilateral_sxy=64.0),
)
