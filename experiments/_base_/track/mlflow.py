"""MLflow beside a run's files. A recipe names this in its _base_ instead of runtime.py, which it extends.

    pip install ".[mlflow]"
    mlflow ui --backend-store-uri sqlite:///mlflow.db

The database lies in the current folder; a server's address goes in its place.
"""

_base_ = ["../runtime.py"]

runtime = dict(vis_backends=[dict(type="MLflowVisBackend", exp_name="dupl", tracking_uri="sqlite:///mlflow.db")])
