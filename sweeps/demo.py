"""The demo's search: final tau_h, start of ANF and L_reg, and ANF's gamma and eta, on synthetic scenes.

Goal: the better student's segmentation, on scenes that neither training nor the report uses (another seed).
Cost: 20 trials of `demo/ablation`, two at once, on two CPU cores, 20 minutes; the median pruner stops the poor ones.

    dupl sweep demo --jobs 2
    dupl sweep demo --confirm 3
"""

base = "demo/ablation"
goal = dict(metric="seg/best/mIoU", direction="maximize")
set = {"evaluation.interval": 60}
space = {
    "model.threshold.final": dict(type="float", label="tau_h(T)", low=0.4, high=0.7),
    "warm-up": dict(
        type="int", low=100, high=280, step=5, paths=["model.noise_filter.start", "model.consistency.start"]
    ),
    "model.noise_filter.gamma": dict(type="float", label="gamma", low=0.5, high=0.99),
    "model.noise_filter.eta": dict(type="float", label="eta", low=0.25, high=2.0),
}
constraints = ["model.threshold.final <= model.threshold.initial", "warm-up < schedule.iterations"]
start_from = [{}]  # the recipe's own values
sampler = dict(type="TPE", n_startup_trials=8, multivariate=True, group=True, constant_liar=True, seed=0)
pruner = dict(type="median", n_startup_trials=4, n_warmup_steps=2, interval_steps=1, n_min_trials=3)
trials = 20
search = dict(  # other scenes, as difficult as those of the report
    set={
        "data.val": dict(type="Toy", split="val", size=64, contrast=0.14, texture=0.3, textured=0.8, count=200, seed=1)
    }
)
