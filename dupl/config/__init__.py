"""Recipes: finding, reading, changing and digesting them. Imports no torch."""
