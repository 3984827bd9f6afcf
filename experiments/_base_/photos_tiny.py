"""DeiT-tiny at 160 px for a user's own photos on a CPU, with the components of voc_animals."""

_base_ = ["method/dupl_vitb.py", "schedule/iters_20k.py", "runtime.py"]

model = dict(
    network=dict(backbone=dict(name="deit_tiny_patch16_224.fb_in1k", fit="drop")),
    discrepancy=dict(_delete_=True, type="OnePlusCosine", over="channel", start=0),
    noise_filter=dict(fit_on="foreground", gamma=0.95, start=600, min_pixels=128),
    consistency=dict(_delete_=True, type="ConfidentConsistency", confidence=0.9, start=600),
    segmentation=dict(type="BalancedCrossEntropy", start=350),
)
data = dict(augment=dict(scale=[0.5, 1.5], crop=160, jitter=0.0, gray=0.0, blur=0.0))
schedule = dict(iterations=1000, images_per_loss=4, lr=1e-4, warmup=100)
evaluation = dict(interval=200, size=160, batch_size=10)
runtime = dict(workers=1, log_interval=20, checkpoint_interval=100)
