"""Rules for functions that make other functions: `getattr` and `functools.partial`. Pure.

Owns the few attributes that honest pickles look up, and what a partial may hold. Both functions are as strong as a call
of anything, so a load does not even get the real `getattr`: `loading` gives it `bound_attribute`, which looks up these
attributes and no other, from any caller.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ..arguments import is_global, is_object, is_text, must
from ..names import BUILTIN_TYPE, ENTROPY, METHODS, is_distribution, is_method, words
from ..stubs import Global, Recorder, Rule, StateRule, Stub, instance_of
from .zone_rules import UNPICKLE_ZONE

__all__ = ["CALLABLE_CALLS", "CALLABLE_STATES", "GETATTR", "PARTIAL", "bound_attribute", "builtin_type"]

GETATTR = "builtins.getattr"
PARTIAL = "functools.partial"

_TEXT_METHODS = frozenset(
    words("""
        capitalize casefold isalnum isalpha isascii isdecimal isdigit islower isnumeric isspace istitle isupper
        lower lstrip removeprefix removesuffix replace rsplit rstrip split splitlines startswith endswith strip
        swapcase title upper
    """)
)
"""Methods of text that stand as tokenizers and preprocessors. Not `format`, which looks up attributes."""

_UFUNC_METHODS = frozenset({"accumulate", "outer", "reduce", "reduceat"})
_TORCH_FUNCTIONS = "torch._C._VariableFunctionsClass"
_OF_TORCH = frozenset(
    words("""
        abs absolute acos add alpha_dropout amax amin arctan asin atan bmm cat ceil celu clamp clip concat conv1d conv2d
        conv3d conv_transpose1d conv_transpose2d conv_transpose3d cos cosh cosine_similarity cross cumprod cumsum div
        divide dot dropout einsum elu eq erf erfc exp expm1 eye flatten floor hardshrink isfinite isnan layer_norm lerp
        log log10 log1p log2 log_softmax logsumexp matmul max maximum mean median min minimum mm mul multiply norm
        numel pairwise_distance permute pow prelu prod real reciprocal relu relu_ rms_norm round rrelu rsqrt selu
        sigmoid sigmoid_ sign sin sinh softmax softplus sqrt square squeeze stack std sub subtract sum tan tanh tanh_
        transpose tril triu unsqueeze var where zeros_like ones_like arange as_tensor bernoulli clone empty
        empty_like from_numpy full full_like gather hypot index_select isclose linspace logspace masked_fill
        masked_select meshgrid multinomial nan_to_num nanmean nansum narrow normal ones outer polygamma
        quantile rand rand_like randint randn randn_like randperm repeat_interleave scatter searchsorted sort split
        std_mean swapaxes take tensor tile topk trace triangular_solve unbind unflatten unique_consecutive
        vander vdot xlogy zeros
    """)
)
_OF_PATTERNS = frozenset(words("findall finditer fullmatch match search split sub"))
_LAZY_MODULES = tuple(
    f"torch.nn.modules.{module}.Lazy{kind}{dimensions}"
    for module, kinds, every in (
        ("linear", "Linear", ("",)),
        ("conv", "Conv ConvTranspose", ("1d", "2d", "3d")),
        ("batchnorm", "BatchNorm", ("1d", "2d", "3d")),
        ("instancenorm", "InstanceNorm", ("1d", "2d", "3d")),
    )
    for kind in words(kinds)
    for dimensions in every
)
_BOOSTING = "sklearn.ensemble._hist_gradient_boosting.gradient_boosting."
_OF_CLASSES = {
    "zoneinfo.ZoneInfo": frozenset({"_unpickle"}),
    "builtins.str": _TEXT_METHODS,
    _TORCH_FUNCTIONS: _OF_TORCH,
    **METHODS,
}
_OF_GENERATORS = frozenset(
    words("""
        beta binomial bytes chisquare choice dirichlet exponential f gamma geometric gumbel hypergeometric integers
        laplace logistic lognormal logseries multinomial multivariate_normal negative_binomial noncentral_chisquare
        noncentral_f normal pareto permutation poisson power rand randint randn random random_sample rayleigh shuffle
        standard_cauchy standard_exponential standard_gamma standard_normal standard_t triangular uniform vonmises wald
        weibull zipf
    """)
)
_OF_OBJECTS: dict[str, frozenset[str]] = {
    "numpy.random._pickle.__generator_ctor": _OF_GENERATORS,
    "numpy.random._pickle.__randomstate_ctor": _OF_GENERATORS,
    "numpy.random._generator.Generator": _OF_GENERATORS,
    "numpy.random.mtrand.RandomState": _OF_GENERATORS,
    # The first is the name in a pickle, the second that of the class.
    "re._compile": _OF_PATTERNS,
    "re.Pattern": _OF_PATTERNS,
    f"{_BOOSTING}HistGradientBoostingClassifier": frozenset({"_raw_predict"}),
    f"{_BOOSTING}HistGradientBoostingRegressor": frozenset({"_raw_predict"}),
    **{
        name: METHODS[name]
        for name in (
            "scipy.interpolate._rbf.Rbf",
            "scipy.stats._kde.gaussian_kde",
            "scipy.stats._qmc.LatinHypercube",
            "scipy.stats._qmc.PoissonDisk",
            "statsmodels.nonparametric.kernel_regression.KernelReg",
            "statsmodels.tsa.exponential_smoothing.ets.ETSModel",
        )
    },
    **{
        f"statsmodels.discrete.count_model.ZeroInflated{name}": METHODS[
            "statsmodels.discrete.count_model.GenericZeroInflated"
        ]
        for name in ("GeneralizedPoisson", "NegativeBinomialP", "Poisson")
    },
    **dict.fromkeys(_LAZY_MODULES, METHODS["torch.nn.modules.lazy.LazyModuleMixin"]),
}
"""Bound methods in pickles: `numpy.random.normal` is one of a generator; with `scoring=`, boosting of scikit-learn
keeps its own method as an attribute. Discrete distributions of scipy keep `_entropy`, a few models of statsmodels the
function that they were fitted with, and lazy modules of torch the hooks that end their laziness."""


def _methods_of(kind: str) -> frozenset[str]:
    if is_distribution(kind):
        return frozenset({ENTROPY})
    return _OF_OBJECTS.get(kind, frozenset())


def _is_ufunc(name: str) -> bool:
    module, _, last = name.rpartition(".")
    return module in ("numpy", "numpy._core._multiarray_umath", "numpy.core._multiarray_umath") and last in _UFUNCS


_UFUNCS = frozenset(
    words("""
        add subtract multiply divide maximum minimum power logical_and logical_or logical_xor fmax fmin
        bitwise_and bitwise_or bitwise_xor hypot logaddexp
    """)
)


class BoundFunction:
    """A function that was looked up on a class, by its name: no list could let a pickle call it."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


