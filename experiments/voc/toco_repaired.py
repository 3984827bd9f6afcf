"""As voc/toco, without the quirks of the released code.

Reproduces: no table of the paper. It shows beside voc/toco what the quirks are worth.
Not run by us.

    torchrun --nproc-per-node 2 -m dupl train voc/toco_repaired --launcher pytorch
"""

_base_ = ["toco.py"]

model = dict(
    patch_contrast=dict(box="patches"),
    class_contrast=dict(foreground=1.0, padding="excluded", extra_negative=False, divisor="terms"),
)
data = dict(contrast_augment=dict(aligned=True))
