"""Table 4 on photos of animals with the steady form: what each component adds, and what L_dis does to it.

The warm start, the moving averages, L_l2c and L_abs are in every row; the average of the CAMs makes the labels of two
    students. L_dis comes last: the steady form is the row before it.
Protocol: the evaluation during training (160 x 160, squashed, no CRF) on 100 photos of VOC's val, mIoU over 7 classes,
    the better student of each, last iteration.
Cost: 6 rows x 3 seeds = 18 runs of `animals/steady`, 15 to 25 minutes each on one CPU core.

    dupl ablate animals_table4_steady --set data.train.root=DIR data.val.root=DIR
"""

_base_ = ["_base_/components.py"]

base = "animals/steady"
seeds = [0, 1, 2]
columns = dict(
    M=dict(label="M", metric="cam/best/mIoU-7"),
    Seg=dict(label="Seg", metric="seg/best/mIoU-7"),
)
factors = dict(
    DS=dict(
        without={"model.students": dict(type="SingleStudent"), "model.class_teacher": dict(type="EachItsOwn")},
    ),
    DTA=dict(without={"model.threshold": dict(type="FixedThreshold", value=0.65)}),  # tau_h(0)
    L_dis=dict(
        _delete_=True,
        label="L_dis",
        needs=["DS"],
        with_={"model.discrepancy": dict(type="OnePlusCosine", over="channel", start=0)},
    ),
)
rows = dict(
    baseline=dict(has=[]),
    DS=dict(has=["DS"]),
    DTA=dict(has=["DS", "DTA"]),
    ANF=dict(has=["DS", "DTA", "ANF"]),
    L_reg=dict(has=["DS", "DTA", "ANF", "L_reg"]),
    L_dis=dict(has=["DS", "DTA", "ANF", "L_reg", "L_dis"]),
)
reference = "The paper's Table 4 is of all 20 VOC 2012 classes with ViT-B; its numbers cannot be compared with these."
