"""Compares CoSA with its released implementation: terms and gradients of a step, checkpoints, time and memory.

    python benchmarks/cosa.py --reference PATH --lattice PATH --case micro tiny
    python benchmarks/cosa.py --reference PATH --rows check          # without timing

PATH of --reference is a checkout of https://github.com/youshyee/CoSA, that of --lattice one of
https://github.com/meng-tang/rloss, whose extension the released code needs; without it our lattice takes its place.
Both start from the same weights, the same batch and the same strong view, each in a process of its own. In the first
phase the released code multiplies all terms but L_cls by 0.
"""

from __future__ import annotations

import peers
from released_cosa import SCRIPT
from workers import Worker


class CoSA(peers.Peer):
    """CoSA, whose labels are compared too."""

    def before(self, ours: Worker, released: Worker) -> list[str]:
        """Compare the labels of both CAMs, pixel by pixel; what differs."""
        t, wrong = self.phases[-1][1], []
        released("step", t=t)
        pairs = zip(("CAM", "auxiliary CAM"), ours("labels", t), released("labels"), strict=True)
        for which, mine, theirs in pairs:
            apart, foreground = int((mine != theirs).sum()), int(((theirs > 0) & (theirs < 255)).sum())
            print(f"labels of the {which}: {apart} of {theirs.size} pixels differ, {foreground} are foreground")
            wrong += [f"labels of the {which}"] * (apart > 0)
        return wrong


PEER = CoSA(
    doc=__doc__,
    script=SCRIPT,
    ours="ours_cosa:OursCoSA",
    released="released_cosa:ReleasedCoSA",
    students=2,
    phases=(("first", 1000), ("last", 20000)),
    late=("L_seg", "L_s2c", "L_energy"),
    time=0.85,
    maps=("scores", "logits", "CAM"),
    ours_step={"same_strong": True},
)

if __name__ == "__main__":
    peers.run(PEER)
