"""voc/dupl_released in bfloat16: the quick way on a GPU, and another run than the released one, which is in float32.

Reproduces: no table of the paper. The networks compute in bfloat16, the losses in float32; the released code has no
    such mode.
Measured, of one step beside float32, on the demo's scenes: pseudo-labels differ in 0.06 % of pixels and gradients by
    0.033 of their size (benchmarks/precision.py). What that does on photos, and to the mIoU at 20k, is not measured.
Hours: not measured on a GPU yet. A device that emulates bfloat16 (GPUs before Ampere, processors without AVX512-BF16 or
    AMX) is slower with it: `dupl doctor` says which. There, --set runtime.precision=fp16 is the quick way on a GPU.

    torchrun --nproc-per-node 2 -m dupl train voc/dupl_fast --launcher pytorch
"""

_base_ = ["dupl_released.py"]

runtime = dict(precision="bf16")
