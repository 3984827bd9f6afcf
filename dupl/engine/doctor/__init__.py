"""Checking what a machine lacks for training a recipe."""
