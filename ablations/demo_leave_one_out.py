"""Table 4 in reverse on synthetic scenes: the full model without each component, on two CPU cores.

Data set, network and length differ from the paper's. Without DS there is no L_dis either.
Protocol: the evaluation during training (64 x 64, squashed, no CRF), the better student of each, last iteration.
Cost: 6 rows x 3 seeds = 18 runs of `demo/ablation`, 6 of which demo_table4 has too (full, without L_reg).

    dupl ablate demo_leave_one_out
"""

_base_ = ["_base_/columns.py", "_base_/components.py"]

base = "demo/ablation"
leave_one_out = True
reference = "The paper's Table 4 is of VOC 2012 with ViT-B; its numbers cannot be compared with these."
