"""Table 2 on VOC: the final segmentation of one-stage methods on val, beside the paper's numbers.

DuPL, ToCo, CoSA and AFA are trained here; of the other methods the table has the numbers that the paper prints. Test is
    scored by VOC's server alone: `dupl infer RUN --voc-submission` packs the label maps for it.
Protocol: the original size, multi-scale with flip and dense CRF; the better student, last iteration; of AFA, as its
    release has it, at 512 px. CoSA's 76.2 is of
    the checkpoint that was best on val, and of its own paper.
Cost: 6 runs of 20k to 32k iterations with one seed, the same as of table1_cam.

    dupl ablate table2_segmentation
"""

base = "voc/dupl"
seeds = [0]
columns = dict(Seg=dict(label="val", metric="seg/best/mIoU", protocol="final"))
rows = dict(
    eps=dict(label="EPS, I + S, DL-V2", printed=True, paper=dict(Seg=71.0)),
    l2g=dict(label="L2G, I + S, DL-V2", printed=True, paper=dict(Seg=72.1)),
    ppc=dict(label="PPC, I + S, DL-V2", printed=True, paper=dict(Seg=72.6)),
    lin=dict(label="Lin et al., I + T, DL-V2", printed=True, paper=dict(Seg=71.1)),
    recam=dict(label="ReCAM, DL-V2", printed=True, paper=dict(Seg=68.4)),
    w_ood=dict(label="W-OoD, WR-38", printed=True, paper=dict(Seg=70.7)),
    esol=dict(label="ESOL, DL-V2", printed=True, paper=dict(Seg=69.9)),
    mctformer=dict(label="MCTformer, WR-38", printed=True, paper=dict(Seg=71.9)),
    ocr=dict(label="OCR, WR-38", printed=True, paper=dict(Seg=72.7)),
    acr=dict(label="ACR, DL-V2", printed=True, paper=dict(Seg=71.9)),
    rrm=dict(label="RRM, one-stage, WR-38", printed=True, paper=dict(Seg=62.6)),
    one_stage=dict(label="1Stage, one-stage, WR-38", printed=True, paper=dict(Seg=62.7)),
    afa=dict(label="AFA, MiT-B1", base="voc/afa", paper=dict(Seg=66.0)),
    slrnet=dict(label="SLRNet, one-stage, WR-38", printed=True, paper=dict(Seg=67.2)),
    tscd=dict(label="TSCD, one-stage, MiT-B1", printed=True, paper=dict(Seg=67.3)),
    toco=dict(label="ToCo, ViT-B", base="voc/toco", paper=dict(Seg=69.8)),
    toco_in21k=dict(label="ToCo, ViT-B, ImageNet-21k", base="voc/toco_in21k"),
    cosa=dict(label="CoSA, ViT-B, ImageNet-21k", base="voc/cosa"),
    dupl=dict(label="DuPL, ViT-B", paper=dict(Seg=72.2)),
    dupl_in21k=dict(label="DuPL, ViT-B, ImageNet-21k", base="voc/dupl_in21k", paper=dict(Seg=73.3)),
)
compare = "toco"
