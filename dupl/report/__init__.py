"""From run files to tables and pictures. Imports no torch."""
