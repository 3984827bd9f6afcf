"""Runs as plain files: overrides, fingerprints, run folders. Imports no torch."""
