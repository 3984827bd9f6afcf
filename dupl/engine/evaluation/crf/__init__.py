"""The dense CRF and its two backends."""
