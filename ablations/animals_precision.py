"""float32 and bfloat16 over whole trainings, on photos of animals, a part of VOC, with DeiT-tiny, from tags only.

Protocol: the evaluation during training (160 x 160, squashed, no CRF) on 100 photos of VOC's val, mIoU over 7 classes,
    the better student of each, last iteration.
Cost: 2 rows x 5 seeds = 10 runs of `voc_animals`. The float32 row shares its first three seeds with `animals_table4`.
    bfloat16 is slow where the device emulates it; `dupl doctor` says whether it does.

    dupl ablate animals_precision --set data.train.root=DIR data.val.root=DIR
"""

_base_ = ["_base_/precision.py"]

base = "voc_animals"
columns = dict(
    M=dict(label="M", metric="cam/best/mIoU-7"),
    Seg=dict(label="Seg.", metric="seg/best/mIoU-7"),
)
