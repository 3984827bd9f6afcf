"""Table 1 on photos of animals, a part of VOC, with DeiT-tiny: CAMs of the training photos and of val.

Photos, network, resolution and length differ from the papers'; data, schedule and protocol are the same in every row.
    The masks of the training photos are read by the evaluation alone.
Protocol: the evaluation during training (160 x 160, squashed, no CRF), CAMs of the image's tags, mIoU over 7 classes,
    the better network of each, last iteration; on the 1,785 training photos, and on 100 photos of VOC's val.
Cost: 4 rows x 3 seeds = 12 runs of the plan animals_methods; their CAMs of the training photos take
    about two minutes a run on one CPU core.

    dupl ablate animals_table1 --set data.train.root=DIR data.val.root=DIR
"""

base = "voc_animals"
seeds = [0, 1, 2]
columns = dict(
    M_train=dict(label="M, train", metric="cam/best/mIoU-7", split="train"),
    M=dict(label="M, val", metric="cam/best/mIoU-7"),
)
rows = dict(
    toco=dict(label="ToCo", base="animals/toco"),
    cosa=dict(label="CoSA", base="animals/cosa"),
    afa=dict(label="AFA, plain ViT", base="animals/afa"),
    dupl=dict(label="DuPL"),
)
compare = "toco"
reference = "The papers' numbers are of all 20 VOC 2012 classes with ViT-B and cannot be compared with these."
