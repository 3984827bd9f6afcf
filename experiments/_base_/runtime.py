"""Where a run computes, what it reports, and the evaluation during training."""

evaluation = dict(
    interval=2000,
    size=448,  # images are squashed to size x size
    cam_threshold=0.5,
    batch_size=4,
    subset=dict(name="", classes=[]),  # a further mIoU over some of the classes
    best="seg/best/mIoU",
    # The rest does not change training. The final protocol (dupl eval --protocol final) with VOC's values:
    final=dict(scales=[1.0, 1.5, 1.25], over_scales="max", size=None),  # size None: the original size
    crf=dict(iterations=10, sxy=1.0, compat=1.0, bilateral_sxy=121.0, srgb=5.0, bilateral_compat=4.0),
    quality=0,  # number of training images whose pseudo-labels are compared with their masks at each evaluation
    gallery=4,  # number of images of data.val that each evaluation draws in gallery/, for dupl report; 0: none
)
runtime = dict(
    seed=0,
    device="auto",
    precision="off",  # float32, without TF32; or "cam", "bf16", "fp16"
    threads=1,  # of torch on a CPU; another number is another run there
    compile=None,  # a backend of torch.compile for the networks' blocks, such as "inductor"; None: not compiled
    workers=4,
    log_interval=50,
    checkpoint_interval=1000,
    keep_checkpoints=2,
    track=dict(pictures=4, checkpoints=False, code=False),  # on wandb: images per evaluation; weights; code and diff
    vis_backends=[],
)
