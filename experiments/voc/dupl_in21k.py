"""As voc/dupl, with ViT-B pretrained on ImageNet-21k (the paper's dagger rows).

Reproduces: Tables 1 and 2, dagger rows (the paper's numbers: CAM 74.1 on val; 73.3 with multi-scale and CRF).
Not run by us: these are the paper's numbers.

    torchrun --nproc-per-node 2 -m dupl train voc/dupl_in21k --launcher pytorch
"""

_base_ = ["dupl.py"]

model = dict(network=dict(backbone=dict(name="vit_base_patch16_224.orig_in21k_ft_in1k")))
