"""Compares ToCo with its released implementation: terms and gradients of a step, checkpoints, time and memory.

    python benchmarks/toco.py --reference PATH --lattice PATH --case micro tiny
    python benchmarks/toco.py --reference PATH --rows check          # without timing

PATH of --reference is a checkout of https://github.com/rulixiang/ToCo, that of --lattice one of
https://github.com/meng-tang/rloss, whose extension the released code needs; without it our lattice takes its place.
Both start from the same weights and the same batch, cut at the same places, each in a process of its own. In both
phases all terms are computed; the released code multiplies some of them by 0 in the first.
"""

from __future__ import annotations

from typing import Any

import peers
from released_toco import SCRIPT
from workers import Case


class ToCo(peers.Peer):
    """ToCo, whose local crops have a side."""

    def both(self, case: Case) -> dict[str, Any]:
        """Return the side of the local crops."""
        return {"crop": 96 if case.size > 96 else 32}


PEER = ToCo(
    doc=__doc__,
    script=SCRIPT,
    ours="ours_toco:OursToCo",
    released="released_toco:ReleasedToCo",
    students=1,
    phases=(("first", 1000), ("last", 14000)),
    late=("L_seg", "L_energy"),
    time=0.65,
    maps=("scores", "logits", "CAM", "auxiliary CAM"),
    released_step={"same_crops": True},
)

if __name__ == "__main__":
    peers.run(PEER)
