"""The rows of Table 5a: the final value of tau_h."""

_base_ = ["columns.py"]

vary = dict(label="tau_h(T)", paths=["model.threshold.final"], values=[0.65, 0.6, 0.55, 0.5])
