"""Training, evaluation and inference on the mmengine Runner."""
