"""TensorBoard in addition to a run's files. A recipe names this file in its _base_ instead of runtime.py.

It extends runtime.py.

    pip install ".[tensorboard]"
    tensorboard --logdir runs
"""

_base_ = ["../runtime.py"]

runtime = dict(vis_backends=[dict(type="TensorboardVisBackend")])
