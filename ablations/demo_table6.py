"""Table 6 on synthetic scenes: what keeps the two students apart, on two CPU cores.

Data set, network and length differ from the paper's.
Protocol: the evaluation during training (64 x 64, squashed, no CRF), the better student of each, last iteration.
Cost: 4 rows x 3 seeds = 12 runs of `demo/ablation`, 3 of which demo_table4 has too (L_dis).

    dupl ablate demo_table6
"""

_base_ = ["_base_/discrepancy.py"]

base = "demo/ablation"
reference = "The paper's Table 6 is of VOC 2012 with ViT-B; its numbers cannot be compared with these."
