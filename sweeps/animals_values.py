"""The values of the steady form on photos of animals, chosen on photos that neither training nor the report uses.

The schedule is that of a fifth of the released code's time (265 iterations), so that a trial takes minutes.
Goal: the better student's segmentation in the evaluation during training, last iteration, mIoU over 7 classes, on 100
    training photos that are held out of training. Only --confirm uses the report split, val100.
Cost: 16 trials of `animals/steady`, 6 to 7 minutes each on one CPU core in bfloat16 (`runtime.precision=bf16`).

    dupl sweep animals_values --jobs 2 --set data.train.root=DIR data.val.root=DIR
"""

base = "animals/steady"
goal = dict(metric="seg/best/mIoU-7", direction="maximize")
set = {
    "model.weights.l2c": 0.3,  # the defaults, as a start of the search
    "model.weights.abs": 0.2,
    "schedule.iterations": 265,
    "schedule.warmup": 26,
    "model.noise_filter.start": 159,
    "model.consistency.start": 159,
    "evaluation.interval": 53,
}
space = {
    "model.network.pool_share": dict(type="float", label="share of patches", low=0.03, high=0.3, log=True),
    "model.threshold.initial": dict(type="float", label="tau_h(0)", low=0.4, high=0.8),
    "model.threshold.final": dict(type="float", label="tau_h(T)", low=0.4, high=0.8),
    "model.tau_l": dict(type="float", label="tau_l", low=0.1, high=0.4),
    "model.weights.l2c": dict(type="float", label="lambda l2c", low=0.05, high=1.0, log=True),
    "model.weights.abs": dict(type="float", label="lambda abs", low=0.03, high=1.0, log=True),
    "schedule.lr": dict(type="float", label="lr", low=2e-5, high=1e-4, log=True),
}
constraints = ["model.threshold.final <= model.threshold.initial", "model.tau_l < model.threshold.final"]
start_from = [{}]  # the recipe's own values
sampler = dict(type="TPE", n_startup_trials=8, multivariate=True, group=True, constant_liar=True, seed=0)
pruner = dict(type="median", n_startup_trials=6, n_warmup_steps=2, interval_steps=1, n_min_trials=4)
trials = 16
search = dict(count=100, seed=0)
