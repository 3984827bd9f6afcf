"""What experiment trackers are told of a run. Imports no torch."""
