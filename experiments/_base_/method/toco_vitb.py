"""ToCo with every repair: views are aligned, padding is no negative, the loss is that of the paper."""

model = dict(
    type="ToCo",
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
    students=dict(type="SingleStudent"),
    patch_contrast=dict(type="PatchTokenContrast", start=0, box="patches"),  # L_ptc
    class_contrast=dict(  # L_ctc
        type="ClassTokenContrast",
        start=0,
        tau=0.5,
        momentum=0.9,
        crops=8,
        crop_size=96,
        uncertain=0.2,
        foreground=1.0,
        padding="excluded",
        extra_negative=False,
        divisor="terms",
        projector=dict(hidden=2048, bottleneck=256, out=1024),
    ),
    segmentation=dict(type="BalancedCrossEntropy", start=2001),  # L_seg
    dense_energy=dict(type="DenseEnergy", start=2001, scale=1e-7, sigma_xy=100.0, sigma_rgb=15.0, downscale=2),
    refine=dict(
        type="PixelAdaptiveRefinement",
        dilations=[1, 2, 4, 8, 12, 24],
        iterations=10,
        w1=0.3,
        w2=0.01,
        downscale=2,
    ),
    threshold=dict(type="FixedThreshold", value=0.7),  # DTA of DuPL: CosineDescent
    noise_filter=dict(type="TrustAll"),  # ANF of DuPL: MixtureFilter
    discrepancy=dict(type="NoDiscrepancy"),  # L_dis of DuPL, with two students
    consistency=dict(type="NoConsistency"),  # L_reg of DuPL, with perturb
    perturb=dict(type="NoPerturbation"),
    tau_l=0.25,
    cam_scales=[1.0, 0.5, 1.5],
    weights=dict(ptc=0.2, ctc=0.5, seg=0.1, energy=0.05),
)
