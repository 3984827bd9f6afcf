"""The rows of Table 4: each adds one component."""

_base_ = ["columns.py", "components.py"]

rows = dict(
    baseline=dict(has=[]),
    DS=dict(has=["DS"]),
    L_dis=dict(has=["DS", "L_dis"]),
    DTA=dict(has=["DS", "L_dis", "DTA"]),
    ANF=dict(has=["DS", "L_dis", "DTA", "ANF"]),
    L_reg=dict(has=["DS", "L_dis", "DTA", "ANF", "L_reg"]),
)
