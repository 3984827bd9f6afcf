"""Table 5b on synthetic scenes: how long the segmentation heads warm up before ANF, on two CPU cores.

Data set, network and length differ from the paper's.
Protocol: the evaluation during training (64 x 64, squashed, no CRF), the better student of each, last iteration.
Cost: 4 rows x 3 seeds = 12 runs of `demo/ablation`, 3 of which demo_table4 has too (L_reg).

    dupl ablate demo_table5b
"""

_base_ = ["_base_/columns.py"]

base = "demo/ablation"
vary = dict(
    label="Iter",
    paths=["model.noise_filter.start", "model.consistency.start"],
    values=[155, 185, 215, 240],
)
reference = "The paper's Table 5b is of VOC 2012 with ViT-B; its numbers cannot be compared with these."
