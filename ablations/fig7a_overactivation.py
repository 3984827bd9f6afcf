"""Fig. 7a: over-activation of the baseline, and with DS and L_dis, under a low fixed threshold, on VOC val.

tau_h stays at 0.5, so that more wrong pseudo-labels are used; ANF and L_reg are off. The figure has the over-activation
    rate FP / (TP + FP) per class, which every evaluation writes (per_class.csv); the column OA is its mean over the
    classes of student 1's CAMs.
Protocol: the evaluation during training (448 x 448, squashed, no CRF), last iteration. The paper does not state the
    protocol of its number, 58.9 for the baseline's Seg.
Cost: 2 runs of 20k iterations with one seed, one of them of one network; the same two as fig2_confirmation_bias.

    dupl ablate fig7a_overactivation
"""

_base_ = ["_base_/columns.py"]

base = "voc/dupl"
seeds = [0]
set = {
    "model.threshold": dict(type="FixedThreshold", value=0.5),
    "model.noise_filter": dict(type="TrustAll"),
    "model.consistency": dict(type="NoConsistency"),
}
columns = dict(OA=dict(label="OA of M, student 1", metric="cam/1/OA"))
factors = dict(
    DS=dict(label="DS", without={"model.students": dict(type="SingleStudent")}),
    L_dis=dict(label="L_dis", needs=["DS"], without={"model.discrepancy": dict(type="NoDiscrepancy")}),
)
rows = dict(
    baseline=dict(has=[], paper=dict(Seg=58.9), note="the paper does not state the protocol of its 58.9"),
    dual=dict(has=["DS", "L_dis"]),
)
