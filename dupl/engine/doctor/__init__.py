"""What a machine lacks for training a recipe."""
