"""Evaluation of checkpoints by stated protocols."""
