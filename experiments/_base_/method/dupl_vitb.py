"""The full model as the paper states it; where the paper is silent, as in its released code."""

model = dict(
    type="DuPL",
    network=dict(
        type="SubNet",
        backbone=dict(
            name="deit_base_patch16_224.fb_in1k",
            pretrained=True,
            weights=None,  # a local .safetensors file instead of timm's hub
            aux_block=-3,
            options=dict(),
        ),
        pooling="max",
        head=dict(channels=512, dilation=5),
    ),
    students=dict(type="DualStudent"),  # DS
    discrepancy=dict(type="LogCosineDiscrepancy", over="image", start=0),  # L_dis
    threshold=dict(type="CosineDescent", initial=0.7, final=0.55),  # DTA
    noise_filter=dict(  # ANF
        type="MixtureFilter",
        gamma=0.9,
        eta=1.0,
        start=8000,
        fit_on="all",
        min_loss=0.1,
        min_pixels=1000,
        bins=8192,
        max_iter=10,
        tol=1e-2,
        reg_covar=5e-4,
    ),
    consistency=dict(type="FilteredConsistency", start=8000),  # L_reg
    segmentation=dict(type="CrossEntropy", start=2000),  # L_seg
    patch_contrast=dict(type="PatchTokenContrast", start=0, box="patches"),
    refine=dict(
        type="PixelAdaptiveRefinement",
        dilations=[1, 2, 4, 8, 12, 24],
        iterations=10,
        w1=0.3,
        w2=0.01,
        downscale=2,
    ),
    perturb=dict(type="StrongPerturbation", ops=5, magnitude=10, flip=1.0, scale=0.75),
    own_view=dict(type="SameView"),  # Diff. Aug of Table 6: OwnView
    tau_l=0.25,
    cam_scales=[1.0, 0.5, 1.5],
    weights=dict(ptc=0.2, dis=0.1, seg=0.2, reg=0.05),
)
