"""Aim in addition to a run's files. A recipe names this file in its _base_ instead of runtime.py, which it extends.

    pip install ".[aim]"
    aim init && aim up

The repository .aim is in the current folder.
"""

_base_ = ["../runtime.py"]

runtime = dict(vis_backends=[dict(type="AimVisBackend", init_kwargs=dict(experiment="dupl", log_system_params=False))])
