"""DuPL on PASCAL VOC 2012 with the remedies of animals/steady. Not run at full size.

Class scores are pooled over patches. CAMs keep negative evidence, and the thresholds of the labels are set for it. The
classifiers are fitted to features of the frozen backbone first. The pseudo-labels come from the average of the CAMs of
both students' moving averages, and teach the CAMs too; pixels without a label learn from the tags. There is no
discrepancy loss. The momentum is CoSA's. Everything else is as in voc/dupl.
Reproduces: no table of the paper. What these remedies do to 1,000 iterations with DeiT-tiny is in
    docs/results/measured.md. It says nothing about 20,000 with ViT-B, where L_dis raises both CAM and segmentation in
    the paper.
Hours: not measured.

    dupl train voc/dupl_steady
    dupl eval runs/voc-dupl_steady-FINGERPRINT --protocol final
"""

_base_ = ["dupl.py"]

model = dict(
    network=dict(pooling="topk", pool_share=0.1, pool_over="scores", cam_relu=False),
    tau_l=0.3,
    threshold=dict(initial=0.65, final=0.55),
    discrepancy=dict(_delete_=True, type="NoDiscrepancy"),
    warm_start=dict(type="ClassifierWarmStart", lr=5e-3, initial=0.01, schedule="cosine", restarts=4),
    averages=dict(type="MeanTeachers", momentum=0.9994),
    class_teacher=dict(type="MeanOfStudents"),
    label_to_cam=dict(type="LabelToCam", start=2000),
    absent=dict(type="AbsentClasses", start=2000),
)
