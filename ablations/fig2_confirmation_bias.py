"""Fig. 2: wrong pseudo-labels confirm themselves in the baseline; two students kept apart correct each other.

The figure shows the baseline over its iterations under a low fixed threshold, tau_h = 0.5. This plan adds the baseline
    with DS and L_dis. The result is the curve of CAM mIoU and over-activation over the evaluations; the table has the
    last one.
Protocol: the evaluation during training (448 x 448, squashed, no CRF), every 2,000 iterations.
Cost: 2 runs of 20k iterations with one seed: those of fig7a_overactivation, trained once for both.

    dupl ablate fig2_confirmation_bias
"""

_base_ = ["fig7a_overactivation.py"]
