"""float32 and bfloat16 over whole trainings, on synthetic scenes and two CPU cores.

Protocol: the evaluation during training (64 x 64, squashed, no CRF), the better student of each, last iteration.
Cost: 2 rows x 5 seeds = 10 runs of `demo/ablation`. bfloat16 is slow where the device emulates it; `dupl doctor` says
    whether it does.

    dupl ablate demo_precision
"""

_base_ = ["_base_/precision.py"]

base = "demo/ablation"
columns = dict(
    M=dict(label="M", metric="cam/best/mIoU"),
    Seg=dict(label="Seg.", metric="seg/best/mIoU"),
)
