"""Values beside models that the lists were not learned from: frames, indexes, dates, arrays, Python's own values.

Owns the values of `test_real_values`, by framework. Shares no code with the maintainers' learning set on purpose. Each
is a dictionary or a list of several, so that one file has many kinds.
"""

from __future__ import annotations

import array
import contextlib
import datetime as dt
import decimal
import fractions
import functools
import http
import ipaddress
import itertools
import math
import operator
import pathlib
import re
import tempfile
import uuid
import warnings
import zoneinfo
from collections import ChainMap, Counter, OrderedDict, UserDict, defaultdict, deque
from collections.abc import Iterator
from typing import Any

import dateutil.tz
import numpy as np
import pandas as pd
from held_out_models import FRAME, LABELS, PRICES
from pandas.tseries.holiday import Holiday, nearest_workday

Held = tuple[str, str, Any]
"""A framework, a label and a value."""

START = "2025-10-26 00:30"
"""The night of a change of the clocks."""


def zones() -> Iterator[Any]:
    """Time zones of each library that is installed."""
    yield from (zoneinfo.ZoneInfo("America/Argentina/Ushuaia"), zoneinfo.ZoneInfo("Etc/GMT+3"), dt.UTC)
    yield from (dt.timezone(dt.timedelta(hours=-3, minutes=-30)), "Europe/Vienna", "UTC")
    yield from (dateutil.tz.gettz("Pacific/Auckland"), dateutil.tz.UTC, dateutil.tz.tzoffset(None, -7200))
    with contextlib.suppress(ImportError):
        import pytz

        yield from (pytz.timezone("Africa/Cairo"), pytz.UTC, pytz.FixedOffset(-210), pytz.timezone("US/Pacific"))


def python_values() -> Iterator[Held]:
    """Settings, features and bookkeeping of training jobs."""
    when = dt.datetime(2025, 10, 26, 2, 30, fold=1, tzinfo=dt.UTC).replace(tzinfo=None)
    values: dict[str, Any] = {
        "decimals": [decimal.Decimal("-0.00"), decimal.Decimal("1e-30"), decimal.Decimal("NaN")],
        "fractions": {fractions.Fraction(-7, 3): 1},
        "uuids": {uuid.uuid5(uuid.NAMESPACE_URL, "a"): 1, "random": uuid.uuid4()},
        "paths": [pathlib.Path("models") / "a.pkl", pathlib.PurePosixPath("/"), pathlib.Path.cwd()],
        "counters": [Counter(LABELS.tolist()), OrderedDict(b=1, a=2), deque(range(9), maxlen=4), deque()],
        "defaults": [defaultdict(list, {1: [2]}), defaultdict(OrderedDict), defaultdict(None, a=1)],
        "chains": [ChainMap({"a": 1}, {"b": 2}), UserDict({"a": 1})],
        "sets": [{1, 2}, frozenset("ab"), {frozenset({1}): (1, 2)}, {(dt.date(2025, 1, 1), None)}],
        "ranges": [range(10, 0, -3), slice(None, None, -1), slice("a", "b"), Ellipsis, NotImplemented],
        "complex": [1j, complex("inf"), -0.0, 2**100, -(2**70), True, None, b"\x00\xff", bytearray(b"x"), ""],
        "types": [int, float, str, dict, list, tuple, set, frozenset, bytes, bytearray, object, slice, range, bool],
        "dates": [when, when.date(), when.time(), dt.timedelta(days=-1, microseconds=3), dt.date.max],
        "patterns": [re.compile(r"(?P<pair>[A-Z]{6})_(\d+)", re.VERBOSE), re.compile(rb"\x00+"), re.DOTALL | re.ASCII],
        "partials": [
            functools.partial(int, base=16),
            functools.partial(np.quantile, q=0.9, axis=0),
            functools.partial(functools.partial(max, default=0)),
            functools.partial(dict, a=1),
        ],
        "functions": [
            len,
            sum,
            abs,
            math.log,
            math.hypot,
            operator.add,
            operator.itemgetter(0, 2),
            str.upper,
            str.split,
        ],
        "errors": [ValueError, IndexError("a", 1), RuntimeWarning, ZeroDivisionError()],
        "others": [
            http.HTTPStatus.NOT_FOUND,
            ipaddress.ip_network("10.0.0.0/8"),
            ipaddress.ip_address("fe80::1"),
            array.array("i", [1, -2]),
            array.array("d"),
            array.array("B", b"ab"),
        ],
    }
    for label, value in values.items():
        yield "Python", label, value
    yield "Python", "all together", values
    for zone in zones():
        if not isinstance(zone, str):
            yield "Python", f"zone {zone}", {"zone": zone, "at": when.replace(tzinfo=zone), "time": when.timetz()}
            yield "Python", f"key {zone}", {when.replace(tzinfo=zone): 1}


