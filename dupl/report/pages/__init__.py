"""Self-contained HTML pages of runs, plans and sweeps."""
