"""Table 4 on photos of animals, a part of VOC: what each component adds, with DeiT-tiny, from tags only.

Photos, network, resolution and length differ from the paper's, and the components have their released forms.
Protocol: the evaluation during training (160 x 160, squashed, no CRF) on 100 photos of VOC's val, mIoU over 7 classes,
    the better student of each, last iteration.
Cost: 6 rows x 3 seeds = 18 runs of `voc_animals`, whose full model takes about 38 minutes on two CPU cores.

    dupl ablate animals_table4 --set data.train.root=DIR data.val.root=DIR
"""

_base_ = ["_base_/cumulative.py"]

base = "voc_animals"
columns = dict(M=dict(metric="cam/best/mIoU-7"), Seg=dict(metric="seg/best/mIoU-7"))
reference = "The paper's Table 4 is of all 20 VOC 2012 classes with ViT-B; its numbers cannot be compared with these."