def numpy_values() -> Iterator[Held]:
    """Arrays of every kind and class, dtypes, scalars, generators and polynomials."""
    codes = [
        "?",
        "i1",
        "<i2",
        ">i4",
        "i8",
        "u1",
        "u2",
        "<u4",
        ">u8",
        "f2",
        "<f4",
        ">f8",
        "g",
        "c8",
        "c16",
        "S3",
        "U5",
        "V7",
        "M8[D]",
        "M8[15m]",
        "m8[ns]",
        "m8[us]",
        "M8[s]",
        "O",
    ]
    for code in codes:
        kind = np.dtype(code)
        one = np.zeros((3, 2), kind)
        yield (
            "numpy",
            f"dtype {code}",
            {
                "array": one,
                "fortran": np.asfortranarray(one),
                "view": one[::-1, :1],
                "dtype": kind,
                "empty": one[:0],
                "zero": one.reshape(6)[0],
                "scalar array": np.array(one[0, 0]),
            },
        )
    fields = {
        "flat": [("pair", "U6"), ("bid", "f8"), ("at", "M8[ns]")],
        "sub-arrays": [("path", "f4", (2, 3)), ("n", "i2", 2)],
        "nested": [("outer", [("inner", "f8"), ("flag", "?")])],
        "objects": [("any", "O"), ("n", "i4")],
        "titles": [(("The bid", "bid"), "f8"), ("ask", "f4")],
    }
    for label, form in fields.items():
        records = np.zeros(4, np.dtype(form))
        yield "numpy", f"records {label}", {"records": records, "one": records[:1], "dtype": records.dtype}
        if label != "objects":
            yield "numpy", f"recarray {label}", [records.view(np.recarray), np.ma.masked_array(records)]
    yield "numpy", "aligned", np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True))
    yield "numpy", "offsets", np.zeros(2, np.dtype({"names": ["b"], "formats": ["f4"], "offsets": [4], "itemsize": 16}))
    yield (
        "numpy",
        "matrices",
        [np.asmatrix(PRICES[:4]), np.asmatrix(np.eye(2, dtype="i1")), np.char.array([["x", "yz"]])],
    )
    yield (
        "numpy",
        "masked",
        [
            np.ma.masked_less(PRICES[:3], 1),
            np.ma.masked,
            np.ma.masked_all(3, "i4"),
            np.ma.masked_equal(np.array(["a", "b"]), "a"),
            np.ma.masked_invalid([np.nan, 1]),
        ],
    )
    if hasattr(np.dtypes, "StringDType"):
        yield (
            "numpy",
            "texts",
            [
                np.array([["a", "ü" * 30]], "T"),
                np.dtypes.StringDType(),
                np.array(["a", None], np.dtypes.StringDType(na_object=None)),
            ],
        )
    for name in ("Polynomial", "Chebyshev", "Legendre", "Laguerre", "Hermite", "HermiteE"):
        yield "numpy", name, getattr(np.polynomial, name).fit(np.arange(9.0), np.arange(9.0) ** 2, 2)
    yield "numpy", "poly1d", np.poly1d([1, -2], variable="t")
    for name in ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"):
        source = getattr(np.random, name)(12)
        yield "numpy", name, {"generator": np.random.Generator(source), "bits": source, "state": source.state}
    drawn = np.random.RandomState(5)
    drawn.normal(size=3)
    yield "numpy", "drawn", [drawn, drawn.get_state(), np.random.SeedSequence([1, 2]), np.random.default_rng().spawn(1)]
    ufuncs = [value for value in vars(np).values() if isinstance(value, np.ufunc)]
    yield "numpy", "ufuncs", ufuncs
    names = (
        "mean",
        "nanpercentile",
        "where",
        "dot",
        "einsum",
        "round",
        "clip",
        "interp",
        "linalg.pinv",
        "linalg.svd",
        "roll",
    )
    yield "numpy", "functions", [operator.attrgetter(name)(np) for name in names]
    yield (
        "numpy",
        "made functions",
        [np.vectorize(math.log1p), np.vectorize(np.hypot, otypes="d"), np.logical_or.reduce],
    )
    yield "numpy", "types", [np.float64, np.int8, np.uint16, np.str_, np.bool_, np.ndarray, np.generic, np.datetime64]
    yield (
        "numpy",
        "scalars",
        {
            value: str(value)
            for value in (
                np.float32(1.5),
                np.int64(-2),
                np.str_("é"),
                np.uint8(3),
                np.datetime64("2025-10-26T02"),
                np.timedelta64(3, "W"),
                np.bytes_(b"\0"),
            )
        },
    )
    with tempfile.NamedTemporaryFile() as file:
        mapped = np.memmap(file, dtype="f4", mode="w+", shape=(3, 2))
        yield "numpy", "mapped", {"whole": mapped, "part": mapped[1:]}
    yield "numpy", "drawing", [np.random.normal, np.random.default_rng(1).integers]
    yield "numpy", "masked", [np.ma.masked_invalid, np.polynomial.chebyshev.chebval, np.hanning]
    yield "numpy", "objects", np.array([{"a": 1}, [1, 2], None, "x", 1.5, np.ones(2)], dtype=object)


