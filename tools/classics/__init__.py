"""Real models of the classics of statistics and forecasting, for learning what honest pickles carry.

Owns the learning sets of statsmodels, arch, scipy, hmmlearn, imbalanced-learn, quantile-forest, mapie,
category_encoders, ngboost, prophet and skforecast. `tools/real_models.py` has those of the other frameworks, and says
what such a set is for. Each model is made by a function of its own, so that one that the installed version does not
have leaves the others alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .arch_models import arch_models
from .common import Model
from .estimators import (
    category_encoders_models,
    hmmlearn_models,
    imblearn_models,
    mapie_models,
    ngboost_models,
    quantile_forest_models,
)
from .forecasters import prophet_models, skforecast_models
from .scipy_models import scipy_models
from .statsmodels_models import statsmodels_models

__all__ = ["CLASSICS"]

CLASSICS: dict[str, Callable[[], Iterator[Model]]] = {
    "statsmodels": statsmodels_models,
    "arch": arch_models,
    "scipy": scipy_models,
    "hmmlearn": hmmlearn_models,
    "imbalanced-learn": imblearn_models,
    "quantile-forest": quantile_forest_models,
    "mapie": mapie_models,
    "category-encoders": category_encoders_models,
    "ngboost": ngboost_models,
    "prophet": prophet_models,
    "skforecast": skforecast_models,
}
