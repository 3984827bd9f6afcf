"""CoSA on PASCAL VOC 2012 without the quirks of its release and with the adaptive thresholds of its paper.

Reproduces: no published number; both networks start alike, the auxiliary CAM has every scale, and thresholds follow a
    mixture over recent CAMs, which the published runs did not use.
Hours: not measured on a GPU yet.
Data: VOC 2012 with SBD in data/voc12. Weights: timm's vit_base_patch16_224.orig_in21k_ft_in1k.

    torchrun --nproc-per-node 2 -m dupl train voc/cosa_repaired --launcher pytorch
"""

_base_ = [
    "../_base_/method/cosa_vitb.py",
    "../_base_/data/voc12.py",
    "../_base_/schedule/iters_20k.py",
    "../_base_/runtime.py",
]

model = dict(cam_queue=dict(_delete_=True, type="QueueMixture", images=200, side=28, least=0.05, momentum=0.99))
data = dict(augment=dict(jitter=0.0, gray=0.0, blur=0.5))
schedule = dict(iterations=32000)
evaluation = dict(interval=4000)