def _results() -> Iterator[Held]:
    """Results of functions of numpy, and what stands beside arrays."""
    square = np.array([[2.0, 1.0], [1.0, 3.0]])
    yield "numpy", "results", [np.linalg.eigh(square), np.linalg.qr(square), np.unique_inverse(np.array([3, 1, 3]))]
    yield "numpy", "fourier", [np.fft.rfft, np.fft.fftshift, np.linalg.LinAlgError("no"), np.iinfo("int16").max]


def nested_columns() -> Iterator[Held]:
    """Columns of lists, structs and maps of Arrow, whole and in parts."""
    try:
        import pyarrow as pa
    except ImportError:
        return
    point = pa.struct([("x", pa.float32()), ("names", pa.list_(pa.string()))])
    for kind, items in (
        (pa.list_(pa.list_(pa.int16())), [[[1], [2, 3]], [], None, [[]]]),
        (pa.large_list(pa.string()), [["a", "bé"], None, ["c"]]),
        (pa.list_(pa.float64(), 3), [[1.0, 2.0, 3.0], None, [4.0, 5.0, 6.0]]),
        (point, [{"x": 1.0, "names": ["a"]}, None, {"x": None, "names": None}]),
        (pa.map_(pa.string(), point), [[("k", {"x": 1.0, "names": []})], None, []]),
        (pa.list_(pa.dictionary(pa.int8(), pa.string())), [["a", "b"], None, ["a"]]),
        (pa.decimal256(45, 4), [decimal.Decimal("1.5"), None, decimal.Decimal(2)]),
        (pa.binary(2), [b"ab", None, b"cd"]),
    ):
        column = pd.Series(pa.array(items, type=kind), dtype=pd.ArrowDtype(kind))
        yield "pandas", f"Arrow {kind}", {"column": column, "part": column[1:], "twice": pd.concat([column, column])}


