"""Table 4 on synthetic scenes: what each component adds, on two CPU cores.

Data set, network and length differ from the paper's. The table shows the platform at work, and which of the paper's
    steps can be seen at this size.
Protocol: the evaluation during training (64 x 64, squashed, no CRF), the better student of each, last iteration.
Cost: 6 rows x 3 seeds = 18 runs of `demo/ablation`.

    dupl ablate demo_table4
"""

_base_ = ["_base_/cumulative.py"]

base = "demo/ablation"
reference = "The paper's Table 4 is of VOC 2012 with ViT-B; its numbers cannot be compared with these."
