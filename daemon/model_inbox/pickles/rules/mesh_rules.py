"""Rules for the states of scipy's meshes, and of what interpolates on one. Pure.

Owns the comparison of a triangulation's arrays with each other, number against number: compiled code walks from simplex
to neighbor, and reads points and values, at the places that stand in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ..arguments import count_of, is_object, must
from ..stubs import BadArguments, Recorder, StateRule, Stub
from .numpy_rules import ArrayValue, array_of, integers_of
from .scipy_rules import has_shape

__all__ = ["MESH_STATES"]


def _mesh_state(_recorder: Recorder, target: Stub, state: Any) -> None:
    must(target.kept is None and type(state) is dict, "not a state that scipy writes")
    # When the object is deleted it calls `close`, and `close` of this attribute.
    must("close" not in state, "an attribute replaces a method")
    must(state.get("_qhull") is None, "it has a mesh that is still open")


def _triangulation_state(recorder: Recorder, target: Stub, state: Any) -> None:
    _mesh_state(recorder, target, state)
    points, simplices = state.get("_points"), state.get("simplices")
    must(has_shape(points, "f", 8, None, None), "the points are invalid")
    count, dimensions = array_of(points).shape
    must(has_shape(simplices, "i", 4, None, dimensions + 1), "the simplices have another shape")
    faces = array_of(simplices).shape[0]
    sizes = {"ndim": dimensions, "npoints": count, "nsimplex": faces}
    must(all(type(state.get(name)) is int and state[name] == size for name, size in sizes.items()), "a size is wrong")
    must(has_shape(state.get("neighbors"), "i", 4, faces, dimensions + 1), "the neighbors have another shape")
    must(has_shape(state.get("equations"), "f", 8, faces, dimensions + 2), "the equations have another shape")
    must(
        all(has_shape(state.get(name), "f", 8, dimensions) for name in ("min_bound", "max_bound")), "a bound is invalid"
    )
    must(has_shape(state.get("coplanar"), "i", 4, None, 3), "the coplanar points have another shape")
    # What is worked out when it is first asked for.
    transform, simplex_of, neighbors_of = (
        state.get(name) for name in ("_transform", "_vertex_to_simplex", "_vertex_neighbor_vertices")
    )
    must(
        transform is None or has_shape(transform, "f", 8, faces, dimensions + 1, dimensions), "the transform is invalid"
    )
    bounds: list[tuple[Any, int, int]] = [(simplices, 0, count), (state["neighbors"], -1, faces)]
    if simplex_of is not None:
        must(has_shape(simplex_of, "i", 4, count), "there is another number of simplices than of points")
        bounds.append((simplex_of, -1, faces))
    if neighbors_of is not None:
        must(type(neighbors_of) is tuple and len(neighbors_of) == 2, "not a state that scipy writes")
        ends, vertices = neighbors_of
        must(has_shape(ends, "i", 4, count + 1) and has_shape(vertices, "i", 4, None), "the vertices are invalid")
        bounds.append((vertices, 0, count))
        recorder.check_later(type(target).name, partial(_must_rise, array_of(ends), array_of(vertices).shape[0]))
    for places, least, end in bounds:
        recorder.check_later(type(target).name, partial(_must_lie_within, array_of(places), least, end))
    recorder.check_later(type(target).name, partial(_must_be_coplanar, array_of(state["coplanar"]), count, faces))


def _must_lie_within(known: ArrayValue, least: int, end: int) -> None:
    for numbers in integers_of(known, len(known.shape)):
        must(least <= min(numbers) and max(numbers) < end, "a place is outside of the mesh")


def _must_rise(ends: ArrayValue, last: int) -> None:
    before = 0
    for numbers in integers_of(ends):
        for number in numbers:
            must(before <= number <= last, "the ends of the vertices are invalid")
            before = number


def _must_be_coplanar(known: ArrayValue, points: int, faces: int) -> None:
    """Each row is a point, the nearest simplex and the nearest point."""
    numbers = [number for piece in integers_of(known, 2) for number in piece]
    for start, end in ((0, points), (1, faces), (2, points)):
        must(all(0 <= number < end for number in numbers[start::3]), "a coplanar point is outside of the mesh")


def _on_a_mesh(_recorder: Recorder, target: Stub, state: Any) -> None:
    """As many values as the triangulation has points. The triangulation has its state by now."""
    must(target.kept is None and type(state) is dict, "not a state that scipy writes")
    mesh = _state_of(state.get("tri"))
    count, dimensions = array_of(mesh["_points"]).shape
    must(has_shape(state.get("points"), "f", 8, None, dimensions), "the points have another shape")
    values = state.get("values")
    is_complex = state.get("is_complex")
    kind, size = ("c", 16) if is_complex is True else ("f", 8)
    must(type(is_complex) is bool and has_shape(values, kind, size, count, None), "the values have another shape")
    columns = array_of(values).shape[1]
    shape = state.get("values_shape")
    must(type(shape) is tuple and all(type(n) is int and n >= 0 for n in shape), "not a state that scipy writes")
    must(count_of(shape) == columns, "the values have another shape")
    if ".CloughTocher" in type(target).name:
        must(
            dimensions == 2 and has_shape(state.get("grad"), kind, size, count, columns, 2), "the gradients are invalid"
        )


def _state_of(mesh: Any) -> Mapping[str, Any]:
    """Return the attributes of a triangulation, which were checked when it got them."""
    if not is_object(mesh, _TRIANGULATION) or type(mesh.kept) is not dict:
        raise BadArguments("it has no triangulation")
    kept: Mapping[str, Any] = mesh.kept
    return kept


_TRIANGULATION = "scipy.spatial._qhull.Delaunay"

MESH_STATES: dict[str, StateRule] = {
    _TRIANGULATION: _triangulation_state,
    **{f"scipy.spatial._qhull.{name}": _mesh_state for name in ("ConvexHull", "HalfspaceIntersection", "Voronoi")},
    **{f"scipy.interpolate.{module}.{name}": _on_a_mesh
       for module in ("_interpnd", "interpnd") for name in ("CloughTocher2DInterpolator", "LinearNDInterpolator")},
}  # fmt: skip