def _frames() -> Iterator[tuple[str, Any]]:
    columns: dict[str, Any] = {
        "text": LABELS.astype(object),
        "category": pd.Categorical(LABELS, categories=["long", "flat", "short"], ordered=True),
        "flag": pd.array([True, None, False] * 30, dtype="boolean"),
        "whole": pd.array([1, None, 3] * 30, dtype="UInt8"),
        "real": pd.array([1.5, None, 3] * 30, dtype="Float32"),
        "since": pd.to_timedelta(np.arange(90), unit="min"),
        "at": pd.date_range(START, periods=90, freq="17min"),
        "there": pd.date_range(START, periods=90, tz="Asia/Kathmandu"),
        "month": pd.period_range("2020-01", periods=90, freq="M"),
        "cut": pd.cut(PRICES[:, 0], 4),
        "thin": pd.arrays.SparseArray(np.arange(90) % 7 == 0),
        "complex": PRICES[:, 0] * 1j,
        "half": PRICES[:, 1].astype("f2"),
        "number": np.arange(90, dtype="u2"),
        "list": [[i] for i in range(90)],
    }
    frame = pd.DataFrame(columns)
    yield "of everything", frame
    yield "part of everything", frame.iloc[3:40:7, ::2]
    for name in frame:
        yield f"series {name}", {"series": frame[name], "head": frame[name].head(2), "dtype": frame[name].dtype}
        with contextlib.suppress(TypeError, NotImplementedError):
            indexed = FRAME.reset_index(drop=True).set_index(frame[name])
            yield (
                f"index {name}",
                {"frame": indexed.head(), "index": indexed.index, "unique": pd.Index(frame[name].head(1))},
            )
    yield "wide", FRAME.T
    yield "made", [FRAME.describe(), FRAME.corr(), FRAME.agg(["mean", "std"]), FRAME.rolling(3).mean(), FRAME.dtypes]
    yield "grouped", frame.groupby("text")["number"].agg(["min", "max"])
    yield "pivoted", frame.pivot_table(index="text", columns="flag", values="number", aggfunc="sum", observed=True)
    yield "multi", frame.set_index(["text", "category", "at"])[["number"]]
    yield "stacked", FRAME.head(3).stack()
    yield "empty", [pd.DataFrame(), pd.Series(dtype=float), pd.DataFrame(columns=["a"]), pd.DataFrame(index=[1, 2])]
    yield "named", FRAME.rename_axis(index="day", columns="lag")
    yield "objects", frame[["text", "number"]].astype(object)
    noted = FRAME.head(2).copy()
    noted.attrs = {"source": "test", "rows": 2}
    yield "noted", noted


