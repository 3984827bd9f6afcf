"""Table 3: DuPL beside the same network trained with the true masks, on VOC val.

The paper's ratio is DuPL's mIoU divided by that of its fully supervised counterpart. It prints 90.1 and, from
    ImageNet-21k, 89.1 %, where its own numbers give 89.7 and 89.1.
Protocol: the original size, multi-scale with flip and dense CRF; the better student, last iteration.
Cost: 4 runs of 20k iterations with one seed; `--rows supervised dupl` leaves out those from ImageNet-21k. DuPL took
    6.8 h on two RTX 3090 with the released code.

    dupl ablate table3_upper_bound
"""

base = "voc/dupl"
seeds = [0]
columns = dict(Seg=dict(label="val", metric="seg/best/mIoU", protocol="final"))
rows = dict(
    supervised=dict(label="Supervised", base="voc/supervised", paper=dict(Seg=80.5)),
    dupl=dict(label="DuPL", paper=dict(Seg=72.2), note="72.2 / 80.5 is 89.7 %; the paper prints 90.1 %"),
    supervised_in21k=dict(
        label="Supervised, ImageNet-21k",
        base="voc/supervised",
        set={"model.network.backbone.name": "vit_base_patch16_224.orig_in21k_ft_in1k"},
        paper=dict(Seg=82.3),
    ),
    dupl_in21k=dict(
        label="DuPL, ImageNet-21k",
        base="voc/dupl_in21k",
        paper=dict(Seg=73.3),
        note="73.3 / 82.3 is 89.1 %, as the paper prints",
    ),
)
compare = "supervised"
ratio = dict(dupl="supervised", dupl_in21k="supervised_in21k")
