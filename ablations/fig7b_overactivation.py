"""Fig. 7b: over-activation per class of ToCo and of DuPL, on VOC val.

The figure has the over-activation rate FP / (TP + FP) per class of the CAM pseudo-labels; `dupl figure 7b` draws it.
    The column OA is its mean over the classes; of DuPL it is that of student 1.
Protocol: the evaluation during training (448 x 448, squashed, no CRF), last iteration.
Cost: 2 runs of 20k iterations with one seed, which table1_cam has too.

    dupl ablate fig7b_overactivation
"""

base = "voc/dupl"
seeds = [0]
columns = dict(
    M=dict(label="M", metric="cam/best/mIoU"),
    OA=dict(label="OA of M, student 1", metric="cam/1/OA"),
)
rows = dict(
    toco=dict(label="ToCo", base="voc/toco", paper=dict(M=70.5)),
    dupl=dict(label="DuPL", paper=dict(M=73.5)),
)
compare = "toco"
