"""Table 5a on synthetic scenes: the final value of the high threshold tau_h, on two CPU cores.

Data set, network and length differ from the paper's.
Protocol: the evaluation during training (64 x 64, squashed, no CRF), the better student of each, last iteration.
Cost: 4 rows x 3 seeds = 12 runs of `demo/ablation`, 3 of which demo_table4 has too (0.55).

    dupl ablate demo_table5a
"""

_base_ = ["_base_/threshold.py"]

base = "demo/ablation"
reference = "The paper's Table 5a is of VOC 2012 with ViT-B; its numbers cannot be compared with these."
