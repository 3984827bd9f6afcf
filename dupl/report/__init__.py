"""Reports: tables, figures and pages from the files of runs, plans and sweeps. Imports no torch."""
