"""Precisions of a run, and whether a device computes them or emulates them."""

from __future__ import annotations

import torch

WORDS = {
    "off": "float32",
    "cam": "bfloat16 in CAM passes",
    "bf16": "bfloat16",
    "fp16": "float16 with a gradient scaler",
}
CPU_FEATURES = ("avx512_bf16", "amx_bf16")  # of x86 processors, by torch.cpu.get_capabilities
AMPERE = (8, 0)  # compute capability of the first GPUs with bfloat16


def describe(precision: str, device: torch.device) -> str:
    """Return the precision of a run in words, such as "float32 without TF32".

    Args:
        precision: ``runtime.precision``.
        device: Where the run computes.
    """
    return WORDS[precision] + " without TF32" * (device.type == "cuda" and precision in ("off", "cam"))


def computes_bfloat16(device: torch.device) -> bool:
    """Return whether a device computes bfloat16 itself; otherwise torch emulates it, which is slower than float32.

    A torch that cannot tell of a processor counts as no.
    """
    if device.type == "cuda":
        if torch.version.hip:
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
        return torch.cuda.get_device_capability(device) >= AMPERE
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in CPU_FEATURES)


def capability(device: torch.device) -> str:
    """Return in words whether a device computes bfloat16: "computes bfloat16 (avx512_bf16)"."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        found = f"compute capability {major}.{minor}"
        return f"computes bfloat16 ({found})" if computes_bfloat16(device) else f"emulates bfloat16 ({found})"
    if not hasattr(torch.cpu, "get_capabilities"):
        return f"emulates bfloat16, as far as torch {torch.__version__} can tell"
    capabilities = torch.cpu.get_capabilities()
    if features := [name for name in CPU_FEATURES if capabilities.get(name, False)]:
        return f"computes bfloat16 ({', '.join(features)})"
    return "emulates bfloat16 (neither AVX512-BF16 nor AMX)"


def warning(precision: str, device: torch.device, what: str = "run") -> str | None:
    """Return one line where a precision would be emulated by the device; None where it is computed.

    Args:
        precision: ``runtime.precision``.
        device: Where the run computes.
        what: What another precision would be another one of.
    """
    if precision not in ("cam", "bf16") or device.type not in ("cpu", "cuda") or computes_bfloat16(device):
        return None
    other = "fp16" if device.type == "cuda" else "off"
    name = "the GPU" if device.type == "cuda" else "the processor"
    return (
        f"{name} {capability(device)}: {WORDS[precision]} is slower there than float32; "
        f"--set runtime.precision={other} is another {what} and faster"
    )
