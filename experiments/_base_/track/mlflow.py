"""MLflow in addition to a run's files. A recipe names this file in its _base_ instead of runtime.py, which it extends.

    pip install ".[mlflow]"
    mlflow ui --backend-store-uri sqlite:///mlflow.db

The database is in the current folder; the address of a server may replace it.
"""

_base_ = ["../runtime.py"]

runtime = dict(vis_backends=[dict(type="MLflowVisBackend", exp_name="dupl", tracking_uri="sqlite:///mlflow.db")])
