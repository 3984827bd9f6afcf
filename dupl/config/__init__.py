"""Recipes: how they are found, read, checked against the schema, changed by overrides, and identified."""