def _getattr(recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) == 2 and type(args[1]) is str, "not (object, name)")
    owner, name = args
    if is_global(owner, "zoneinfo.ZoneInfo") and name == "_unpickle":
        return recorder.internal(UNPICKLE_ZONE)
    of_class = is_global(owner) and name in _OF_CLASSES.get(owner.name, ())
    of_ufunc = is_global(owner) and _is_ufunc(owner.name) and name in _UFUNC_METHODS
    of_object = isinstance(owner, Stub) and name in _methods_of(type(owner).name)
    must(of_class or of_ufunc or of_object, "not an attribute that pickles look up")
    return instance_of(callee, BoundFunction(name)) if of_class else None


def bound_attribute(owner: Any, name: str) -> Any:
    """Return an attribute that `_getattr` above accepts. Raise AttributeError for any other: a load calls this."""
    kind = owner if isinstance(owner, type) else type(owner)
    full = f"{kind.__module__}.{kind.__qualname__}"
    if kind is owner:
        allowed = _OF_CLASSES.get(full, frozenset())
    else:
        allowed = _UFUNC_METHODS if full == "numpy.ufunc" else _methods_of(full)
    if type(name) is not str or name not in allowed:
        raise AttributeError(f"no pickle that was accepted looks up this attribute of {full}")
    return getattr(owner, name)


# --- methods as cloudpickle writes them -----------------------------------------------------------------------

_BIND = "<type of methods>"
_NAMESPACE = "SimpleNamespace"


def _builtin_type(recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> Any:
    """`_builtin_type(name)`: the type of methods, to bind one, or another type, which the lists must have."""
    must(len(args) == 1 and is_text(args[0]) and args[0].isidentifier() and args[0].isascii(), "not the name of a type")
    if args[0] == "MethodType":
        return recorder.internal(_BIND)
    found = recorder.named(f"types.{args[0]}")
    found.uses.add("r")
    return found


def _bind(recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> Any:
    """(function of a class, object): the same methods of the same objects that `getattr` may look up."""
    must(len(args) == 2 and is_global(args[0]) and isinstance(args[1], Stub), "not (function, object)")
    owner, _, method = args[0].name.rpartition(".")
    module, _, last = owner.rpartition(".")
    must(is_method(module, f"{last}.{method}"), "not a method that pickles bind")
    must(method in _methods_of(type(args[1]).name), "not a method that pickles bind")
    # The object may have an attribute of this name. What is done with it needs the permission that `getattr` has.
    return instance_of(recorder.named(GETATTR))


def builtin_type(name: str) -> Any:
    """Return what a load gets instead of `_builtin_type(name)`: `bound_attribute` for methods. Refuse other types."""
    if name == "MethodType":
        return lambda function, owner: bound_attribute(owner, getattr(function, "__name__", ""))
    if name != _NAMESPACE:
        raise AttributeError(f"no pickle that was accepted needs the type {name!r:.80}")
    return SimpleNamespace


# --- partial -------------------------------------------------------------------------------------------------


def _note_function(recorder: Recorder, function: Any) -> bool:
    """Return whether a partial may have this function, and note which it is."""
    if is_object(function, GETATTR):
        return isinstance(getattr(function, "value", None), BoundFunction)
    if is_global(function):
        # `report` drops this finding for functions that no list lets a pickle call: those have no rule to go around.
        recorder.note("partial-of", function.name)
    return is_global(function)


def _partial(recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) == 1 and _note_function(recorder, args[0]), "not one function")


def _partial_state(recorder: Recorder, _target: Stub, state: Any) -> None:
    must(type(state) is tuple and len(state) == 4, "not (function, arguments, keywords, attributes)")
    function, args, keywords, attributes = state
    must(type(args) is tuple and _note_function(recorder, function), "not (function, arguments, keywords, attributes)")
    must(type(keywords) in (dict, type(None)), "not (function, arguments, keywords, attributes)")
    must(all(type(name) is str for name in keywords or ()), "the name of an argument is not text")
    must(attributes is None or (type(attributes) is dict and not attributes), "it has attributes")


CALLABLE_CALLS: dict[str, Rule] = {
    GETATTR: _getattr, PARTIAL: _partial, BUILTIN_TYPE: _builtin_type, _BIND: _bind,
}  # fmt: skip
CALLABLE_STATES: dict[str, StateRule] = {PARTIAL: _partial_state}
