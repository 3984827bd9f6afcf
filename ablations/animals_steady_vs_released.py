"""The steady form of DuPL beside the released form on photos of animals, five seeds, each student by itself.

The row between them has the first four remedies alone: no L_dis, the warm start, labels from the average of the CAMs of
    moving averages, and L_seg from 200 on. The last row is the steady form with the schedule that fits into a fifth of
    the time that the released code's steps would take.

Protocol: the evaluation during training (160 x 160, squashed, no CRF) on 100 photos of VOC's val, mIoU over 7 classes,
    last iteration: CAM and segmentation of the better student, of each student, and of their average.
Cost: 4 rows x 5 seeds = 20 runs of `voc_animals` and `animals/steady`, about 20 minutes each on one CPU core.

    dupl ablate animals_steady_vs_released --set data.train.root=DIR data.val.root=DIR
"""

base = "voc_animals"
seeds = [0, 1, 2, 3, 4]
columns = dict(
    M=dict(label="M", metric="cam/best/mIoU-7"),
    M_1=dict(label="M 1", metric="cam/1/mIoU-7"),
    M_2=dict(label="M 2", metric="cam/2/mIoU-7"),
    M_mean=dict(label="M, averaged", metric="cam/mean/mIoU-7"),
    Seg=dict(label="Seg", metric="seg/best/mIoU-7"),
    Seg_1=dict(label="Seg 1", metric="seg/1/mIoU-7"),
    Seg_2=dict(label="Seg 2", metric="seg/2/mIoU-7"),
    Seg_mean=dict(label="Seg, averaged", metric="seg/mean/mIoU-7"),
)
rows = dict(
    released=dict(label="released form"),
    four=dict(
        label="four remedies",
        set={
            "model.discrepancy": dict(type="NoDiscrepancy"),
            "model.warm_start": dict(type="ClassifierWarmStart"),
            "model.averages": dict(type="MeanTeachers", momentum=0.99),
            "model.class_teacher": dict(type="MeanOfStudents"),
            "model.segmentation.start": 200,
            "model.threshold.start": 200,
        },
    ),
    steady=dict(label="steady form", base="animals/steady"),
    fifth=dict(
        label="steady form, 265 iterations",
        base="animals/steady",
        set={
            "schedule.iterations": 265,
            "schedule.warmup": 26,
            "model.noise_filter.start": 159,
            "model.consistency.start": 159,
            "evaluation.interval": 53,
        },
    ),
)
compare = "released"
reference = "The paper has no such table; its numbers are of all 20 VOC 2012 classes with ViT-B."
