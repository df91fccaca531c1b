"""Makes the small real model files that the main test suite scans, where no framework is installed.

For maintainers, run in an environment that has the frameworks:

    python tools/make_pickle_fixtures.py

writes tests/data/pickles/ again: the files, and manifest.json with the versions that wrote them and what a scan is
to say of each. Files of other versions can be kept beside them under other names.
"""

from __future__ import annotations

import io
import json
import pickle
import platform
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "tests" / "data" / "pickles"
PACKAGES = ("numpy", "scikit-learn", "lightgbm", "xgboost", "catboost", "pandas", "joblib", "torch", "cloudpickle")


def files() -> Iterator[tuple[str, str, list[str], bytes]]:
    """Yield (file name, kind, frameworks, bytes)."""
    import catboost
    import cloudpickle
    import joblib
    import lightgbm
    import numpy as np
    import pandas as pd
    import torch
    import xgboost
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeRegressor

    random = np.random.default_rng(3)
    x = random.normal(size=(24, 3))
    y = x @ np.array([1.0, -1.0, 0.5])

    def joblibbed(value: Any, compress: Any) -> bytes:
        file = io.BytesIO()
        joblib.dump(value, file, compress=compress)
        return file.getvalue()

    def torched(value: Any, *, zipped: bool) -> bytes:
        file = io.BytesIO()
        torch.save(value, file, _use_new_zipfile_serialization=zipped)
        return file.getvalue()

    sklearn, numpy = "scikit-learn", "numpy"
    scaler = StandardScaler().fit(x)
    for protocol in (0, 2, 5):
        yield f"scaler-protocol{protocol}.pkl", "plain", [numpy, sklearn], pickle.dumps(scaler, protocol)
    tree = DecisionTreeRegressor(max_depth=2).fit(x, y)
    yield "tree.pkl", "plain", [numpy, sklearn], pickle.dumps(tree)
    pipeline = make_pipeline(StandardScaler(), Ridge()).fit(x, y)
    yield "pipeline.joblib", "joblib", ["joblib", numpy, sklearn], joblibbed(pipeline, 0)
    yield "pipeline-zlib.joblib", "zlib+joblib", ["joblib", numpy, sklearn], joblibbed(pipeline, 3)
    yield "pipeline-xz.joblib", "xz+joblib", ["joblib", numpy, sklearn], joblibbed(pipeline, ("xz", 3))
    objects = {"names": np.array(["a", None, 3], dtype=object), "x": np.asfortranarray(x)}
    yield "objects.joblib", "joblib", ["joblib", numpy], joblibbed(objects, 0)
    options: dict[str, Any] = {"n_estimators": 2, "num_leaves": 3, "min_child_samples": 2, "verbose": -1}
    regressor = lightgbm.LGBMRegressor(**options).fit(x, y)
    yield "lightgbm.pkl", "plain", ["lightgbm"], cloudpickle.dumps(regressor)
    booster = xgboost.XGBRegressor(n_estimators=1, max_depth=1).fit(x, y)
    yield "xgboost.pkl", "plain", ["xgboost"], pickle.dumps(booster)
    cat = catboost.CatBoostRegressor(iterations=1, depth=1, verbose=False, allow_writing_files=False).fit(x, y)
    yield "catboost.pkl", "plain", ["catboost"], pickle.dumps(cat)
    frame = pd.DataFrame({"a": x[:3, 0], "t": pd.date_range("2026-01-01", periods=3), "s": ["x", "y", "z"]})
    yield "frame.pkl", "plain", [numpy, "pandas"], pickle.dumps(frame)
    module = torch.nn.LSTM(2, 2)
    yield "state.pt", "torch-zip", ["torch"], torched(module.state_dict(), zipped=True)
    yield "module.pt", "torch-zip", ["torch"], torched(module, zipped=True)
    yield "module-legacy.pt", "torch-legacy", ["torch"], torched(module, zipped=False)
    yield "tensor.pkl", "plain", ["torch"], pickle.dumps(torch.arange(4.0))


def main() -> int:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    expected = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, kind, frameworks, data in files():
            (FOLDER / name).write_bytes(data)
            expected[name] = {"kind": kind, "frameworks": frameworks}
    made_with = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    manifest = {"made_by": "tools/make_pickle_fixtures.py", "made_with": made_with, "files": expected}
    (FOLDER / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
