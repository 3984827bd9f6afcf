"""MLflow in addition to a run's files. A recipe names this file in its _base_ instead of runtime.py, which it extends.

    pip install ".[mlflow]"
    export MLFLOW_TRACKING_URI=sqlite:///mlflow.db      # or of a server; without it, each run keeps its own in logs/
    mlflow ui --backend-store-uri sqlite:///mlflow.db

The variable may also name a server.
"""

_base_ = ["../runtime.py"]

runtime = dict(vis_backends=[dict(type="MLflowVisBackend", exp_name="dupl")])
