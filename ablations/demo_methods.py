"""One-stage methods on synthetic scenes, from random weights: whether each of them learns, on two CPU cores.

Data, network, iterations and protocol are the same in every row.
Protocol: the evaluation during training (64 x 64, squashed, no CRF), the better student of each, last iteration; beside
    it the best checkpoint of each run, selected on val, which the release of CoSA reports.
Cost: 4 rows x 3 seeds = 12 runs of `demo/toy`, `demo/toco`, `demo/cosa` and `demo/afa`, about 5 minutes each on two
    CPU cores.

    dupl ablate demo_methods
"""

_base_ = ["_base_/columns.py"]

base = "demo/toy"
set = {"runtime.threads": 1}
columns = dict(Seg_best=dict(label="Seg.", metric="seg/best/mIoU", report="best"))
rows = dict(
    toco=dict(label="ToCo", base="demo/toco"),
    cosa=dict(label="CoSA", base="demo/cosa"),
    afa=dict(label="AFA, plain ViT", base="demo/afa"),
    dupl=dict(label="DuPL"),
)
compare = "toco"
reference = "The papers' numbers are of VOC 2012 with ViT-B and cannot be compared with these."
