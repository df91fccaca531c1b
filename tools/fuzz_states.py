"""Changes one array or number in real models, and uses what is still accepted, for as long as wanted.

    python tools/fuzz_states.py [--seconds 600] [--seed 1] [--only TEXT]

A compiled library trusts the arrays of its own objects: their lengths, dtypes, and the places that stand in them. So a
model is saved with one array cut, repeated, flattened, of another dtype, or with another number in it, or with another
number among the attributes of one object. An accepted file must be loaded and asked without ending its process, in
`CPU_SECONDS` and `MEMORY`. Any Python error will do. Findings are written to fuzz-state-<seed>-<number>.pkl here, and
make the exit status 1.
"""

from __future__ import annotations

import argparse
import io
import os
import pickle
import random
import sys
import time
import types
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# A child that is forked from a process with threads of its own waits for them for ever.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / part) for part in ("daemon", "tests", "tests/frameworks", "tools")]

import numpy as np  # noqa: E402 - found by the line above
from children import CPU_SECONDS, dies_of  # noqa: E402 - as above

from model_inbox.pickles import Allowlist, scan_bytes  # noqa: E402 - as above

SECONDS = CPU_SECONDS + 2
FILE_BYTES_MAX = 4_000_000
_INTEGERS = (2**40, -(2**40), 10**6, 1000, 7, 1, 0, -1, -7)
_FLOATS = (float("nan"), float("inf"), 1e308, -1.0, 0.0)

Model = tuple[str, Any, Callable[[Any], Any]]


def real_models() -> Iterator[Model]:
    """Yield each held-out model with what it is asked."""
    import every_estimator
    import held_out_classics
    import held_out_models

    for framework in ("sklearn", "lightgbm", "xgboost", "catboost"):
        for label, model, ask in getattr(held_out_models, f"{framework}_models")():
            yield f"{framework}: {label}", model, ask
    for name in every_estimator.names():
        found = every_estimator.fitted(name)
        if found is not None:
            yield f"sklearn: {name}", *found
    for library, label, make, ask in held_out_classics.cases():
        try:
            yield f"{library}: {label}", make(), ask
        except Exception as error:  # noqa: BLE001 - one model that cannot be made here costs only itself
            print(f"{library}: {label} cannot be made: {error!r}", file=sys.stderr)


class _Pickler(pickle.Pickler):
    """Notes the objects that are reduced, and reduces the one at `place` to what `change` makes of it."""

    def __init__(self, file: io.BytesIO, place: int, change: Callable[[Any], Any]) -> None:
        super().__init__(file, 4)
        self.count = 0
        self._place, self._change = place, change

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, (type, types.FunctionType, types.BuiltinFunctionType)):
            return NotImplemented
        place, self.count = self.count, self.count + 1
        return self._change(obj) if place == self._place else NotImplemented


def saved(model: Any, place: int = -1, change: Callable[[Any], Any] = id) -> tuple[bytes, int]:
    """Return the pickle of a model with the object at `place` changed, and how many objects it has."""
    file = io.BytesIO()
    pickler = _Pickler(file, place, change)
    pickler.dump(model)
    return file.getvalue(), pickler.count


def changed_array(choice: random.Random, array: Any) -> Any:
    """Return an array like this one that differs in shape, order, dtype or one number."""
    way = choice.randrange(8)
    if array.dtype.kind not in "biufc" or way == 0:
        cut = tuple(slice(0, max(0, length - choice.randrange(3))) for length in array.shape)
        return array[cut].copy() if array.ndim else array
    if way == 1:
        return array.reshape(-1)
    if way == 2:
        return np.resize(array, tuple(length + choice.randrange(3) for length in array.shape))
    if way == 3:
        return array.astype(choice.choice(("f4", "f8", "i4", "i8", "u1", "c16")))
    if way == 4:
        return np.asfortranarray(array)
    if way == 5:
        return array[..., None] if choice.random() < 0.5 else array[None]
    flat = array.reshape(-1).copy()
    if flat.size:
        numbers = _FLOATS if array.dtype.kind in "fc" else _INTEGERS
        places = slice(None) if way == 6 else choice.randrange(flat.size)
        flat[places] = np.array(choice.choice(numbers)).astype(flat.dtype)
    return flat.reshape(array.shape)


def _changed_value(choice: random.Random, value: Any, depth: int = 0) -> Any:
    """Return another value for an attribute; the same where there is nothing to change."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return choice.choice((*_INTEGERS, value + 1, value - 1))
    if isinstance(value, float):
        return choice.choice(_FLOATS)
    if type(value) in (tuple, list) and value and depth < 3:
        items = list(value)
        place = choice.randrange(len(items))
        items[place] = _changed_value(choice, items[place], depth + 1)
        return type(value)(items)
    if isinstance(value, np.ndarray):
        return changed_array(choice, value)
    return value


def _changed_state(choice: random.Random, state: Any) -> Any:
    if isinstance(state, dict) and state:
        state = dict(state)
        name = choice.choice(list(state))
        state[name] = _changed_value(choice, state[name])
    elif type(state) is tuple and state:
        place = choice.randrange(len(state))
        item = state[place]
        item = _changed_state(choice, item) if isinstance(item, (dict, tuple)) else _changed_value(choice, item)
        state = (*state[:place], item, *state[place + 1 :])
    return state


def changed_object(choice: random.Random, obj: Any) -> Any:
    """Return the reduction of an object with one attribute changed, or of an array that was changed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if type(obj) is np.ndarray:
            return changed_array(choice, obj).__reduce_ex__(4)
        reduced = obj.__reduce_ex__(4)
        if type(reduced) is not tuple or len(reduced) < 3:
            return reduced
        return (*reduced[:2], _changed_state(choice, reduced[2]), *reduced[3:])


def main() -> int:
    """Run until the time is over, and return 1 if a model ended its child."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="only models whose name has this text")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    allowlist = Allowlist.load()
    choice = random.Random(arguments.seed)
    models = []
    for name, model, ask in real_models():
        try:
            data, count = saved(model)
        except Exception:  # noqa: BLE001 - a model that cannot be pickled is not one of ours
            continue
        if arguments.only in name and len(data) <= FILE_BYTES_MAX and not scan_bytes(data, allowlist).problems:
            models.append((name, model, count, ask))
    print(f"{len(models)} models", flush=True)
    counts: Counter[str] = Counter()
    end = time.monotonic() + arguments.seconds
    while time.monotonic() < end:
        name, model, count, ask = choice.choice(models)
        place = choice.randrange(max(1, count))
        try:
            data, _ = saved(model, place, lambda obj: changed_object(choice, obj))
        except Exception:  # noqa: BLE001 - a change that cannot be pickled
            counts["not saved"] += 1
            continue
        counts["changed"] += 1
        if scan_bytes(data, allowlist).problems:
            continue
        counts["accepted"] += 1
        cause = dies_of(lambda file, ask=ask: ask(pickle.loads(file)), data, SECONDS)
        if cause in ("SIGALRM", "memory"):
            # It waits for threads of the parent's OpenMP, which a fork does not have: work ends with SIGXCPU. Or its
            # answer is too large, as a polynomial of degree 1,000 has it: an error of Python, while it is used.
            counts[cause] += 1
        elif cause:
            counts["findings"] += 1
            path = Path(f"fuzz-state-{arguments.seed}-{counts['findings']}.pkl")
            path.write_bytes(data)
            print(f"{path}: {name}, object {place} changed, is accepted and ends its process: {cause}", flush=True)
    print(", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
    return 1 if counts["findings"] else 0


if __name__ == "__main__":
    sys.exit(main())
