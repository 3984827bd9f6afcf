"""Table 3 on photos of animals, a part of VOC, with DeiT-tiny: methods that read tags beside training with true masks.

Photos, network, resolution and length differ from the papers'; data, schedule and protocol are the same in every row.
Protocol: the evaluation during training (160 x 160, squashed, no CRF) on 100 photos of VOC's val, mIoU over 7 classes,
    the better student of each, last iteration.
Cost: 5 rows x 3 seeds = 15 runs of `animals/supervised` and of the plan animals_methods, which share 12 of them.

    dupl ablate animals_table3 --set data.train.root=DIR data.val.root=DIR
"""

base = "voc_animals"
seeds = [0, 1, 2]
columns = dict(Seg=dict(label="Seg", metric="seg/best/mIoU-7"))
rows = dict(
    supervised=dict(label="Supervised", base="animals/supervised"),
    toco=dict(label="ToCo", base="animals/toco"),
    cosa=dict(label="CoSA", base="animals/cosa"),
    afa=dict(label="AFA, plain ViT", base="animals/afa"),
    dupl=dict(label="DuPL"),
)
compare = "supervised"
ratio = dict(toco="supervised", cosa="supervised", afa="supervised", dupl="supervised")
reference = "The papers' numbers are of all 20 VOC 2012 classes with ViT-B and cannot be compared with these."
