"""Table 1: CAM pseudo-labels of one-stage methods on VOC, on train and on val.

DuPL, ToCo, CoSA and AFA are trained here; of the other methods the table has the numbers that the paper prints. CoSA's
    rows have no number, because the paper does not compare with it.
Protocol: the evaluation during training (448 x 448, squashed, no CRF), CAMs of the image's tags at the recipe's
    threshold, the better student of each, last iteration; train is the list that is trained on (10,582 images, as the
    paper says), val has 1,449. The paper's ToCo is the published log of its release under this protocol.
Cost: 6 runs of 20k to 32k iterations with one seed; `--rows dupl toco` leaves out the others. DuPL took 6.8 h on two
    RTX 3090 with the released code, ToCo 3.6 h on two A100.

    dupl ablate table1_cam
"""

base = "voc/dupl"
seeds = [0]
columns = dict(
    M_train=dict(label="train", metric="cam/best/mIoU", split="train"),
    M=dict(label="val", metric="cam/best/mIoU"),
)
rows = dict(
    ppc=dict(label="PPC + PSA, multi-stage, WR38", printed=True, paper=dict(M_train=73.3)),
    acr=dict(label="ACR + IRN, multi-stage, WR38", printed=True, paper=dict(M_train=72.3)),
    one_stage=dict(label="1Stage, WR38", printed=True, paper=dict(M_train=66.9, M=65.3)),
    vit_pcm=dict(label="ViT-PCM, ViT-B, ImageNet-21k", printed=True, paper=dict(M_train=67.7, M=66.0)),
    afa=dict(label="AFA, MiT-B1", base="voc/afa", paper=dict(M_train=68.7, M=66.5)),
    toco=dict(label="ToCo, ViT-B", base="voc/toco", paper=dict(M_train=72.2, M=70.5)),
    toco_in21k=dict(label="ToCo, ViT-B, ImageNet-21k", base="voc/toco_in21k"),
    cosa=dict(label="CoSA, ViT-B, ImageNet-21k", base="voc/cosa"),
    dupl=dict(label="DuPL, ViT-B", paper=dict(M_train=75.1, M=73.5)),
    dupl_in21k=dict(label="DuPL, ViT-B, ImageNet-21k", base="voc/dupl_in21k", paper=dict(M_train=76.0, M=74.1)),
)
compare = "toco"
