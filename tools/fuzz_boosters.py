"""Changes numbers in real models of LightGBM, XGBoost and CatBoost, and uses what the checks of trees still accept.

    python tools/fuzz_boosters.py [--seconds 600] [--seed 1]

Each accepted model is loaded by its library in a child, predicts, explains its predictions and is saved again. A child
that is killed by a signal, by its limits of time and memory among them, is a finding: it is written to
fuzz-booster-<seed>-<number> here, and makes the exit status 1. An error that the library raises is none.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import struct
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

# A child that is forked from a process with threads of its own waits for them for ever.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
sys.path.insert(0, str(Path(__file__).parents[1] / "daemon"))

import catboost
import lightgbm
import numpy as np
import pandas as pd
import xgboost
from children import dies_of

from model_inbox.pickles.trees import NotATree, check_catboost, check_lightgbm, check_xgboost

COLUMNS_MAX = 5000
RANDOM = np.random.default_rng(0)
DATA = RANDOM.normal(size=(1000, 6))
TARGET = DATA[:, 0] + RANDOM.normal(size=1000)
CLASSES = RANDOM.integers(0, 3, 1000)
FRAME = pd.DataFrame(DATA, columns=list("abcdef")).assign(
    g=pd.Categorical(RANDOM.choice(list("uvwxyz"), 1000)), h=pd.Categorical(RANDOM.integers(0, 50, 1000))
)
TEXTS = FRAME.assign(g=FRAME["g"].astype(str), h=FRAME["h"].astype(str))
WORDS = FRAME[["a"]].assign(
    t=[" ".join(words) for words in RANDOM.choice(["up", "down", "flat", "fast", "slow", "big"], (1000, 5))],
    v=[list(row) for row in DATA[:, :4]],
)
NUMBERS = (-1, 0, 1, 2, 30, 31, 32, 99_999_999, -99_999_999, 2**31 - 1, -(2**31))


# --- LightGBM ------------------------------------------------------------------------------------------------


def lightgbm_models() -> list[str]:
    """Return boosters by number, by category, linear, of several classes, and of a single leaf."""
    coded = FRAME.assign(g=FRAME["g"].cat.codes, h=FRAME["h"].cat.codes)
    found = [
        lightgbm.train({"verbose": -1, **params}, lightgbm.Dataset(coded, TARGET, categorical_feature=columns), 3)
        for params, columns in (
            ({}, []),
            ({}, ["g", "h"]),
            ({"linear_tree": True}, []),
            ({"boosting": "dart"}, []),
            ({"min_data_in_leaf": 5000}, []),
        )
    ]
    several = {"verbose": -1, "objective": "multiclass", "num_class": 3}
    found.append(lightgbm.train(several, lightgbm.Dataset(DATA, CLASSES), 2))
    return [booster.model_to_string() for booster in found]


def change_text(choice: random.Random, text: str) -> str:
    """Change, remove or repeat numbers and lines."""
    lines = text.split("\n")
    for _ in range(choice.choice((1, 1, 2, 3))):
        place = choice.choice([place for place, line in enumerate(lines) if "=" in line or line.startswith("[")])
        line, way = lines[place], choice.random()
        found = list(re.finditer(r"-?\d+(\.\d+)?", line))
        if way < 0.7 and found:
            number = choice.choice(found)
            other = choice.choice((*map(str, NUMBERS), "1e9", "nan", "", str(choice.randrange(-64, 64))))
            lines[place] = line[: number.start()] + other + line[number.end() :]
        elif way < 0.8:
            lines[place] = line.split("=")[0] + "="
        elif way < 0.9:
            del lines[place]
        else:
            lines.insert(choice.randrange(len(lines)), line)
    if choice.random() < 0.5:
        lines = _with_sizes(lines)
    return "\n".join(lines)


def _with_sizes(lines: list[str]) -> list[str]:
    """Return the lines with a table of sizes that fits the changed trees: it would hide other faults."""
    starts = [place for place, line in enumerate(lines) if line.startswith("Tree=")]
    if not starts:
        return lines
    end = next((place for place in range(starts[-1], len(lines)) if lines[place] == "end of trees"), len(lines))
    bounds = [*starts, end]
    sizes = " ".join(
        str(sum(len(line.encode()) + 1 for line in lines[begin:after])) for begin, after in pairwise(bounds)
    )
    return [f"tree_sizes={sizes}" if line.startswith("tree_sizes=") else line for line in lines]


def use_lightgbm(text: str) -> None:
    """Load, predict in every way, and save."""
    booster = lightgbm.Booster(model_str=text)
    columns = min(booster.num_feature(), COLUMNS_MAX)
    data = np.resize(FRAME[list("abcdef")].to_numpy(), (64, columns))
    data[:, -2:] = np.arange(64)[:, None] % 40
    for more in ({}, {"pred_leaf": True}, {"pred_contrib": True}):
        booster.predict(data, num_threads=1, **more)
    booster.feature_importance()
    booster.model_to_string()


# --- XGBoost -------------------------------------------------------------------------------------------------


def xgboost_models() -> list[bytes]:
    """Return boosters of every kind, with categories, pruned trees, several outputs and classes."""
    plain, frame = xgboost.DMatrix(DATA, TARGET), xgboost.DMatrix(FRAME, TARGET, enable_categorical=True)
    several = xgboost.DMatrix(DATA, np.c_[TARGET, TARGET, TARGET])
    found = [
        xgboost.train({"max_depth": 4, "verbosity": 0, **params}, data, 3)
        for params, data in (
            ({}, plain),
            ({"tree_method": "hist"}, frame),
            ({"tree_method": "hist", "max_cat_to_onehot": 100}, frame),
            ({"tree_method": "hist", "gamma": 30}, frame),
            ({"tree_method": "exact", "gamma": 30}, plain),
            ({"booster": "dart"}, plain),
            ({"booster": "gblinear"}, plain),
            ({"objective": "multi:softprob", "num_class": 3}, xgboost.DMatrix(DATA, CLASSES)),
            ({}, several),
            ({"multi_strategy": "multi_output_tree", "tree_method": "hist"}, several),
        )
    ]
    return [bytes(booster.__getstate__()["handle"]) for booster in found]


def change_bytes(choice: random.Random, data: bytes) -> bytes:
    """Change numbers of four bytes, in both byte orders, and single bytes."""
    changed = bytearray(data)
    for _ in range(choice.choice((1, 1, 2, 3))):
        place = choice.randrange(len(changed))
        if choice.random() < 0.6:
            number = choice.choice((*NUMBERS, choice.randrange(300)))
            changed[place : place + 4] = struct.pack(choice.choice("<>") + "i", number)
        else:
            changed[place] = choice.choice((0, 1, 0xFF, 0x7F, 0x30, 0x39, choice.randrange(256)))
    return bytes(changed[: len(data)])


def use_xgboost(data: bytes) -> None:
    """Load, predict in every way, and save."""
    booster = xgboost.Booster()
    booster.__setstate__({"handle": bytearray(data)})
    booster.set_param({"nthread": 1})
    columns, names, kinds = booster.num_features(), booster.feature_names, booster.feature_types
    if columns > COLUMNS_MAX:
        return
    values = np.resize(DATA, (64, columns))
    for place, kind in enumerate(kinds or ()):
        if kind == "c":
            values[:, place] = np.arange(64) % 6
    matrix = xgboost.DMatrix(values, feature_names=names, feature_types=kinds, enable_categorical=True)
    for more in ({}, {"pred_leaf": True}, {"pred_contribs": True}):
        try:
            booster.predict(matrix, **more)
        except xgboost.core.XGBoostError:
            # Not every kind of booster can do all of them.
            continue
    booster.get_dump()
    booster.save_raw()
    booster.inplace_predict(values)


# --- CatBoost ------------------------------------------------------------------------------------------------


def catboost_models() -> list[bytes]:
    """Return symmetric and other trees, with categories, several classes, texts and embeddings."""
    common = {"iterations": 10, "verbose": 0, "thread_count": 1, "allow_writing_files": False}
    by_category = {"cat_features": ["g", "h"]}
    found = [
        catboost.CatBoostRegressor(depth=4, **common).fit(DATA, TARGET),
        catboost.CatBoostRegressor(depth=4, **common).fit(TEXTS, TARGET, **by_category),
        catboost.CatBoostRegressor(depth=4, one_hot_max_size=60, **common).fit(TEXTS, TARGET, **by_category),
        catboost.CatBoostRegressor(grow_policy="Lossguide", **common).fit(TEXTS, TARGET, **by_category),
        catboost.CatBoostClassifier(grow_policy="Depthwise", depth=4, **common).fit(DATA, CLASSES),
        catboost.CatBoostClassifier(depth=4, **common).fit(DATA, CLASSES),
        catboost.CatBoostClassifier(depth=4, **common).fit(WORDS[["a", "t"]], CLASSES, text_features=["t"]),
        catboost.CatBoostRegressor(depth=4, **common).fit(WORDS[["a", "v"]], TARGET, embedding_features=["v"]),
        catboost.CatBoostClassifier(depth=3, **common).fit(
            WORDS.head(100), CLASSES[:100], text_features=["t"], embedding_features=["v"]
        ),
    ]
    return [model.__getstate__()["__model"] for model in found]


def use_catboost(data: bytes) -> None:
    """Load, and predict in every way."""
    model = catboost.CatBoost()
    model.__setstate__({"__model": data})
    kinds = {
        **dict.fromkeys(model.get_cat_feature_indices(), TEXTS["g"]),
        **dict.fromkeys(model.get_text_feature_indices(), WORDS["t"]),
        **dict.fromkeys(model.get_embedding_feature_indices(), WORDS["v"]),
    }
    # CatBoost compares the names, and stops at others.
    names = model.feature_names_[:COLUMNS_MAX]
    frame = pd.concat({name: kinds.get(place, TEXTS["a"]).head(64) for place, name in enumerate(names)}, axis=1)
    model.predict(frame, thread_count=1)
    model.calc_leaf_indexes(frame, thread_count=1)
    model.get_feature_importance()


# --- the run -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Booster:
    """How models of a library are made, changed, checked and used."""

    models: list[Any]
    change: Callable[[random.Random, Any], Any]
    check: Callable[[Any], None]
    use: Callable[[Any], None]


def main() -> int:
    """Run until the time is over, and return 1 if a model ended its child."""
    parser = argparse.ArgumentParser(description="Change numbers in real boosters, and use what is still accepted.")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    boosters = {
        "lightgbm": Booster(lightgbm_models(), change_text, check_lightgbm, use_lightgbm),
        "xgboost": Booster(xgboost_models(), change_bytes, check_xgboost, use_xgboost),
        "catboost": Booster(catboost_models(), change_bytes, check_catboost, use_catboost),
    }
    choice = random.Random(arguments.seed)
    counts: Counter[str] = Counter()
    end = time.monotonic() + arguments.seconds
    while time.monotonic() < end:
        name = choice.choice(sorted(boosters))
        booster = boosters[name]
        model = booster.change(choice, choice.choice(booster.models))
        counts[f"{name} changed"] += 1
        try:
            booster.check(model)
        except NotATree:
            continue
        counts[f"{name} accepted"] += 1
        cause = dies_of(booster.use, model)
        if cause:
            path = Path(f"fuzz-booster-{arguments.seed}-{sum(counts.values())}")
            path.write_bytes(model.encode() if isinstance(model, str) else model)
            counts["findings"] += 1
            print(f"{path}: a model of {name} that is accepted ends its process: {cause}", flush=True)
    print(", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
    return 1 if counts["findings"] else 0


if __name__ == "__main__":
    sys.exit(main())
