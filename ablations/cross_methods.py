"""Components of one method inside another, on synthetic scenes: combinations that no paper has.

Each row changes one of four methods (demo/toy, demo/toco, demo/cosa, demo/afa); data, network, iterations and protocol
    are the same in all of them. The methods themselves are the rows dupl, toco, cosa and afa, as in demo_methods.
Protocol: the evaluation during training (64 x 64, squashed, no CRF), the better student of each, last iteration.
Cost: 37 rows x 3 seeds = 111 runs of about 5 minutes each on two CPU cores; rows that part late share their beginning.

    dupl ablate cross_methods --rows dupl dupl_ctc dupl_energy
"""

_base_ = ["_base_/columns.py"]

_CTC = dict(type="ClassTokenContrast", start=70, crop_size=16, projector=dict(hidden=128, bottleneck=32, out=64))
_ENERGY = dict(type="DenseEnergy", start=140, scale=1e-5, sigma_xy=14.0, downscale=1)
_EMA = dict(type="MeanTeachers", momentum=0.98)
_DUAL = dict(type="DualStudent")
_L_DIS = dict(type="OnePlusCosine", over="channel", start=0)
_DTA = dict(type="CosineDescent", initial=0.7, final=0.55)
_ANF = dict(type="MixtureFilter", fit_on="all", start=260, min_pixels=20)
_L_REG = dict(type="ConfidentConsistency", confidence=0.9, start=260)
_STRONG = dict(type="StrongPerturbation")
_PTC = dict(type="PatchTokenContrast", start=140)
_AFFINITY = dict(type="AffinityFromAttention", start=140, spread_from=220, radius=4, patch_pixel="centre")
_QUEUE = dict(type="QueueMixture", side=16)

base = "demo/toy"
set = {"runtime.threads": 1}
rows = dict(
    dupl=dict(label="DuPL"),
    dupl_ctc=dict(label="DuPL + L_ctc", set={"model.class_contrast": _CTC}),
    dupl_energy=dict(label="DuPL + L_energy", set={"model.dense_energy": _ENERGY}),
    dupl_ctc_energy=dict(
        label="DuPL + L_ctc + L_energy", set={"model.class_contrast": _CTC, "model.dense_energy": _ENERGY}
    ),
    dupl_ema=dict(label="DuPL + EMA teachers", set={"model.averages": _EMA}),
    dupl_ema_energy=dict(
        label="DuPL + EMA teachers + L_energy", set={"model.averages": _EMA, "model.dense_energy": _ENERGY}
    ),
    dupl_ema_ctc=dict(label="DuPL + EMA teachers + L_ctc", set={"model.averages": _EMA, "model.class_contrast": _CTC}),
    dupl_one_operation=dict(label="DuPL, strong view of CoSA", set={"model.perturb": dict(type="OneOperation")}),
    dupl_ctc_without_dis=dict(
        label="DuPL + L_ctc − L_dis",
        set={"model.class_contrast": _CTC, "model.discrepancy": dict(type="NoDiscrepancy")},
    ),
    dupl_affinity=dict(label="DuPL + affinity", set={"model.affinity": _AFFINITY}),
    toco=dict(label="ToCo", base="demo/toco"),
    toco_dual=dict(label="dual ToCo", base="demo/toco", set={"model.students": _DUAL}),
    toco_dis=dict(
        label="dual ToCo + L_dis", base="demo/toco", set={"model.students": _DUAL, "model.discrepancy": _L_DIS}
    ),
    toco_dta=dict(label="ToCo + DTA", base="demo/toco", set={"model.threshold": _DTA}),
    toco_anf=dict(label="ToCo + ANF", base="demo/toco", set={"model.noise_filter": _ANF}),
    toco_reg=dict(label="ToCo + L_reg", base="demo/toco", set={"model.consistency": _L_REG, "model.perturb": _STRONG}),
    toco_dta_anf=dict(
        label="ToCo + DTA + ANF", base="demo/toco", set={"model.threshold": _DTA, "model.noise_filter": _ANF}
    ),
    toco_dis_dta=dict(
        label="dual ToCo + L_dis + DTA",
        base="demo/toco",
        set={"model.students": _DUAL, "model.discrepancy": _L_DIS, "model.threshold": _DTA},
    ),
    toco_dis_dta_anf=dict(
        label="dual ToCo + L_dis + DTA + ANF",
        base="demo/toco",
        set={
            "model.students": _DUAL,
            "model.discrepancy": _L_DIS,
            "model.threshold": _DTA,
            "model.noise_filter": _ANF,
        },
    ),
    toco_ema=dict(
        label="dual ToCo + EMA teachers", base="demo/toco", set={"model.students": _DUAL, "model.averages": _EMA}
    ),
    toco_all=dict(
        label="dual ToCo + L_dis + DTA + ANF + L_reg",
        base="demo/toco",
        set={
            "model.students": _DUAL,
            "model.discrepancy": _L_DIS,
            "model.threshold": _DTA,
            "model.noise_filter": _ANF,
            "model.consistency": _L_REG,
            "model.perturb": _STRONG,
        },
    ),
    toco_affinity=dict(label="ToCo + affinity", base="demo/toco", set={"model.affinity": _AFFINITY}),
    cosa=dict(label="CoSA", base="demo/cosa"),
    cosa_dta=dict(label="CoSA + DTA", base="demo/cosa", set={"model.threshold": _DTA}),
    cosa_anf=dict(label="CoSA + ANF", base="demo/cosa", set={"model.noise_filter": _ANF}),
    cosa_dta_anf=dict(
        label="CoSA + DTA + ANF", base="demo/cosa", set={"model.threshold": _DTA, "model.noise_filter": _ANF}
    ),
    cosa_ptc=dict(label="CoSA + L_ptc", base="demo/cosa", set={"model.patch_contrast": _PTC}),
    cosa_ptc_anf=dict(
        label="CoSA + L_ptc + ANF", base="demo/cosa", set={"model.patch_contrast": _PTC, "model.noise_filter": _ANF}
    ),
    cosa_ctc=dict(label="CoSA + L_ctc", base="demo/cosa", set={"model.class_contrast": _CTC}),
    cosa_affinity=dict(  # its CAMs are not propagated
        label="CoSA + L_aff",
        base="demo/cosa",
        set={
            "model.affinity": dict(
                type="AffinityFromAttention", start=140, spread_from=None, radius=4, patch_pixel="centre"
            )
        },
    ),
    cosa_queue=dict(label="CoSA + queue", base="demo/cosa", set={"model.cam_queue": _QUEUE}),
    cosa_queue_anf=dict(
        label="CoSA + queue + ANF",
        base="demo/cosa",
        set={"model.cam_queue": _QUEUE, "model.noise_filter": _ANF},
    ),
    afa=dict(label="AFA, plain ViT", base="demo/afa"),
    afa_dta=dict(label="AFA + DTA", base="demo/afa", set={"model.threshold": _DTA}),
    afa_anf=dict(label="AFA + ANF", base="demo/afa", set={"model.noise_filter": _ANF}),
    afa_dis=dict(label="dual AFA + L_dis", base="demo/afa", set={"model.students": _DUAL, "model.discrepancy": _L_DIS}),
    afa_ptc=dict(label="AFA + L_ptc", base="demo/afa", set={"model.patch_contrast": _PTC}),
)
compare = "dupl"
reference = "No paper has these combinations."
