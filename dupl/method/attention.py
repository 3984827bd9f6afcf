"""Queries and keys of self-attention: what the affinity between patches is predicted from (AFA)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Attention:
    """Queries and keys of A attention heads for the N patches of B images, without prefix tokens.

    Attributes:
        queries: (B, A, N, d).
        keys: (B, A, N, d).
    """

    queries: Tensor
    keys: Tensor

    @classmethod
    def of(cls, pairs: Sequence[tuple[Tensor, Tensor]]) -> Attention:
        """Join the heads of several blocks.

        Args:
            pairs: Queries and keys of each block, (B, heads, N, d).
        """
        queries, keys = zip(*pairs, strict=True)
        return cls(torch.cat(queries, 1), torch.cat(keys, 1))

    def first(self, images: int) -> Attention:
        """Return the attention of the first images."""
        return Attention(self.queries[:images], self.keys[:images])

    def logits(self) -> Tensor:
        """Compute the attention of every head before scale and softmax, (B, A, N, N)."""
        return self.queries @ self.keys.transpose(2, 3)

    def combined(self, weight: Tensor) -> Tensor:
        """Compute the weighted sum over heads of A + A^T, (B, N, N), without the maps of single heads in memory.

        Args:
            weight: Of each head, (A,).
        """
        queries = (self.queries * weight[:, None, None]).transpose(1, 2).flatten(2)  # (B, N, A d)
        maps = queries @ self.keys.transpose(1, 2).flatten(2).transpose(1, 2)  # (B, N, N)
        return maps + maps.transpose(1, 2)
