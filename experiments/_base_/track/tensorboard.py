"""TensorBoard beside a run's files. A recipe names this in its _base_ instead of runtime.py, which it extends.

pip install ".[tensorboard]"
tensorboard --logdir runs
"""

_base_ = ["../runtime.py"]

runtime = dict(vis_backends=[dict(type="TensorboardVisBackend")])
