"""Runs a plan's jobs on this machine, on Ray or on Slurm: no run twice, none lost. Imports no torch."""
