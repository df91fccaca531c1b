"""scikit-learn's neighbour trees, distances and classifiers of neighbours: numbers that their C code trusts."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from tests.support import pickle_builders as build

from model_inbox.pickles import Allowlist, scan_bytes

ALLOWLIST = Allowlist.load()
NODE = {"idx_start": "i8", "idx_end": "i8", "is_leaf": "i8", "radius": "f8"}
# Four points: two in each of the children of the root.
NODES = [(0, 4, 0, 1.0), (0, 2, 1, 1.0), (2, 4, 1, 1.0)]
METRICS = "sklearn.metrics._dist_metrics"


def integers(*numbers: int, code: str = "i8") -> bytes:
    """Opcodes of an array of integers."""
    letter = {"i4": "i", "i8": "q"}[code]
    return build.array((len(numbers),), struct.pack(f"<{len(numbers)}{letter}", *numbers), build.dtype(code))


def made(module: str, name: str, state: bytes) -> bytes:
    """Opcodes of an object of a Cython type with a state."""
    return build.built(build.called(build.named(module, "newObj"), build.named(module, name)), state)


def distance(
    name: str = "EuclideanDistance64", vector: bytes = build.zeros(1), matrix: bytes = build.zeros(1, 1)
) -> bytes:
    """Opcodes of a distance."""
    return made(METRICS, name, b"(" + build.value(2.0) + vector + matrix + b"t")


def tree(name: str = "KDTree", rows: list[tuple[Any, ...]] = NODES, **changed: bytes) -> bytes:
    """Opcodes of a neighbour tree of four points with two features."""
    fields = {
        "data": build.zeros(4, 2),
        "order": integers(3, 1, 2, 0),
        "nodes": build.table(NODE, "<qqqd", rows),
        "bounds": build.zeros(2 if name == "KDTree" else 1, 3, 2),
        "numbers": build.value(2) + build.value(2) + build.value(3) + 4 * build.value(0),
        "distance": distance(),
        "weights": b"N",
        **changed,
    }
    module = {"KDTree": "sklearn.neighbors._kd_tree", "BallTree": "sklearn.neighbors._ball_tree"}[name]
    return made(module, name, b"(" + b"".join(fields.values()) + b"t")


def problems(opcodes: bytes) -> list[str]:
    """The messages of all problems."""
    return [problem.message for problem in scan_bytes(build.pickled(opcodes), ALLOWLIST).problems]


@pytest.mark.parametrize("name", ["KDTree", "BallTree"])
def test_neighbour_tree_that_scikit_learn_writes_is_accepted(name: str) -> None:
    """With its order, its nodes, and the weights of its points."""
    assert problems(tree(name)) == []
    assert problems(tree(name, weights=build.zeros(4))) == []


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(-1, 4, 0, 1.0), *NODES[1:]], "node 0: it has points -1 to 4, and there are 4"),
        ([NODES[0], (0, 9, 1, 1.0), NODES[2]], "node 1: it has points 0 to 9, and there are 4"),
        ([NODES[0], (2, 1, 1, 1.0), NODES[2]], "node 1: it has points 2 to 1, and there are 4"),
        ([*NODES[:2], (2, 4, 0, 1.0)], "node 2: it is no leaf, and its children are outside of the 3 nodes"),
    ],
)
def test_nodes_of_a_neighbour_tree_stay_inside(rows: list[tuple[Any, ...]], expected: str) -> None:
    """Points, and children."""
    (problem,) = scan_bytes(build.pickled(tree(rows=rows)), ALLOWLIST).problems
    assert problem.code == "artifact.not_a_tree"
    assert problem.message.endswith(f": the node array, {expected}")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"order": integers(4, 1, 2, 0)}, "the order has a number that is none of 4 points"),
        ({"order": integers(0, 1, 2, -1)}, "the order has a number that is none of 4 points"),
        ({"order": integers(0)}, "the order of the points has another length"),
        ({"data": build.zeros(1, 2)}, "the order of the points has another length"),
        ({"bounds": build.zeros(1, 3, 2)}, "the bounds of the nodes have another shape"),
        ({"bounds": build.zeros(2, 3, 1)}, "the bounds of the nodes have another shape"),
        ({"weights": build.zeros(1)}, "there is another number of weights than of points"),
        (
            {"numbers": 2 * build.value(2) + build.value(7) + 4 * build.value(0), "bounds": build.zeros(2, 7, 2)},
            "the number of nodes is wrong",
        ),
        ({"distance": distance("SEuclideanDistance64")}, "its distance has another number of weights than features"),
        ({"distance": distance("MahalanobisDistance64")}, "its distance has another number of weights than features"),
        (
            {"numbers": build.value(0) + build.value(2) + build.value(3) + 4 * build.value(0)},
            "it has no size of a leaf",
        ),
        (
            {
                "numbers": build.value(2) + build.value(2) + 5 * build.value(0),
                "nodes": build.table(NODE, "<qqqd", []),
                "bounds": build.zeros(2, 0, 2),
            },
            "or no node",
        ),
        ({"distance": build.text("euclidean")}, "its distance is none of scikit-learn's"),
    ],
)
def test_numbers_of_a_neighbour_tree_agree(changed: dict[str, bytes], expected: str) -> None:
    """A query reads by each of them without a check."""
    (message,) = problems(tree(**changed))
    assert expected in message


def test_tree_gets_its_state_once() -> None:
    """A second state would come after the checks of what holds the tree."""
    (message,) = problems(build.built(tree(), b")"))
    assert "it is set a second time" in message


def classifier(labels: bytes, classes: bytes = integers(0, 1), name: str = "KNeighborsClassifier") -> bytes:
    """Opcodes of a classifier that was fitted with four points."""
    state = {"_fit_X": build.zeros(4, 2), "_y": labels, "classes_": classes, "n_features_in_": build.value(2)}
    return build.built(build.new("sklearn.neighbors._classification", name), build.mapping(state))


@pytest.mark.parametrize("name", ["KNeighborsClassifier", "RadiusNeighborsClassifier"])
def test_labels_are_places_in_the_classes(name: str) -> None:
    """Votes are counted in a table by the label of each neighbour."""
    assert problems(classifier(integers(0, 1, 1, 0), name=name)) == []
    for labels, expected in (
        (integers(0, 1, 2, 0), "a label is none of 2 classes"),
        (integers(0, 1, -1, 0), "a label is none of 2 classes"),
        (integers(0, 1), "there is another number of labels than of points"),
        (build.zeros(4), "the labels are no integers"),
        # numpy would make an array of them.
        (build.value([0, 1, 2, 0]), "not an array"),
    ):
        (message,) = problems(classifier(labels, name=name))
        assert expected in message
