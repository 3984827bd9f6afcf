"""DuPL with remedies that keep both students on the object, for short trainings: voc_animals in a steady form.

Class scores are pooled over patches and CAMs keep negative evidence. The classifiers are fitted to features of the
frozen backbone first. The pseudo-labels come from the average of the CAMs of both students' moving averages; they teach
the segmentation and the CAMs, from the first iteration on; pixels without a label learn from the tags. There is no
discrepancy loss.
Reproduces: no table of the paper. docs/results/measured.md has its numbers beside those of voc_animals.
Protocol: mIoU over 7 classes (mIoU-7), with the 21-class mIoU beside it; 160 px, squashed, no CRF.
Data: as for voc_animals.

    dupl train animals/steady --set data.train.root=DIR data.val.root=DIR model.network.backbone.weights=FILE
"""

_base_ = ["../voc_animals.py"]

model = dict(
    network=dict(pooling="topk", pool_share=0.1, pool_over="scores", cam_relu=False),
    cam_scales=[1.0, 1.5],
    tau_l=0.3,
    threshold=dict(initial=0.65, final=0.55, start=0),
    segmentation=dict(start=0),
    discrepancy=dict(_delete_=True, type="NoDiscrepancy"),
    warm_start=dict(type="ClassifierWarmStart", lr=5e-3, initial=0.01, schedule="cosine", restarts=4),
    averages=dict(type="MeanTeachers", momentum=0.99),
    class_teacher=dict(type="MeanOfStudents"),
    label_to_cam=dict(type="LabelToCam"),
    absent=dict(type="AbsentClasses"),
)
data = dict(augment=dict(scale=[0.5, 1.0]))
schedule = dict(lr=5e-5, head_lr=20.0)
