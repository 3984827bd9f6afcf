"""The columns of Table 4: CAM and segmentation by the evaluation during training, the better student of each."""

seeds = [0, 1, 2]
columns = dict(
    M=dict(label="M", metric="cam/best/mIoU", protocol="train"),
    Seg=dict(label="Seg.", metric="seg/best/mIoU", protocol="train"),
)
