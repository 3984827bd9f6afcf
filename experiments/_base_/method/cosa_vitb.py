"""CoSA with its defaults of the paper where they are known, and without the quirks of its release."""

model = dict(
    type="CoSA",
    network=dict(
        type="SubNet",
        backbone=dict(
            name="vit_base_patch16_224.orig_in21k_ft_in1k",
            pretrained=True,
            weights=None,  # a local .safetensors file instead of timm's hub
            aux_block=-3,
            options=dict(),
        ),
        pooling="max",
        head=dict(channels=512, dilation=5),
    ),
    students=dict(type="OnlineAssigned", momentum=0.9994, initial="online"),
    perturb=dict(type="OneOperation", magnitude=9),
    segmentation=dict(type="BalancedCrossEntropy", start=6001),  # L_c2s
    seg_to_cam=dict(type="SegToCam", start=6001, temperature=0.01),  # L_s2c
    dense_energy=dict(type="DenseEnergy", start=6001, scale=1e-7, sigma_xy=100.0, sigma_rgb=15.0, downscale=2),
    cam_queue=dict(type="NoQueue"),  # adaptive thresholds: QueueMixture
    refine=dict(  # no refinement, at half the resolution
        type="PixelAdaptiveRefinement",
        dilations=[1],
        iterations=0,
        downscale=2,
    ),
    threshold=dict(type="FixedThreshold", value=0.7),  # DTA of DuPL: CosineDescent
    noise_filter=dict(type="TrustAll"),  # ANF of DuPL: MixtureFilter
    patch_contrast=dict(type="NoPatchContrast"),  # L_ptc of ToCo: PatchTokenContrast
    tau_l=0.25,
    aux_tau_l=0.25,
    aux_tau_h=0.7,
    aux_share=0.5,
    aux_scales="all",
    cam_scales=[1.0, 0.5, 1.5],
    weights=dict(seg=0.1, s2c=0.05, energy=0.05),
)
