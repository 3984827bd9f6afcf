"""Table 5b: how long the segmentation heads warm up before ANF, on VOC val.

The value is the iteration at which ANF starts, and L_reg with it, as in the released code; the heads learn from
    iteration 2,000 on.
Protocol: M by the evaluation during training (the only one of CAMs), Seg. at the original size, multi-scale with flip
    and dense CRF; the better student of each, last iteration.
Cost: 4 rows x 3 seeds = 12 runs of 20k iterations; 8000 is `voc/dupl` itself, shared with Tables 4, 5a and 6.
    The full model took 6.8 h on two RTX 3090 with the released code.

    dupl ablate table5b_warmup
"""

_base_ = ["_base_/columns.py"]

base = "voc/dupl"
columns = dict(Seg=dict(protocol="final"))
vary = dict(
    label="Iter",
    paths=["model.noise_filter.start", "model.consistency.start"],
    values=[6000, 8000, 10000, 12000],
)
rows = {
    "6000": dict(paper=dict(M=72.4, Seg=70.9)),
    "8000": dict(paper=dict(M=73.5, Seg=72.2)),
    "10000": dict(paper=dict(M=72.6, Seg=71.7)),
    "12000": dict(paper=dict(M=71.1, Seg=69.4)),
}
