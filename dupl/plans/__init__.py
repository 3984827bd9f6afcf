"""What is declared: plans of ablation tables, sweeps and their search spaces. Imports no torch."""
