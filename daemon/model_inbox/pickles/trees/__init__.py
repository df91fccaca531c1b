"""The structure of the trees in a model: whether each of them is a tree, with every index inside its table. Pure.

Owns the readers of the formats that boosters are pickled in (LightGBM's text, XGBoost's UBJSON, CatBoost's
flatbuffers) and of the node arrays of scikit-learn, and what each of their libraries trusts without a check: children,
features, categories and counts. With a wrong one, a library reads outside of its arrays or walks in a circle for ever.
Never loads a model, never imports a framework, and does not know how a model is pickled: `rules` passes its parts in.

Each check raises `NotATree`, which says what was found and where; `Unchecked` for parts of a model that none reads.
"""

from __future__ import annotations

from .catboost_model import check_catboost
from .fault import NotATree, Unchecked
from .lightgbm_text import check_lightgbm
from .nodes import NodeTable, check_hist_nodes, check_neighbor_nodes, check_sklearn_nodes
from .xgboost_model import check_xgboost

__all__ = [
    "NodeTable",
    "NotATree",
    "Unchecked",
    "check_catboost",
    "check_hist_nodes",
    "check_lightgbm",
    "check_neighbor_nodes",
    "check_sklearn_nodes",
    "check_xgboost",
]
