"""How a run computes and reports; the evaluation of training time."""

evaluation = dict(
    interval=2000,
    size=448,  # images are squashed to size x size
    cam_threshold=0.5,
    batch_size=4,
    subset=dict(name="", classes=[]),  # a further mIoU over a part of the classes
    best="seg/best/mIoU",
)
runtime = dict(
    seed=0,
    device="auto",
    amp="auto",  # bfloat16 on CUDA, float32 on the CPU; or "off", "cam", "bf16"
    workers=4,
    log_interval=50,
    checkpoint_interval=1000,
    keep_checkpoints=2,
    vis_backends=[],
)
