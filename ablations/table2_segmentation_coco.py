"""Table 2 on COCO: the final segmentation of one-stage methods on val, beside the paper's numbers.

DuPL, ToCo, CoSA and AFA are trained here; of the other methods the table has the numbers that the paper prints.
Protocol: the original size, multi-scale with flip and dense CRF; the better student, last iteration; all images of val
    that have objects (data.val_full).
Cost: 4 runs of 60k to 80k iterations with one seed; none was trained by us.

    dupl ablate table2_segmentation_coco
"""

base = "coco/dupl"
seeds = [0]
columns = dict(Seg=dict(label="val", metric="seg/best/mIoU", protocol="final", split="val_full"))
rows = dict(
    l2g=dict(label="L2G, I + S, DL-V2", printed=True, paper=dict(Seg=44.2)),
    lin=dict(label="Lin et al., I + T, DL-V2", printed=True, paper=dict(Seg=45.4)),
    recam=dict(label="ReCAM, DL-V2", printed=True, paper=dict(Seg=45.0)),
    esol=dict(label="ESOL, DL-V2", printed=True, paper=dict(Seg=42.6)),
    mctformer=dict(label="MCTformer, WR-38", printed=True, paper=dict(Seg=42.0)),
    ocr=dict(label="OCR, WR-38", printed=True, paper=dict(Seg=42.5)),
    acr=dict(label="ACR, DL-V2", printed=True, paper=dict(Seg=45.3)),
    afa=dict(label="AFA, MiT-B1", base="coco/afa", paper=dict(Seg=38.9)),
    slrnet=dict(label="SLRNet, one-stage, WR-38", printed=True, paper=dict(Seg=35.0)),
    tscd=dict(label="TSCD, one-stage, MiT-B1", printed=True, paper=dict(Seg=40.1)),
    dupl_in21k=dict(label="DuPL, one-stage, ViT-B, ImageNet-21k", printed=True, paper=dict(Seg=44.6)),
    toco=dict(label="ToCo, ViT-B", base="coco/toco", paper=dict(Seg=41.3)),
    cosa=dict(label="CoSA, ViT-B, ImageNet-21k", base="coco/cosa"),
    dupl=dict(label="DuPL, ViT-B", paper=dict(Seg=43.5)),
)
compare = "toco"
