"""CoSA with DeiT-tiny on VOC's photos of cats, cows, dogs, horses and sheep, from tags only: real photos on a CPU.

Reproduces: no table of the paper. Data, network, schedule and evaluation are those of voc_animals. The average keeps
    0.99, because training has 1,000 steps instead of 32,000.
Protocol: mIoU over 7 classes (mIoU-7), with the 21-class mIoU beside it; 160 px, squashed, no CRF.
Data: as for voc_animals.

    dupl train animals/cosa --set data.train.root=DIR data.val.root=DIR model.network.backbone.weights=FILE.safetensors
"""

_base_ = [
    "../_base_/method/cosa_vitb.py",
    "../_base_/animals.py",
]

model = dict(
    network=dict(backbone=dict(name="deit_tiny_patch16_224.fb_in1k", fit="drop")),
    students=dict(momentum=0.99),
    segmentation=dict(start=350),
    seg_to_cam=dict(start=350),
    dense_energy=dict(start=350, scale=5e-6, sigma_xy=36.0),
)
