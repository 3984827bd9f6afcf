"""Compares AFA with its released implementation: terms and gradients of a step, checkpoints, time and memory.

    python benchmarks/afa.py --reference PATH --case micro tiny
    python benchmarks/afa.py --reference PATH --rows check          # without timing

PATH of --reference is a checkout of https://github.com/rulixiang/afa. Its layer of mmcv, a convolution with a batch
norm over all processes, is replaced by torch's own. Both start from the same weights and the same batch, each in a
process of its own, and drop nothing. The cases have the crop and the batch of the other benchmarks, with MiT-B0
("micro") and MiT-B1. In the first phase the released code multiplies all terms but L_cls by 0; in the last one CAMs are
propagated.
"""

from __future__ import annotations

import peers
from released_afa import SCRIPT
from workers import Worker


class AFA(peers.Peer):
    """AFA, whose labels are compared too."""

    def before(self, ours: Worker, released: Worker) -> list[str]:
        """Compare the labels of CAMs and of propagated CAMs, pixel by pixel; what differs."""
        t, wrong = self.phases[-1][1], []
        released("step", t=t)
        pairs = zip(("CAM", "propagated CAM"), ours("labels", t), released("labels"), strict=True)
        for which, mine, theirs in pairs:
            apart, foreground = int((mine != theirs).sum()), int(((theirs > 0) & (theirs < 255)).sum())
            background = int((theirs == 0).sum())
            print(
                f"labels of the {which}: {apart} of {theirs.size} pixels differ, {foreground} are foreground, "
                f"{background} background"
            )
            wrong += [f"labels of the {which}"] * (apart > 0)
        return wrong


PEER = AFA(
    doc=__doc__,
    script=SCRIPT,
    ours="ours_afa:OursAFA",
    released="released_afa:ReleasedAFA",
    students=1,
    phases=(("first", 1000), ("last", 10000)),
    late=("L_seg", "L_aff"),
    time=0.85,
    maps=("scores", "logits", "CAM"),
    backbones={"micro": "mit_b0", "tiny": "mit_b1", "vitb": "mit_b1"},
)

if __name__ == "__main__":
    peers.run(PEER)
