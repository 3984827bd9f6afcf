"""Run the jobs of plans and sweeps on this machine, on Ray or on Slurm. Imports no torch."""
