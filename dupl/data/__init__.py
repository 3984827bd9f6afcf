"""Data sets with image-level tags, their views for training and evaluation, and their checks."""
