"""The mix transformer (MiT) of SegFormer, the backbone of AFA.

Source: Xie et al., *SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers*, NeurIPS 2021.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dupl.method.attention import Attention
from dupl.method.drop import SeededDrop

SIZES: dict[str, dict[str, Any]] = {  # of the paper; b0 is narrower
    "mit_b0": dict(dims=(32, 64, 160, 256), depths=(2, 2, 2, 2)),
    "mit_b1": dict(dims=(64, 128, 320, 512), depths=(2, 2, 2, 2)),
    "mit_b2": dict(dims=(64, 128, 320, 512), depths=(3, 4, 6, 3)),
    "mit_b3": dict(dims=(64, 128, 320, 512), depths=(3, 4, 18, 3)),
    "mit_b4": dict(dims=(64, 128, 320, 512), depths=(3, 8, 27, 3)),
    "mit_b5": dict(dims=(64, 128, 320, 512), depths=(3, 6, 40, 3)),
}
Pair = tuple[Tensor, Tensor]  # queries and keys, (B, heads, N, d) each


class PatchEmbed(nn.Module):
    """Overlapping patches: a strided convolution and a norm; (B, C, H, W) to (B, D, h, w)."""

    def __init__(self, channels: int, dim: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, dim, kernel, stride, kernel // 2)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> tuple[Tensor, int, int]:
        """Return the tokens (B, h w, D), h and w."""
        x = self.proj(x)
        return self.norm(x.flatten(2).transpose(1, 2)), x.shape[2], x.shape[3]


class SpatialAttention(nn.Module):
    """Self-attention whose keys and values come from maps that are reduced by ``ratio``."""

    def __init__(self, dim: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.kv, self.proj = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        self.sr: nn.Module | None = None
        if ratio > 1:
            self.sr, self.norm = nn.Conv2d(dim, dim, ratio, ratio), nn.LayerNorm(dim)

    def forward(self, x: Tensor, h: int, w: int) -> tuple[Tensor, Pair]:
        """Attend within tokens (B, h w, D); return them with queries and keys."""
        source = x
        if self.sr is not None:
            source = self.norm(self.sr(_to_maps(x, h, w)).flatten(2).transpose(1, 2))
        q = self.q(x).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, heads, N, d)
        k, v = self.kv(source).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)), (q, k)


class MixFeedForward(nn.Module):
    """Two linear layers with a 3x3 depth-wise convolution between them, which gives tokens a place."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.dwconv = nn.ModuleDict({"dwconv": nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)})

    def forward(self, x: Tensor, h: int, w: int) -> Tensor:
        """Map tokens (B, h w, D)."""
        x = self.dwconv["dwconv"](_to_maps(self.fc1(x), h, w)).flatten(2).transpose(1, 2)
        return self.fc2(F.gelu(x))


class Block(nn.Module):
    """Attention and feed-forward, each behind a norm and beside a residual path."""

    def __init__(self, dim: int, heads: int, ratio: int, drop: float, drop_in_cams: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.attn, self.mlp = SpatialAttention(dim, heads, ratio), MixFeedForward(dim, 4 * dim)
        self.drops = nn.ModuleList(SeededDrop(drop, "sample", drop_in_cams) for _ in range(2))

    def forward(self, x: Tensor, h: int, w: int) -> tuple[Tensor, Pair]:
        """Map tokens (B, h w, D); return them with queries and keys."""
        attended, pair = self.attn(self.norm1(x), h, w)
        x = x + self.drops[0](attended)
        return x + self.drops[1](self.mlp(self.norm2(x), h, w)), pair


class MixTransformer(nn.Module):
    """Four stages of blocks on ever coarser maps.

    Args:
        dims: Channels of each stage.
        depths: Blocks of each stage.
        heads: Attention heads of each stage.
        ratios: Reduction of the keys and values of each stage; the last is 1.
        strides: Of the patches of each stage.
        drop_path: Stochastic depth: the rate of the last block, rising linearly from 0.
        drop_in_cams: Whether branches are dropped in passes without gradients too.

    Attributes:
        dims: Channels of each stage.
        patch: Side of a patch of the last stage, in pixels.
        least: Side of the smallest image, which every stage can reduce, in pixels.
    """

    def __init__(
        self,
        dims: Sequence[int],
        depths: Sequence[int],
        heads: Sequence[int] = (1, 2, 5, 8),
        ratios: Sequence[int] = (8, 4, 2, 1),
        strides: Sequence[int] = (4, 2, 2, 1),
        drop_path: float = 0.1,
        drop_in_cams: bool = False,
    ) -> None:
        super().__init__()
        rates = iter(torch.linspace(0, drop_path, sum(depths), device="cpu").tolist())
        channels = (3, *dims)
        self.dims, self.patch = list(dims), prod(strides)
        self.least = max(prod(strides[: i + 1]) * ratios[i] for i in range(4))
        for i in range(4):
            made = PatchEmbed(channels[i], dims[i], 3 if i else 7, strides[i])
            blocks = [Block(dims[i], heads[i], ratios[i], next(rates), drop_in_cams) for _ in range(depths[i])]
            self.add_module(f"patch_embed{i + 1}", made)
            self.add_module(f"block{i + 1}", nn.ModuleList(blocks))
            self.add_module(f"norm{i + 1}", nn.LayerNorm(dims[i], eps=1e-6))
        self.apply(_initialise)

    @property
    def blocks(self) -> Iterator[Block]:
        """The blocks of all stages, in order."""
        return (block for i in range(4) for block in getattr(self, f"block{i + 1}"))

    def forward(self, x: Tensor) -> tuple[list[Tensor], Attention]:
        """Compute the maps of each stage, (B, D, h, w), of images (B, 3, H, W), and the attention of the last blocks.

        The attention is that of the last two blocks of the last stage, or of its only one.
        """
        maps: list[Tensor] = []
        pairs: list[Pair] = []
        for i in range(4):
            x, h, w = getattr(self, f"patch_embed{i + 1}")(x)
            for block in getattr(self, f"block{i + 1}"):
                x, pair = block(x, h, w)
                pairs = [*pairs[-1:], pair] if i == 3 else []
            x = _to_maps(getattr(self, f"norm{i + 1}")(x), h, w)
            maps.append(x)
        return maps, Attention.of(pairs)


def _to_maps(tokens: Tensor, h: int, w: int) -> Tensor:
    """Turn tokens (B, h w, D) into maps (B, D, h, w)."""
    return tokens.transpose(1, 2).unflatten(2, (h, w))


def _initialise(module: nn.Module) -> None:
    """Draw the random weights as the source does."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
