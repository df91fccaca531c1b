"""The objects around tensors are accepted only in the forms that torch writes."""

from __future__ import annotations

import pytest

from model_inbox.pickles import Allowlist, scan_bytes
from support import pickle_builders as build

ALLOWLIST = Allowlist.load()
ORDERED = build.called(build.named("collections", "OrderedDict"))
TENSOR = build.tensor(build.storage_id())
DEVICE = build.called(build.named("torch", "device"), build.text("cpu"))
ARGUMENTS = (
    b"(" + build.storage_id() + build.value(0) + build.value((2,)) + build.value((1,)) + b"\x89" + ORDERED + b"t"
)
NONE, TRUE, EMPTY = b"N", b"\x88", b"}"


def codes(opcodes: bytes, **storages: bytes) -> set[str]:
    """Return the codes of the problems of an archive with one storage of two floats."""
    files = {"0": bytes(8), **{name.removeprefix("_"): content for name, content in storages.items()}}
    report = scan_bytes(build.torch_archive(build.pickled(opcodes, protocol=2), files), ALLOWLIST)
    return {problem.code for problem in report.problems}


def tagged(state: bytes, function: bytes = build.named("torch._utils", "_rebuild_tensor_v2")) -> set[str]:
    """Return the codes for a tensor with attributes."""
    kind = build.named("torch", "Tensor")
    return codes(build.called(build.named("torch._tensor", "_rebuild_from_type_v2"), function, kind, ARGUMENTS, state))


def parameter(state: bytes) -> set[str]:
    """Return the codes for a parameter with attributes."""
    function = build.named("torch._utils", "_rebuild_parameter_with_state")
    return codes(build.called(function, TENSOR, TRUE, ORDERED, state))


@pytest.mark.parametrize("make", [tagged, parameter])
def test_attributes_of_tensors_are_plain_data(make) -> None:  # type: ignore[no-untyped-def]
    """Text, numbers, lists and tensors are kept. What torch computes by, and what can be called, is refused."""
    assert make(build.mapping({"tag": build.value([1, "a", None]), "other": TENSOR})) == set()
    assert make(b"(" + build.mapping({"tag": TRUE}) + NONE + b"t") == set()
    for name in ("data", "grad", "_backward_hooks", "requires_grad", "__class__"):
        assert "artifact.forbidden_arguments" in make(build.mapping({name: TENSOR})), name
    for value in (build.named("numpy", "log"), b"]" + build.named("numpy", "log") + b"a"):
        assert make(build.mapping({"detach": value})) == {"artifact.forbidden_arguments"}


def test_function_that_makes_a_tensor_with_attributes_is_known() -> None:
    """It is called with arguments of the file: only torch's own four functions are, with their own rules."""
    assert "artifact.forbidden_arguments" in tagged(EMPTY, build.named("torch.storage", "_load_from_bytes"))
    assert "artifact.forbidden_arguments" in tagged(EMPTY, build.named("numpy", "log"))


def test_tensor_with_attributes_lies_inside_of_its_storage() -> None:
    """The rule of the function that makes it is asked, too."""
    outside = b"(" + build.storage_id() + build.value(1) + build.value((2,)) + build.value((1,)) + b"\x89" + ORDERED
    function = build.named("torch._utils", "_rebuild_tensor_v2")
    opcodes = build.called(
        build.named("torch._tensor", "_rebuild_from_type_v2"),
        function,
        build.named("torch", "Tensor"),
        outside + b"t",
        EMPTY,
    )
    assert codes(opcodes) == {"artifact.forbidden_arguments"}


def test_generator_gets_the_bytes_of_a_state() -> None:
    """(seed, offset, state): torch compares the state itself, but it must be bytes."""
    made = build.called(build.named("torch._C", "Generator"), DEVICE)
    state = build.tensor(build.storage_id("ByteStorage", "1", 8), 0, (8,), (1,))
    assert codes(build.built(made, b"(" + build.value(7) + NONE + state + b"t"), _1=bytes(8)) == set()
    assert codes(build.built(made, b"(" + NONE + NONE + TENSOR + b"t")) == {"artifact.forbidden_arguments"}
    assert codes(build.built(made, b"(" + build.value("7") + NONE + TENSOR + b"t")) == {"artifact.forbidden_arguments"}


def test_handle_of_a_hook_refers_to_dictionaries() -> None:
    """A load makes weak references to them, and counts on from the number."""
    handle = build.new("torch.utils.hooks", "RemovableHandle")
    assert codes(build.built(handle, b"(" + ORDERED + build.value(3) + b"(" + ORDERED + b"tt")) == set()
    for hooks, number in ((TENSOR, 3), (ORDERED, 1 << 40), (ORDERED, -1)):
        state = b"(" + hooks + build.value(number) + b")t"
        assert codes(build.built(handle, state)) == {"artifact.forbidden_arguments"}


def test_results_are_tensors() -> None:
    """`torch.return_types.max` and its kind are tuples whose parts have names."""
    kind = build.named("torch.return_types", "max")
    assert codes(build.called(kind, b"(" + TENSOR + TENSOR + b"t", EMPTY)) == set()
    named = build.mapping({"values": TENSOR})
    assert codes(build.called(kind, b"(" + TENSOR + TENSOR + b"t", named)) == {"artifact.forbidden_arguments"}
    assert codes(build.called(kind, b"(" + build.named("numpy", "log") + b"t", EMPTY)) == {
        "artifact.forbidden_arguments"
    }


def test_types_without_a_storage_are_refused_in_the_old_format() -> None:
    """torch writes float8 and others there, but cannot read them; a plain pickle has that format inside."""
    body = build.legacy_storage_id("UntypedStorage", items=8)
    old = build.torch_legacy(build.pickled(body, protocol=2), ["0"], (8).to_bytes(8, "little") + bytes(8))
    for data in (old, build.pickled(build.called(build.named("torch.storage", "_load_from_bytes"), build.data(old)))):
        (problem,) = scan_bytes(data, ALLOWLIST).problems
        assert problem.code == "artifact.unsupported"
        assert "torch.save(model, file)" in problem.hint


def test_wrapped_hook_has_a_module_if_it_is_called_with_one() -> None:
    """Its state is the hook, whether it gets its module, and the module. A load makes a weak reference to that."""
    module = build.new("torch.nn.modules.linear", "Identity")
    hook = build.named("torch.nn.modules.module", "_WrappedHook")

    def of(state: dict[str, bytes]) -> set[str]:
        return codes(build.built(hook + b")\x81", build.mapping(state)))

    assert of({"hook": NONE, "with_module": TRUE, "module": module}) == set()
    assert of({"hook": NONE, "with_module": b"\x89"}) == set()
    assert of({"hook": NONE, "with_module": b"\x89", "module": NONE}) == set()
    for state in (
        {"hook": NONE, "with_module": TRUE},
        {"hook": NONE, "with_module": TRUE, "module": NONE},
        {"hook": NONE, "with_module": b"\x89", "module": build.value("text")},
        {"hook": NONE, "with_module": build.value(1), "module": module},
        {"with_module": TRUE, "module": module},
        {"hook": NONE, "with_module": b"\x89", "other": NONE},
    ):
        assert of(state) == {"artifact.forbidden_arguments"}, state
