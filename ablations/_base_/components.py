"""The five components of the method. A component that is off is replaced by its null partner."""

factors = dict(
    DS=dict(label="DS", without={"model.students": dict(type="SingleStudent")}),
    L_dis=dict(label="L_dis", needs=["DS"], without={"model.discrepancy": dict(type="NoDiscrepancy")}),
    DTA=dict(label="DTA", without={"model.threshold": dict(type="FixedThreshold", value=0.7)}),  # tau_h(0)
    ANF=dict(label="ANF", without={"model.noise_filter": dict(type="TrustAll")}),
    L_reg=dict(label="L_reg", without={"model.consistency": dict(type="NoConsistency")}),
)
