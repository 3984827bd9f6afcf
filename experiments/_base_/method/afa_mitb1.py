"""AFA with its defaults of the paper, and without the quirks of its release."""

model = dict(
    type="AFA",
    network=dict(
        type="PyramidNet",
        backbone=dict(
            name="mit_b1",
            pretrained=False,
            weights="weights/mit_b1.pth",  # SegFormer's ImageNet weights; timm has none
            options=dict(strides=[4, 2, 2, 1]),
            fit="round",
            drop_path=0.1,
            drop_in_cams=False,
        ),
        pooling="max",
        head=dict(channels=256, dropout=0.1),
    ),
    students=dict(type="SingleStudent"),
    affinity=dict(  # L_aff
        type="AffinityFromAttention",
        start=2001,
        spread_from=6001,
        radius=8,
        targets="cams",
        patch_pixel="first",  # the centre of a patch, whose first convolution has its centre there
        extra_pairs=0.0,
        power=2.0,
        smoothing=0.1,
        steps=1,
        refine_in="crop",
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
    threshold=dict(type="FixedThreshold", value=0.55),  # DTA of DuPL: CosineDescent
    patch_contrast=dict(type="NoPatchContrast"),  # L_ptc of ToCo, with a plain ViT
    class_contrast=dict(type="NoClassContrast"),  # L_ctc of ToCo, with a plain ViT
    noise_filter=dict(type="TrustAll"),  # ANF of DuPL: MixtureFilter
    discrepancy=dict(type="NoDiscrepancy"),  # L_dis of DuPL, with two students
    consistency=dict(type="NoConsistency"),  # L_reg of DuPL, with perturb
    perturb=dict(type="NoPerturbation"),
    tau_l=0.35,
    idle_heads="wait",
    cam_scales=[1.0, 0.5, 1.5],
    weights=dict(aff=0.1, seg=0.1, energy=0.01),
)
