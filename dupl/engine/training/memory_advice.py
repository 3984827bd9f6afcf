"""Advice on what makes a training step take less memory."""

from __future__ import annotations

from mmengine.config import Config


def memory_advice(config: Config) -> str:
    """List the settings that make a step take less memory, with their present values."""
    tries, images = [], config.schedule.images_per_loss
    if images > 1:
        smaller = next(n for n in range(images - 1, 0, -1) if config.schedule.batch_size % n == 0)
        tries.append(f"schedule.images_per_loss={smaller} (now {images})")
    tries.append(f"a smaller data.augment.crop (now {config.data.augment.get('crop', 'the default')})")
    if config.runtime.precision in ("off", "cam"):
        tries.append(f"runtime.precision=bf16 (now {config.runtime.precision})")
    return f"{', '.join(tries)} with --set, as another run in another folder"
