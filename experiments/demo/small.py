"""The demo on scenes of 32 pixels: a run of a minute on one CPU core, to try a component, a plan or a sweep.

Reproduces: no table of the paper. Seed 0 on one thread reaches CAM 55.6 and Seg 26.7 (better student, 100 validation
    scenes, no CRF), and the segmentation still rises when training ends.

    dupl train demo/small
"""

_base_ = ["ablation.py"]

model = dict(network=dict(backbone=dict(options=dict(img_size=32))), noise_filter=dict(min_pixels=20))
data = dict(train=dict(size=32), val=dict(size=32, count=100), augment=dict(crop=32))
evaluation = dict(size=32, interval=75)
