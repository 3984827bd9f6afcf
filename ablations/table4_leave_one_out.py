"""Table 4 in reverse: the full model without each component, on VOC val.

The paper has three of these numbers: the full model and the row before it in Table 4, and the CAM of Table 6 without
    L_dis (its Seg. is with CRF). Without DS there is no L_dis either.
Protocol: the evaluation during training (448 x 448, squashed, no CRF), the better student of each, last iteration.
Cost: 6 rows x 3 seeds = 18 runs of 20k iterations, 6 of which Table 4 has too (full, without L_reg).
    The full model took 6.8 h on two RTX 3090 with the released code.

    dupl ablate table4_leave_one_out
"""

_base_ = ["_base_/columns.py", "_base_/components.py"]

base = "voc/dupl"
leave_one_out = True
rows = dict(
    full=dict(paper=dict(M=73.5, Seg=69.9)),
    without_L_dis=dict(paper=dict(M=69.6)),
    without_L_reg=dict(paper=dict(M=71.6, Seg=68.2)),
)
