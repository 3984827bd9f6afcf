"""Figures as matplotlib files and as plotly charts."""
