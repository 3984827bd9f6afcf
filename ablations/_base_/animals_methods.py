"""ToCo, CoSA, AFA and DuPL on photos of animals, three seeds each."""

base = "voc_animals"
seeds = [0, 1, 2]
rows = dict(
    toco=dict(label="ToCo", base="animals/toco"),
    cosa=dict(label="CoSA", base="animals/cosa"),
    afa=dict(label="AFA, plain ViT", base="animals/afa"),
    dupl=dict(label="DuPL"),
)
compare = "toco"
reference = "The papers' numbers are of all 20 VOC 2012 classes with ViT-B and cannot be compared with these."
