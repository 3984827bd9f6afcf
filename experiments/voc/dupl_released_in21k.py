"""As voc/dupl_released, with ViT-B pretrained on ImageNet-21k, as in the released code.

Reproduces: Tables 1 and 2, dagger rows (the paper's numbers: CAM 74.1 on val; 73.3 with multi-scale and CRF).
Not run by us: these are the paper's numbers.

    torchrun --nproc-per-node 2 -m dupl train voc/dupl_released_in21k --launcher pytorch
"""

_base_ = ["dupl_released.py"]

model = dict(network=dict(backbone=dict(name="vit_base_patch16_224.orig_in21k_ft_in1k")))
