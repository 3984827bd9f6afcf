"""VOC's photos of cats, cows, dogs, horses and sheep at 160 px, and a schedule for a CPU."""

_base_ = ["data/voc12.py", "schedule/iters_20k.py", "runtime.py"]

data = dict(
    train=dict(root="data/voc_animals", split="train"),
    val=dict(root="data/voc_animals", split="val100"),
    augment=dict(scale=[0.5, 1.5], crop=160, jitter=0.0, gray=0.0, blur=0.0),
)
schedule = dict(iterations=1000, images_per_loss=4, lr=1e-4, warmup=100)
evaluation = dict(
    interval=200,
    size=160,
    batch_size=10,
    subset=dict(name="mIoU-7", classes=["background", "cat", "cow", "dog", "horse", "person", "sheep"]),
    best="seg/best/mIoU-7",
)
runtime = dict(workers=1, log_interval=20, checkpoint_interval=100)
