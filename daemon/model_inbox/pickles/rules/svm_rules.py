"""Rules for scikit-learn's support vector machines and k-means: attributes that compiled code takes as they are. Pure.

Owns the numbers of a fitted model that libsvm walks by (`set_model` in sklearn/svm/src/libsvm/libsvm_helper.c,
`csr_set_model` in libsvm_sparse_helper.c, `svm_predict_values` in svm.cpp), and the centers that k-means compares a row
with. An estimator that was not fitted has none of them, and is accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ..arguments import is_count, is_object, must
from ..stubs import BadArguments, Recorder, StateRule, Stub
from .numpy_rules import ArrayValue, array_of, integers_of, must_lie_within
from .scipy_rules import has_shape

__all__ = ["SVM_STATES"]

_FITTED = ("support_", "support_vectors_", "_n_support", "_dual_coef_", "_intercept_")
"""Without one of these, a prediction raises AttributeError before libsvm is called."""
_CLASS_ATTRIBUTES = ("_impl", "_sparse_kernels")
"""Attributes of the class: which machine it is, and the numbers of its kernels."""
_KERNELS_OF_VECTORS = ("linear", "poly", "rbf", "sigmoid")
_CSR = tuple(f"scipy.sparse._csr.csr_{kind}" for kind in ("array", "matrix"))
_CLASSIFIERS = ("NuSVC", "SVC")
_CLASSES_MAX = 1 << 15


def _svm_state(recorder: Recorder, target: Stub, state: Any) -> None:
    must(target.kept is None and type(state) is dict, "not a state that scikit-learn writes")
    must(not any(name in state for name in _CLASS_ATTRIBUTES), "an attribute replaces one of its class")
    if not all(name in state for name in _FITTED):
        return
    counts = array_of(state["_n_support"])
    must(has_shape(state["_n_support"], "i", 4, None), "the numbers of support vectors are invalid")
    classes = counts.shape[0]
    is_classifier = type(target).name.rpartition(".")[2] in _CLASSIFIERS
    must(2 <= classes <= _CLASSES_MAX if is_classifier else classes == 2, "it has another number of classes")
    must(has_shape(state["support_"], "i", 4, None), "the places of the support vectors are invalid")
    vectors = array_of(state["support_"]).shape[0]
    pairs = classes * (classes - 1) // 2
    must(has_shape(state["_intercept_"], "f", 8, pairs), f"there are not {pairs} intercepts")
    for name in ("_probA", "_probB"):
        must(
            name not in state or has_shape(state[name], "f", 8, None), "the parameters of its probabilities are invalid"
        )
    lengths = {array_of(state[name]).shape[0] for name in ("_probA", "_probB") if name in state}
    must(lengths in (set(), {0}, {pairs}), f"there are not {pairs} parameters of probabilities")
    if state.get("_sparse"):
        _check_sparse(state, vectors, classes)
    else:
        _check_dense(state, vectors, classes)
    if state.get("kernel") not in _KERNELS_OF_VECTORS:
        _check_places(recorder, target, state)
    if is_classifier:

        def check() -> None:
            numbers = [number for piece in integers_of(counts) for number in piece]
            must(min(numbers) >= 0 and sum(numbers) == vectors, f"the classes have not {vectors} vectors together")

        recorder.check_later(type(target).name, check)


def _check_dense(state: Mapping[str, Any], vectors: int, classes: int) -> None:
    coefficients = state["_dual_coef_"]
    must(has_shape(coefficients, "f", 8, classes - 1, vectors), "the coefficients have another shape")
    must(has_shape(state["support_vectors_"], "f", 8, None, None), "the support vectors are invalid")
    rows = array_of(state["support_vectors_"]).shape[0]
    must(rows == vectors or state.get("kernel") not in _KERNELS_OF_VECTORS, f"there are not {vectors} support vectors")


def _check_sparse(state: Mapping[str, Any], vectors: int, classes: int) -> None:
    """With a computed kernel, a row would be indexed by whatever number stands in it."""
    must(state.get("kernel") in _KERNELS_OF_VECTORS, "sparse support vectors have no such kernel")
    rows, coefficients = (_parts_of(state[name]) for name in ("support_vectors_", "_dual_coef_"))
    must(array_of(rows["indptr"]).shape == (vectors + 1,), f"there are not {vectors} support vectors")
    must(array_of(coefficients["data"]).shape == ((classes - 1) * vectors,), "the coefficients have another shape")


def _parts_of(matrix: Any) -> Mapping[str, Any]:
    """Return the attributes of a sparse matrix, which were checked when it got them."""
    if not is_object(matrix, *_CSR) or type(matrix.kept) is not dict:
        raise BadArguments("the support vectors are no sparse matrix")
    kept: Mapping[str, Any] = matrix.kept
    return kept


def _check_places(recorder: Recorder, target: Stub, state: Mapping[str, Any]) -> None:
    """With a kernel that is computed before, libsvm looks up the place of each vector in a row of data."""
    shape = state.get("shape_fit_")
    if type(shape) is not tuple or not shape or not is_count(shape[0], 1 << 31):
        raise BadArguments("the shape of its data is invalid")
    data = state.get("_BaseLibSVM__Xfit")
    if is_object(data, "numpy.ndarray"):
        must(array_of(data).shape[:1] == shape[:1], "it has other data than it was fitted with")
    places: ArrayValue = array_of(state["support_"])
    recorder.check_later(
        type(target).name,
        partial(must_lie_within, places, 0, shape[0], f"a support vector is none of {shape[0]} rows"),
    )


THREADS_MAX = 4096


def _kmeans_state(_recorder: Recorder, target: Stub, state: Any) -> None:
    must(target.kept is None and type(state) is dict, "not a state that scikit-learn writes")
    must(is_count(state.get("_n_threads", 1), THREADS_MAX), "the number of threads is invalid")
    if "cluster_centers_" not in state:
        return
    centers = array_of(state["cluster_centers_"]).shape
    must(
        len(centers) == 2 and centers[1] == state.get("n_features_in_"), "the centers have another width than the data"
    )


SVM_STATES: dict[str, StateRule] = {
    **{f"sklearn.svm._classes.{name}": _svm_state for name in ("NuSVC", "NuSVR", "OneClassSVM", "SVC", "SVR")},
    **{f"sklearn.cluster._{module}.{name}": _kmeans_state
       for module, name in (("kmeans", "KMeans"), ("kmeans", "MiniBatchKMeans"),
                            ("bisect_k_means", "BisectingKMeans"))},
}  # fmt: skip
