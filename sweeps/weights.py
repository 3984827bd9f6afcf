"""The weights of Eq. 9 on VOC, and tau_l, below which pixels are background.

Cost: 60 trials of `voc/dupl`, less what the pruner saves; see `dta_anf`.

    dupl sweep weights --gpus 0 1 2 3
"""

base = "voc/dupl"
goal = dict(metric="seg/best/mIoU", direction="maximize")
space = {
    "model.weights.dis": dict(type="float", label="lambda dis", low=0.01, high=1.0, log=True),
    "model.weights.seg": dict(type="float", label="lambda seg", low=0.02, high=2.0, log=True),
    "model.weights.reg": dict(type="float", label="lambda reg", low=0.005, high=0.5, log=True),
    "model.weights.ptc": dict(type="float", label="lambda ptc", low=0.02, high=2.0, log=True),
    "model.tau_l": dict(type="float", label="tau_l", low=0.1, high=0.4),
}
constraints = ["model.tau_l < model.threshold.final"]
start_from = [{}]
sampler = dict(type="GP", n_startup_trials=12, deterministic_objective=False, seed=0)
pruner = dict(type="median", n_startup_trials=8, n_warmup_steps=3, interval_steps=1, n_min_trials=5)
trials = 60
search = dict(share=0.1, seed=0)
