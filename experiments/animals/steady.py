"""DuPL with remedies that keep both students on the object, for short trainings: voc_animals in a steady form.

The classifiers are fitted to features of the frozen backbone first, the pseudo-labels come from the average of the CAMs
of both students' moving averages, the segmentation learns earlier, and there is no discrepancy loss.
Reproduces: no table of the paper. docs/results/measured.md has its numbers beside those of voc_animals.
Protocol: mIoU over 7 classes (mIoU-7), with the 21-class mIoU beside it; 160 px, squashed, no CRF.
Data: as for voc_animals.

    dupl train animals/steady --set data.train.root=DIR data.val.root=DIR model.network.backbone.weights=FILE
"""

_base_ = ["../voc_animals.py"]

model = dict(
    discrepancy=dict(_delete_=True, type="NoDiscrepancy"),
    warm_start=dict(type="ClassifierWarmStart"),
    averages=dict(type="MeanTeachers", momentum=0.99),
    class_teacher=dict(type="MeanOfStudents"),
    segmentation=dict(start=200),
    threshold=dict(start=200),
)
