"""float32 and bfloat16 in pairs of equal seeds."""

seeds = [0, 1, 2, 3, 4]
rows = dict(
    float32=dict(label="float32"),
    bfloat16=dict(label="bfloat16", set={"runtime.precision": "bf16"}),
)
compare = "float32"
reference = "The paper has no such table."
