"""Table 1 on photos of animals, a part of VOC, with DeiT-tiny: CAMs of the training photos and of val.

Photos, network, resolution and length differ from the papers'; data, schedule and protocol are the same in every row.
    The masks of the training photos are read by the evaluation alone.
Protocol: the evaluation during training (160 x 160, squashed, no CRF), CAMs of the image's tags, mIoU over 7 classes,
    the better network of each, last iteration; on the 1,785 training photos, and on 100 photos of VOC's val.
Cost: 4 rows x 3 seeds = 12 runs of the plan animals_methods; their CAMs of the training photos take
    about two minutes a run on one CPU core.

    dupl ablate animals_table1 --set data.train.root=DIR data.val.root=DIR
"""

_base_ = ["_base_/animals_methods.py"]

columns = dict(
    M_train=dict(label="M, train", metric="cam/best/mIoU-7", split="train"),
    M=dict(label="M, val", metric="cam/best/mIoU-7"),
)
