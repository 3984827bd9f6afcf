"""Training on the mmengine Runner."""
