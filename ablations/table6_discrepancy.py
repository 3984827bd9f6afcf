"""Table 6: what keeps the two students apart: nothing, own views (Diff. Aug), L_dis, or both, on VOC val.

Protocol: M by the evaluation during training (the only one of CAMs), Seg. at the original size, multi-scale with flip
    and dense CRF; the better student of each, last iteration.
Cost: 4 rows x 3 seeds = 12 runs of 20k iterations; L_dis is `voc/dupl` itself, shared with Tables 4, 5a and 5b, and
    None is table4_leave_one_out's full model without L_dis. The full model took 6.8 h on two RTX 3090 with the
    released code, which has no Diff. Aug.

    dupl ablate table6_discrepancy
"""

_base_ = ["_base_/discrepancy.py"]

base = "voc/dupl"
columns = dict(Seg=dict(protocol="final"))
rows = dict(
    none=dict(paper=dict(M=69.6, Seg=68.9)),
    Diff_Aug=dict(paper=dict(M=70.7, Seg=69.8)),
    L_dis=dict(paper=dict(M=73.5, Seg=72.2)),
    both=dict(paper=dict(M=70.9, Seg=69.4)),
)
