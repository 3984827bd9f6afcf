"""The run folder: its layout, status, evaluations, metrics, store and lock. Imports no torch."""
