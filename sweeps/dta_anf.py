"""The thresholds of DTA and ANF on VOC: tau_h(T), the heads' warm-up, gamma and eta.

The paper's Tables 5a and 5b vary the first two one at a time; the paper does not state how the others were chosen.
Goal: the better student's segmentation in the evaluation during training, last iteration, on a tenth of the training
    images that is held out of training. Only --confirm uses the report split, val.
The warm-up parameter moves the start of ANF and of L_reg together, as in the released code.
Cost: 60 trials of `voc/dupl`, 6.8 h each on two RTX 3090 with the released code, less what the pruner saves.

    dupl sweep dta_anf --gpus 0 1 2 3
    dupl sweep dta_anf --confirm 3 --seeds 0 1 2 --gpus 0 1 2 3
"""

base = "voc/dupl"
goal = dict(metric="seg/best/mIoU", direction="maximize")
space = {
    "model.threshold.final": dict(type="float", label="tau_h(T)", low=0.4, high=0.7),
    "warm-up": dict(
        type="int", low=4000, high=16000, step=500, paths=["model.noise_filter.start", "model.consistency.start"]
    ),
    "model.noise_filter.gamma": dict(type="float", label="gamma", low=0.5, high=0.99),
    "model.noise_filter.eta": dict(type="float", label="eta", low=0.25, high=2.0),
}
constraints = ["model.threshold.final <= model.threshold.initial", "warm-up < schedule.iterations"]
start_from = [{}]  # the paper's point, which is the recipe's
sampler = dict(type="TPE", n_startup_trials=12, multivariate=True, group=True, constant_liar=True, seed=0)
pruner = dict(type="Hyperband", min_resource=2, max_resource=10, reduction_factor=3)
trials = 60
search = dict(share=0.1, seed=0)
