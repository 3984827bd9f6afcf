"""One-stage methods on photos of animals, a part of VOC, with DeiT-tiny, from tags only: Tables 1 and 2, small.

Photos, network, resolution and length differ from the papers'; data, schedule and protocol are the same in every row.
Protocol: the evaluation during training (160 x 160, squashed, no CRF) on 100 photos of VOC's val, mIoU over 7 classes,
    the better student of each, last iteration; beside it the best checkpoint of each run, selected on val, which the
    release of CoSA reports. OA is the over-activation of student 1's CAMs, as in Fig. 7b.
Cost: 4 rows x 3 seeds = 12 runs of `voc_animals`, `animals/toco`, `animals/cosa` and `animals/afa`, of which the first
    takes about 38 minutes on two CPU cores.

    dupl ablate animals_methods --set data.train.root=DIR data.val.root=DIR
"""

_base_ = ["_base_/animals_methods.py"]

columns = dict(
    M=dict(label="M", metric="cam/best/mIoU-7"),
    Seg=dict(label="Seg", metric="seg/best/mIoU-7"),
    Seg_best=dict(label="Seg", metric="seg/best/mIoU-7", report="best"),
    OA=dict(label="OA of M, student 1", metric="cam/1/OA"),
)
