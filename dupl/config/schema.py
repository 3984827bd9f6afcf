"""The sections of a recipe. Each field states its type, its range and unit, and in the docstring its meaning.

The model and the data sets are not here: their fields are the arguments of the registered classes
(`dupl.config.components`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from dupl.config.kinds import (
    FURTHER,
    ArgumentsOf,
    AtLeast,
    Count,
    In,
    NotNegative,
    Pixels,
    Positive,
    Seed,
    Share,
    Slot,
    Start,
)

Iterations = Annotated[int, In("[1, inf)", "iterations")]
Images = Annotated[int, In("[0, inf)", "images")]
Registered = Annotated[dict[str, Any], Slot("")]
DataSet = Annotated[dict[str, Any], Slot("data set")]


@dataclass(frozen=True)
class Schedule:
    """How long a run trains, with which batches and learning rates.

    Attributes:
        iterations: Optimiser steps of the run, T.
        batch_size: Images of one optimiser step, over all processes.
        images_per_loss: Images over which one loss takes its means; it divides batch_size. The gradients of the
            batch's losses are averaged. Processes share the losses of a step, which changes no number; fewer images
            take less memory and are another objective.
        lr: Learning rate of the backbone after the warm-up (AdamW).
        head_lr: Factor on lr for classifiers and segmentation heads.
        weight_decay: Of AdamW, for all parameters.
        betas: Of AdamW.
        warmup: Steps over which the learning rate rises linearly.
        warmup_ratio: Share of the learning rate at iteration 0.
        power: Of the decay (1 - t / T)^power after the warm-up.
        norm_lr: Factor on lr for the norms of the backbone. Released code of AFA: 0.
    """

    iterations: Iterations
    batch_size: Annotated[int, In("[1, inf)", "images")]
    images_per_loss: Annotated[int, In("[1, inf)", "images")]
    lr: Positive
    head_lr: Positive
    weight_decay: NotNegative
    betas: tuple[Annotated[float, In("[0, 1)")], Annotated[float, In("[0, 1)")]]
    warmup: Start
    warmup_ratio: Share
    power: NotNegative
    norm_lr: NotNegative = 1.0


@dataclass(frozen=True)
class Final:
    """The final protocol, ``dupl eval --protocol final``; the defaults are VOC's in the released code.

    Attributes:
        scales: Of the image side; each is evaluated with its mirror image.
        over_scales: How the logits of the scales become one: their maximum or their sum.
        size: Side of the square that images are squashed to. None keeps their size.
    """

    scales: Annotated[list[Positive], AtLeast(1)] = field(default_factory=lambda: [1.0, 1.5, 1.25])
    over_scales: Literal["max", "sum"] = "max"
    size: Pixels | None = None


@dataclass(frozen=True)
class CRF:
    """The dense CRF of the final protocol; the defaults are the released code's.

    Attributes:
        iterations: Of mean field.
        sxy: Width of the Gaussian kernel.
        compat: Weight of the Gaussian kernel.
        bilateral_sxy: Width of the bilateral kernel.
        srgb: Width of the bilateral kernel in grey levels of 0 to 255.
        bilateral_compat: Weight of the bilateral kernel.
    """

    iterations: Count = 10
    sxy: Annotated[float, In("(0, inf)", "px")] = 1.0
    compat: Positive = 1.0
    bilateral_sxy: Annotated[float, In("(0, inf)", "px")] = 121.0
    srgb: Annotated[float, In("(0, inf)", "grey levels")] = 5.0
    bilateral_compat: Positive = 4.0


@dataclass(frozen=True)
class Subset:
    """A further mIoU over some of the classes.

    Attributes:
        name: Of the metric, such as "mIoU-7"; an empty name leaves it out.
        classes: Names of the classes, "background" among them where it counts.
    """

    name: str = ""
    classes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Evaluation:
    """The evaluation during training, and the settings of the other protocols.

    Attributes:
        interval: Steps between two evaluations; the last iteration is always evaluated.
        size: Side of the square that images are squashed to.
        cam_threshold: Score above which a CAM names its class in evaluation.
        batch_size: Images that are evaluated at once; it changes no result.
        best: Metric by which the best checkpoint is kept, such as "seg/best/mIoU".
        subset: A further mIoU over some of the classes.
        final: The final protocol.
        crf: The dense CRF of the final protocol.
        quality: Training images whose pseudo-labels are compared with their masks at each evaluation. 0: none.
        gallery: Images of data.val that each evaluation pictures in the folder gallery. 0: none.
    """

    interval: Iterations
    size: Pixels
    cam_threshold: Share
    batch_size: Annotated[int, In("[1, inf)", "images")]
    best: str
    subset: Subset | None = field(default_factory=Subset)
    final: Final = field(default_factory=Final)
    crf: CRF = field(default_factory=CRF)
    quality: Images = 0
    gallery: Images = 0


@dataclass(frozen=True)
class Track:
    """What is sent to wandb beside scalars.

    Attributes:
        pictures: Images that are sent at each evaluation.
        checkpoints: Whether the last and the best weights are sent at the end.
        code: Whether the package's code and ``git.diff`` are sent.
    """

    pictures: Images = 4
    checkpoints: bool = False
    code: bool = False


@dataclass(frozen=True)
class Runtime:
    """Where and how a run computes, and what it reports.

    Attributes:
        seed: Of all random draws.
        device: "auto" takes CUDA where there is a device.
        precision: "off" is float32 without TF32, "cam" bfloat16 in passes without gradients, "bf16" bfloat16
            everywhere but in the losses, "fp16" float16 with a gradient scaler, for GPUs without bfloat16.
        threads: Threads of torch on a CPU, in each process. They change the order of sums, so that another number is
            another run, except where device is "cuda": there they have no effect.
        workers: Processes of the data loader.
        log_interval: Steps between two lines of scalars.
        checkpoint_interval: Steps between two checkpoints.
        keep_checkpoints: Newest checkpoints that are kept.
        vis_backends: Further trackers: TensorboardVisBackend, LocalVisBackend, MLflowVisBackend (exp_name, tags) and
            AimVisBackend (experiment, log_system_params), which write into the run's folder.
        compile: Backend of torch.compile for the networks' blocks, such as "inductor". None: not compiled.
        track: What is sent to wandb beside scalars.
    """

    seed: Seed
    device: Literal["auto", "cuda", "cpu"]
    precision: Literal["off", "cam", "bf16", "fp16"]
    threads: Annotated[int, In("[1, inf)", "threads")]
    workers: Annotated[int, In("[0, inf)", "processes")]
    log_interval: Iterations
    checkpoint_interval: Iterations
    keep_checkpoints: Annotated[int, In("[1, inf)", "checkpoints")]
    vis_backends: list[Registered]
    compile: str | None = None
    track: Track = field(default_factory=Track)


@dataclass(frozen=True)
class CustomImports:
    """Modules with components or data sets of your own; commands that build a model import them.

    Attributes:
        imports: Names of the modules: installed, on PYTHONPATH, or beside a recipe that a command names.
        allow_failed_imports: Go on where a module cannot be imported.
    """

    imports: list[str]
    allow_failed_imports: bool = False


@dataclass(frozen=True)
class Data:
    """The data sets by split, and the augmentation of training images.

    Attributes:
        train: What is trained on: images and image-level tags.
        augment: The weak augmentation.
        contrast_augment: The further views of the class token contrast. None: the defaults where it is on.
        val: What is evaluated during training. None: nothing.
        further: Other splits, for evaluation.
    """

    train: DataSet
    augment: Annotated[dict[str, Any], ArgumentsOf("WeakAugment")]
    contrast_augment: Annotated[dict[str, Any] | None, ArgumentsOf("ContrastAugment")] = None
    val: DataSet | None = None
    further: Annotated[dict[str, DataSet | None], FURTHER] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """A recipe: everything that a run depends on.

    Attributes:
        model: The method, with the components in its slots.
        data: The data sets by split, and the augmentation of training images.
        schedule: How long a run trains, with which batches and learning rates.
        evaluation: The evaluation during training, and the settings of the other protocols.
        runtime: Where and how a run computes, and what it reports.
        hooks: Hooks of mmengine that act in training, each a dict with its type and arguments.
        custom_imports: Modules with components or data sets of your own.
    """

    model: Annotated[dict[str, Any], Slot("model")]
    data: Data
    schedule: Schedule
    evaluation: Evaluation
    runtime: Runtime
    hooks: list[Registered] = field(default_factory=list)
    custom_imports: CustomImports | None = None
