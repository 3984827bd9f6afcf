"""The demo, shortened: the recipe of the demo's ablation tables, trained once per row and seed.

Reproduces: no table of the paper. It is small, so that a table of many runs can be trained on two CPU cores. ANF is
    fitted to the foreground alone, in images with more than 100 such pixels, as when the committed tables were made.

    dupl train demo/ablation
"""

_base_ = ["toy.py"]

model = dict(
    noise_filter=dict(fit_on="foreground", start=185, min_pixels=100),
    consistency=dict(start=185),
    segmentation=dict(start=100),
    patch_contrast=dict(start=100),
)
schedule = dict(iterations=300)
evaluation = dict(interval=100)
runtime = dict(threads=1)  # so that runs share the cores