def pandas_values() -> Iterator[Held]:
    """Frames, indexes, dates with every zone, steps, periods and intervals."""
    for label, value in _frames():
        yield "pandas", f"frame {label}", value
    for zone in zones():
        try:
            dates = pd.date_range(START, periods=4, freq="h", tz=zone)
        except AttributeError:  # pandas before its third does not know every zone of dateutil's fourth
            continue
        yield (
            "pandas",
            f"zone {zone}",
            {
                "index": dates,
                "stamp": dates[2],
                "series": pd.Series(dates),
                "dtype": dates.dtype,
                "indexed": pd.Series([1.0, 2, 3, 4], index=dates),
            },
        )
        yield "pandas", f"keys {zone}", {dates[0]: 1, pd.Timestamp("2025-01-01"): 2}
    for unit, kind in itertools.product(("s", "ms", "us", "ns"), ("M8", "m8")):
        yield "pandas", f"{kind} {unit}", pd.Series(np.array([1, 2, "NaT"], f"{kind}[{unit}]"))
    for step in ("2D", "4h", "W-WED", "MS", "QE-JAN", "YS-JUL", "B", "3min", "BQE", "SME", "5us"):
        yield "pandas", f"step {step}", pd.date_range("2025-01-31", periods=3, freq=step)
    for step in ("M", "Q-FEB", "W-SAT", "2h", "D", "B", "min"):
        with contextlib.suppress(ValueError):
            periods = pd.period_range("2025-01-31", periods=3, freq=step)
            yield (
                "pandas",
                f"period {step}",
                {"index": periods, "one": periods[1], "series": pd.Series(periods), "key": {periods[0]: 1}},
            )
    offsets = pd.offsets
    yield (
        "pandas",
        "steps",
        [
            offsets.BDay(2),
            offsets.MonthEnd(0),
            offsets.QuarterBegin(startingMonth=2),
            offsets.Week(weekday=4),
            offsets.YearEnd(month=6),
            offsets.Hour(3),
            offsets.Milli(5),
            offsets.BMonthEnd(normalize=True),
            offsets.Easter(),
            offsets.CustomBusinessDay(weekmask="Sun Mon", holidays=[dt.date(2025, 1, 1)]),
            offsets.LastWeekOfMonth(weekday=3),
            offsets.BusinessHour(start="10:00", end="16:00"),
            offsets.FY5253(weekday=2),
            offsets.SemiMonthEnd(),
        ],
    )
    yield (
        "pandas",
        "intervals",
        [
            pd.Interval(0.5, 1),
            pd.interval_range(0, 1, 4, closed="both"),
            pd.IntervalDtype("int64"),
            pd.Interval(pd.Timestamp(START), pd.Timestamp("2026"), "left"),
            pd.IntervalIndex.from_tuples([(0, 1), (3, 9)], name="n"),
        ],
    )
    yield (
        "pandas",
        "scalars",
        [pd.NaT, pd.NA, pd.Timedelta("3h"), pd.Timestamp.max, pd.Timestamp(0), pd.Period("2025Q3")],
    )
    yield (
        "pandas",
        "dtypes",
        [
            pd.Int16Dtype(),
            pd.Float64Dtype(),
            pd.BooleanDtype(),
            pd.StringDtype(),
            pd.PeriodDtype("W"),
            pd.SparseDtype("f4"),
            pd.DatetimeTZDtype("ns", "Europe/Paris"),
            pd.CategoricalDtype([3, 1], ordered=True),
        ],
    )
    thin = [pd.arrays.SparseArray([0, 0, 3], kind=kind) for kind in ("integer", "block")]
    yield "pandas", "sparse", [*thin, pd.DataFrame({"a": thin[0]}), pd.Series(thin[1])]
    texts = ["naïve", None, "", "x" * 100]
    storages = ["python"]
    with contextlib.suppress(ImportError):
        import pyarrow as pa

        storages.append("pyarrow")
        arrow = {
            "int32": [1, None, -3],
            "double": [1.5, None],
            "bool": [True, None, False] * 5,
            "string": ["a", None, "bc"],
            "large_string": ["é"],
            "binary": [b"\0", None],
            "date32[day]": [dt.date(2025, 1, 1)],
            "time64[us]": [dt.time(1)],
            "timestamp[ms]": [pd.Timestamp("2025")],
            "duration[ns]": [pd.Timedelta(1)],
            "uint8": [1],
            "halffloat": [np.float16(1)],
        }
        for name, values in arrow.items():
            column = pd.Series(values, dtype=pd.ArrowDtype(pa.type_for_alias(name)))
            yield "pandas", f"Arrow {name}", {"column": column, "tail": column[1:], "frame": column.to_frame("a")}
        made = pd.Series(["x", "y", None, "x"], dtype=pd.ArrowDtype(pa.dictionary(pa.int16(), pa.large_string())))
        yield "pandas", "Arrow dictionary", [made, made[2:]]
        yield (
            "pandas",
            "Arrow zone",
            pd.Series([pd.Timestamp("2025", tz="Asia/Seoul")], dtype="timestamp[us, tz=Asia/Seoul][pyarrow]"),
        )
        yield (
            "pandas",
            "Arrow decimal",
            pd.Series([decimal.Decimal("1.25"), None], dtype=pd.ArrowDtype(pa.decimal128(12, 2))),
        )
    for storage, missing in itertools.product(storages, (pd.NA, np.nan)):
        with contextlib.suppress(TypeError):  # before pandas 2.3 there is one missing value
            kind = pd.StringDtype(storage, na_value=missing)
            column = pd.Series(texts * 9, dtype=kind)
            yield (
                "pandas",
                f"texts {storage} {missing}",
                {
                    "column": column,
                    "part": column[5:],
                    "frame": pd.DataFrame({"a": column}),
                    "index": pd.Index(texts, dtype=kind),
                    "categories": column.astype("category"),
                    "large": pd.Series(["abcd"] * 300_000, dtype=kind),
                },
            )
    yield "pandas", "functions", [pd.to_numeric, pd.isna, pd.cut, pd.merge, pd.date_range]
    yield "pandas", "errors", [pd.errors.MergeError("a"), pd.errors.OutOfBoundsDatetime("b")]
    spans = pd.interval_range(0, 3)
    whole = pd.Series(spans)
    yield "pandas", "series of intervals", {"whole": whole, "part": whole[1:], "frame": whole.to_frame("a")}
    wide = pd.DataFrame({"a": [1.5, 2.5], "b": pd.array([1, None], "Int8"), "k": ["x", "y"]}).set_index(
        "k", append=True
    )
    yield "pandas", "unstacked", wide.unstack(0)
    yield "pandas", "names of levels", wide.index.names
    yield "pandas", "groups", FRAME.head(4).groupby([0, 1, 0, 1]).groups
    yield "pandas", "aggregation", {"a": pd.NamedAgg("a", np.mean), "b": pd.NamedAgg("b", "sum")}
    yield "pandas", "windows", [
        FRAME.head(9).rolling(3, min_periods=1), FRAME.head(9).ewm(span=2), FRAME.head(9).expanding(2)
    ]  # fmt: skip
    yield "pandas", "holiday", Holiday("x", month=7, day=4, observance=nearest_workday)


def held_out() -> Iterator[Held]:
    """All values here, by framework."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from python_values()
        yield from numpy_values()
        yield from _results()
        yield from pandas_values()
        yield from nested_columns()
