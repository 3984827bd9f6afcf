"""CoSA on PASCAL VOC 2012 with ViT-B, as in its released code and published log.

Reproduces: 76.2 on val and 75.1 on test with CRF (the paper of CoSA). The paper's number is that of the checkpoint that
    was best on val; the last iteration of its log has 75.04, 75.25 with CRF.
Not run by us: these are the paper's numbers and those of its log.
Hours: 8.3 h on two GPUs with the released code (log); ours is not measured on a GPU yet.
Data: VOC 2012 with SBD in data/voc12. Weights: timm's vit_base_patch16_224.orig_in21k_ft_in1k.
Student 1 is the online network, student 2 the assignment network. The released form has two quirks: the heads of the
    assignment network start from weights of their own, and its auxiliary CAM has the last scale alone.
    voc/cosa_repaired is without them.

    torchrun --nproc-per-node 2 -m dupl train voc/cosa --launcher pytorch
    dupl eval runs/RUN --protocol final --checkpoint best --student best
"""

_base_ = [
    "../_base_/method/cosa_vitb.py",
    "../_base_/data/voc12.py",
    "../_base_/schedule/iters_20k.py",
    "../_base_/runtime.py",
]

model = dict(
    network=dict(backbone=dict(fit="drop")),
    students=dict(initial="own"),
    tau_l=0.2,
    aux_scales="last",
)
data = dict(augment=dict(jitter=0.0, gray=0.0, blur=0.5))
schedule = dict(iterations=32000)
evaluation = dict(interval=4000)
