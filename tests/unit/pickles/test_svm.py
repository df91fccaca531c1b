"""Support vector machines and k-means of scikit-learn: numbers that libsvm and compiled code trust."""

from __future__ import annotations

import struct

import pytest
from tests.support import pickle_builders as build

from model_inbox.pickles import Allowlist, scan_bytes

ALLOWLIST = Allowlist.load()


def counts(*numbers: int) -> bytes:
    """Opcodes of an array of integers of four bytes."""
    return build.array((len(numbers),), struct.pack(f"<{len(numbers)}i", *numbers), build.dtype("i4"))


def rows(*lengths: int, columns: int = 2) -> bytes:
    """Opcodes of a sparse matrix with a row for each length."""
    ends = [sum(lengths[:place]) for place in range(len(lengths) + 1)]
    state = {
        "_shape": build.value((len(lengths), columns)),
        "indptr": counts(*ends),
        "indices": counts(*(0 for _ in range(ends[-1]))),
        "data": build.zeros(ends[-1]),
    }
    return build.built(build.new("scipy.sparse._csr", "csr_matrix"), build.mapping(state))


def machine(name: str = "SVC", **changed: bytes) -> bytes:
    """Opcodes of a machine with three classes, four support vectors and two features; a regressor has two."""
    classes = 3 if name.endswith("SVC") else 2
    pairs = classes * (classes - 1) // 2
    state = {
        "kernel": build.text("rbf"),
        "_sparse": b"\x89",
        "shape_fit_": build.value((9, 2)),
        "support_": counts(0, 2, 5, 8),
        "support_vectors_": build.zeros(4, 2),
        "_n_support": counts(1, 2, 1) if classes == 3 else counts(4, 4),
        "_dual_coef_": build.zeros(classes - 1, 4),
        "_intercept_": build.zeros(pairs),
        "_probA": build.zeros(0),
        "_probB": build.zeros(0),
        **changed,
    }
    return build.built(build.new("sklearn.svm._classes", name), build.mapping(state))


def problems(opcodes: bytes) -> list[str]:
    """The messages of all problems."""
    return [problem.message for problem in scan_bytes(build.pickled(opcodes), ALLOWLIST).problems]


@pytest.mark.parametrize("name", ["SVC", "NuSVC", "SVR", "NuSVR", "OneClassSVM"])
def test_machine_that_scikit_learn_writes_is_accepted(name: str) -> None:
    """Dense, with a kernel that was computed before, sparse, and before it was fitted."""
    classes = 3 if name.endswith("SVC") else 2
    assert problems(machine(name)) == []
    assert problems(machine(name, kernel=build.text("precomputed"), support_vectors_=build.zeros(0, 0))) == []
    sparse = {"support_vectors_": rows(1, 0, 1, 0), "_dual_coef_": rows(*[4] * (classes - 1), columns=4)}
    assert problems(machine(name, _sparse=b"\x88", **sparse)) == []
    unfitted = build.built(build.new("sklearn.svm._classes", name), build.mapping({"kernel": build.text("rbf")}))
    assert problems(unfitted) == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"_n_support": counts(1, 2, 9)}, "the classes have not 4 vectors together"),
        ({"_n_support": counts(9, -6, 1)}, "the classes have not 4 vectors together"),
        ({"_n_support": counts()}, "it has another number of classes"),
        ({"_n_support": counts(2, 2)}, "there are not 1 intercepts"),
        ({"support_": counts(0)}, "the coefficients have another shape"),
        ({"support_vectors_": build.zeros(1, 2)}, "there are not 4 support vectors"),
        ({"_dual_coef_": build.zeros(1, 4)}, "the coefficients have another shape"),
        ({"_intercept_": build.zeros(1)}, "there are not 3 intercepts"),
        ({"_probA": build.zeros(3)}, "there are not 3 parameters of probabilities"),
        ({"_probA": build.zeros(1), "_probB": build.zeros(1)}, "there are not 3 parameters of probabilities"),
        ({"_impl": build.text("one_class")}, "an attribute replaces one of its class"),
        ({"_sparse_kernels": build.value(["rbf"])}, "an attribute replaces one of its class"),
        (
            {"kernel": build.text("precomputed"), "support_": counts(0, 2, 5, 9)},
            "a support vector is none of 9 rows",
        ),
        ({"_sparse": b"\x88"}, "the support vectors are no sparse matrix"),
        (
            {"_sparse": b"\x88", "support_vectors_": rows(1, 0), "_dual_coef_": rows(4, 4, columns=4)},
            "there are not 4 support vectors",
        ),
        (
            {"_sparse": b"\x88", "support_vectors_": rows(1, 0, 1, 0), "_dual_coef_": rows(4, 1, columns=4)},
            "the coefficients have another shape",
        ),
        ({"_sparse": b"\x88", "kernel": build.text("precomputed")}, "sparse support vectors have no such kernel"),
    ],
)
def test_numbers_of_a_machine_agree(changed: dict[str, bytes], expected: str) -> None:
    """libsvm reads by each of them without a check."""
    (message,) = problems(machine(**changed))
    assert expected in message


def test_matrix_is_looked_at_as_it_was_made() -> None:
    """It has copied its attributes from a dictionary that the file can change later."""
    state = {"_shape": build.value((1, 2)), "indptr": counts(0, 1), "indices": counts(0), "data": build.zeros(1)}
    matrix = build.built(build.new("scipy.sparse._csr", "csr_matrix"), build.noted(1001, build.mapping(state)))
    changed = build.changed(1001, build.text("indptr"), counts(0, 0, 0, 0, 1))
    sparse = {"support_vectors_": build.again(1002), "_dual_coef_": rows(4, 4, columns=4)}
    (message,) = problems(build.noted(1002, matrix) + b"0" + changed + machine(_sparse=b"\x88", **sparse))
    assert "there are not 4 support vectors" in message


def test_regressor_has_two_classes() -> None:
    """libsvm takes the number of classes from the length of a table that it does not read."""
    (message,) = problems(machine("SVR", _n_support=counts(4, 4, 4)))
    assert "it has another number of classes" in message


def kmeans(centers: bytes, **more: bytes) -> bytes:
    """Opcodes of a k-means with two features."""
    state = {"cluster_centers_": centers, "n_features_in_": build.value(2), **more}
    return build.built(build.new("sklearn.cluster._kmeans", "KMeans"), build.mapping(state))


def test_centers_have_the_width_of_the_data() -> None:
    """A prediction compares each row with each center, and starts as many threads as the model says."""
    assert problems(kmeans(build.zeros(3, 2), _n_threads=build.value(4))) == []
    (message,) = problems(kmeans(build.zeros(3, 1)))
    assert "the centers have another width than the data" in message
    (message,) = problems(kmeans(build.zeros(3, 2), _n_threads=build.value(1_000_000)))
    assert "the number of threads is invalid" in message
