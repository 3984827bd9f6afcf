"""Backbone and learning rate on VOC: DeiT-S, DeiT-B or ViT-B from ImageNet-21k, mIoU against GPU hours.

L_reg's weight is a parameter only where L_reg is on. The two goals give a Pareto front, and trials are not pruned.
Cost: 60 trials of `voc/dupl`; see `dta_anf`.

    dupl sweep backbone_lr --gpus 0 1 2 3
"""

base = "voc/dupl"
goal = [dict(metric="seg/best/mIoU", direction="maximize"), dict(metric="gpu_hours", direction="minimize")]
space = {
    "model.network.backbone.name": dict(
        type="categorical",
        label="backbone",
        choices={
            "DeiT-S": "deit_small_patch16_224.fb_in1k",
            "DeiT-B": "deit_base_patch16_224.fb_in1k",
            "ViT-B 21k": "vit_base_patch16_224.orig_in21k_ft_in1k",
        },
    ),
    "schedule.lr": dict(type="float", label="lr", low=1e-5, high=3e-4, log=True),
    "schedule.head_lr": dict(type="float", label="heads' factor", low=1.0, high=30.0, log=True),
    "L_reg": dict(
        type="categorical",
        paths=["model.consistency"],
        choices={"on": dict(type="FilteredConsistency", start=8000), "off": dict(type="NoConsistency")},
    ),
    "model.weights.reg": dict(type="float", label="lambda reg", low=0.005, high=0.5, log=True, when={"L_reg": "on"}),
}
start_from = [{}]
sampler = dict(type="NSGA-II", population_size=20, mutation_prob=None, crossover_prob=0.9, swapping_prob=0.5, seed=0)
pruner = dict(type="none")
trials = 60
search = dict(share=0.1, seed=0)
