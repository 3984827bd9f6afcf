"""The rows of Table 6: what keeps the two students apart."""

_base_ = ["columns.py"]

factors = dict(
    Diff_Aug=dict(label="Diff. Aug", with_={"model.own_view": dict(type="OwnView")}),
    L_dis=dict(label="L_dis", without={"model.discrepancy": dict(type="NoDiscrepancy")}),
)
rows = dict(
    none=dict(label="None", has=[]),
    Diff_Aug=dict(label="Diff. Aug", has=["Diff_Aug"]),
    L_dis=dict(label="L_dis", has=["L_dis"]),
    both=dict(label="Diff. Aug + L_dis", has=["Diff_Aug", "L_dis"]),
)
compare = "none"
