"""Table 4: what each component adds, on VOC val.

Protocol: the evaluation during training (448 x 448, squashed, no CRF), the better student of each, last iteration.
Cost: 6 rows x 3 seeds = 18 runs of 20k iterations, those without DS of one network; the last row is `voc/dupl` itself.
    The full model took 6.8 h on two RTX 3090 with the released code.
In the published run the two students end 0.6 (CAM) and 0.9 (Seg) apart: one seed cannot decide a step of 0.3, such as
    that from DS to + L_dis. Without DTA tau_h stays at tau_h(0) = 0.7.

    dupl ablate table4_components
"""

_base_ = ["_base_/cumulative.py"]

base = "voc/dupl"
rows = dict(
    baseline=dict(paper=dict(M=63.2, Seg=62.3)),
    DS=dict(paper=dict(M=65.4, Seg=63.8)),
    L_dis=dict(paper=dict(M=67.3, Seg=64.1)),
    DTA=dict(paper=dict(M=69.2, Seg=66.7)),
    ANF=dict(paper=dict(M=71.6, Seg=68.2)),
    L_reg=dict(paper=dict(M=73.5, Seg=69.9)),
)
