"""Checking whether a machine can train a recipe: torch, GPU, data sets, weights, disk space."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import torch
from mmengine.config import Config

from dupl.config.batch import plan_batch
from dupl.engine import build, precision
from dupl.engine.device import choose_device, open_device, place
from dupl.engine.doctor.finding import Finding
from dupl.engine.doctor.machine import disk
from dupl.engine.training.trial_step import IMAGES, take_trial_steps
from dupl.engine.training.validate import TrainingData, check_model, read_data, warmup_note
from dupl.errors import RunError, UserError
from dupl.method.base import Method

STATES = 3  # numbers per weight in a checkpoint: the weight and AdamW's two moments
FIX = "correct that value in the recipe or by --set; dupl show RECIPE prints all of them"


def examine_torch() -> list[Finding]:
    """Check that torch and torchvision work together, and look for a GPU."""
    return [torchvision(), gpu()]


def torchvision() -> Finding:
    """Run an operator of torchvision, which fails with a torch from another channel."""
    try:
        from torchvision.ops import nms

        nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except (ImportError, RuntimeError, AttributeError) as error:
        fix = "reinstall both from one channel: pip install --force-reinstall torch torchvision"
        return Finding("torchvision works", "fail", " ".join(str(error).split()), fix)
    return Finding("torchvision works", "ok", f"with torch {torch.__version__}")


def gpu() -> Finding:
    """List the CUDA devices that torch sees, or say why it sees none."""
    if torch.cuda.is_available():
        devices = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        found = ", ".join(f"{d.name} ({d.total_memory / 2**30:.0f} GiB)" for d in devices)
        device = torch.device("cuda", 0)
        found = f"{found}, CUDA {torch.version.cuda}, {precision.capability(device)}"
        if not precision.computes_bfloat16(device):
            return Finding(
                "gpu", "note", found, "for speed there: --set runtime.precision=fp16, another run than float32"
            )
        return Finding("gpu", "ok", found)
    driver = shutil.which("nvidia-smi")
    if driver is None:
        fix = "enough for demo/* and voc_animals; the paper's recipes need a machine with an NVIDIA GPU and its driver"
        return Finding("gpu", "note", "none: the CPU trains", fix)
    listed = subprocess.run([driver, "-L"], capture_output=True, text=True, check=False).stdout.strip()
    if torch.version.cuda is None:
        fix = "install a build of torch with CUDA: pip install --force-reinstall torch torchvision"
        return Finding(
            "gpu", "fail", f"{listed or 'a driver'}, but torch {torch.__version__} is built without CUDA", fix
        )
    fix = f"update the driver for CUDA {torch.version.cuda}, or check CUDA_VISIBLE_DEVICES"
    return Finding("gpu", "fail" if listed else "note", f"{listed or 'a driver'}, but torch sees no device", fix)


def examine_recipe(config: Config, root: Path, deep: bool = False) -> list[Finding]:
    """Check what a recipe needs: device, data sets, weights, a model that fits the data, disk space.

    Args:
        config: A resolved recipe.
        root: Folder of the runs.
        deep: Whether to load the weights, and to train on two images and evaluate two.
    """
    found = [device(config)]
    sets = [name for name, entry in config.data.items() if isinstance(entry, dict) and "type" in entry]
    found += [data(config, split) for split in sets]
    readable = all(one.state != "fail" for one in found)
    return [*found, *(together(config, root, deep) if readable else [disk(root)]), weights(config)]


def together(config: Config, root: Path, deep: bool) -> list[Finding]:
    """Build model and data as training does, and compare them; check the disk space for the checkpoints."""
    try:
        read = read_data(config)
        plan_batch(config.schedule, 1)
        with torch.device("meta"):
            model = build.build_model(config, read.view.source.classes, torch.device("meta"), pretrained=False)
        check_model(config, model, read)
    except UserError as error:
        return [Finding("model and data", "fail", str(error), FIX), disk(root)]
    found = [Finding("data", "note", line) for line in read.notes]
    if line := warmup_note(config):
        found.append(Finding("schedule", "note", line))
    found = [*found, Finding("model and data", "ok", f"they fit, {len(read.view.source.classes)} classes")]
    found.append(disk(root, checkpoint_bytes(config, model)))
    return [*found, trial(config, read)] if deep else found


def trial(config: Config, read: TrainingData) -> Finding:
    """Train on two images and evaluate two, as the start of training does."""
    started = time.monotonic()
    try:
        model = build.build_model(config, read.view.source.classes, open_device(config.runtime))
        take_trial_steps(config, model, read)
    except (UserError, RunError) as error:
        return Finding("trial steps", "fail", str(error), FIX)
    seconds = time.monotonic() - started
    return Finding("trial steps", "ok", f"training and evaluation of {IMAGES} images work, {seconds:.1f} s")


def device(config: Config) -> Finding:
    """Check the device that the recipe names."""
    try:
        chosen = choose_device(config.runtime.device)
    except UserError as error:
        return Finding("device", "fail", str(error), "--set runtime.device=cpu, or repair the GPU")
    setting = config.runtime.precision
    where, words = place(chosen, config.runtime.threads), precision.describe(setting, chosen)
    found = f"{where}, {words}; it {precision.capability(chosen)}"
    if (line := precision.warning(setting, chosen)) is not None:
        return Finding("device", "note", found, line)
    return Finding("device", "ok", found)


def data(config: Config, split: str) -> Finding:
    """Count the images of a data set and read the first one."""
    name, needed = f"data.{split}", split in ("train", "val")
    try:
        source = build.build_dataset(config, split)
        source.image(0)
        source.tags(0)
    except (UserError, OSError) as error:
        fix = f"dupl data prepare makes VOC and COCO; elsewhere: --set data.{split}.root=DIR"
        return Finding(name, "fail" if needed else "note", " ".join(str(error).split()), fix)
    masks = "with masks" if source.has_masks else "no masks"
    if split == "val" and not source.has_masks:
        return Finding(
            name, "note", f"{len(source)} images, {masks}", "without masks its tags alone (mAP, F1) judge it"
        )
    return Finding(name, "ok", f"{len(source)} images, {masks}")


def weights(config: Config) -> Finding:
    """Look for the pretrained weights: a file, or the cache of timm's hub."""
    backbone = config.model.network.backbone
    if backbone.get("weights"):
        file = Path(backbone.weights)
        if file.is_file():
            return Finding("weights", "ok", str(file))
        return Finding("weights", "fail", f"there is no file {file}", "set model.network.backbone.weights to a file")
    if not backbone.get("pretrained"):
        return Finding("weights", "ok", "random")
    from huggingface_hub import try_to_load_from_cache

    for name in ("model.safetensors", "pytorch_model.bin"):
        if isinstance(path := try_to_load_from_cache(f"timm/{backbone.name}", name), str):
            return Finding("weights", "ok", path)
    fix = "without a network: --set model.network.backbone.weights=FILE.safetensors"
    return Finding("weights", "note", f"{backbone.name} is not downloaded yet; training downloads it", fix)


def checkpoint_bytes(config: Config, model: Method) -> int:
    """Return the bytes of the checkpoints that training keeps, of the one it writes, and of the best weights twice."""
    size = 4 * sum(p.numel() for p in model.parameters())
    return size * (STATES * (config.runtime.keep_checkpoints + 1) + 2)
