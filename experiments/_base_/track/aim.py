"""Aim in addition to a run's files. A recipe names this file in its _base_ instead of runtime.py, which it extends.

    pip install ".[aim]"
    export AIM_REPO=$PWD                  # one repository for all runs; without it, each run keeps its own in logs/
    aim up

The repository holds the runs of all folders, where the variable names one.
"""

_base_ = ["../runtime.py"]

runtime = dict(vis_backends=[dict(type="AimVisBackend", experiment="dupl")])
