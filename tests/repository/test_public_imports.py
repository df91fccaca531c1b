"""The import paths that programs of users rely on. Where the code behind a path stands may change; the path may not."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

import model_inbox


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("model_inbox.ModelRegistry", "class"),
        ("model_inbox.ModelMetadata", "class"),
        ("model_inbox.Position", "class"),
        ("model_inbox.drop", "function"),
        ("model_inbox.ModelInboxError", "class"),
        ("model_inbox.registry.ModelRegistry", "class"),
        ("model_inbox.config.load_config", "function"),
        ("model_inbox.pickles.load", "function"),
    ],
)
def test_a_public_path_leads_to_what_it_names(path: str, kind: str) -> None:
    """`from MODULE import NAME` works, and gives the class or the function of that name."""
    module, _, name = path.rpartition(".")
    found = getattr(importlib.import_module(module), name)
    assert (found.__name__, inspect.isclass(found)) == (name, kind == "class")
    assert callable(found)


def in_a_new_process(program: str) -> str:
    """Return what a program prints that begins with nothing of ours imported."""
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout


def test_a_star_gives_every_public_name() -> None:
    """`from model_inbox import *` binds all of `__all__`, though each is imported at its first use."""
    program = "from model_inbox import *; print(sorted(name for name in dir() if not name.startswith('_')))"
    assert in_a_new_process(program) == f"{sorted(model_inbox.__all__)}\n"


def test_what_was_not_used_yet_is_listed() -> None:
    """`dir`, which completes names in a notebook, shows every public name before its first use, and imports none."""
    program = (
        "import sys, model_inbox; print({*model_inbox.__all__, '__version__'} <= {*dir(model_inbox)}, "
        "[name for name in sys.modules if name.startswith('model_inbox.')])"
    )
    assert in_a_new_process(program) == "True []\n"


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    """A wrong name fails as in any module: `hasattr` is false, and `from model_inbox import` an ImportError."""
    assert not hasattr(model_inbox, "ModelRegister")
    with pytest.raises(AttributeError, match="module 'model_inbox' has no attribute 'ModelRegister'"):
        model_inbox.ModelRegister  # noqa: B018  # using it is the test
    with pytest.raises(ImportError, match="ModelRegister"):
        exec("from model_inbox import ModelRegister")


def test_the_registry_has_one_class() -> None:
    """Both paths of `ModelRegistry` lead to one class, so `isinstance` agrees."""
    assert importlib.import_module("model_inbox.registry").ModelRegistry is model_inbox.ModelRegistry


def test_every_public_error_is_one_of_ours() -> None:
    """A program that catches ModelInboxError catches every error class that the package gives."""
    errors = [getattr(model_inbox, name) for name in model_inbox.__all__]
    errors = [one for one in errors if inspect.isclass(one) and issubclass(one, BaseException)]
    assert model_inbox.RegistryLocked in errors
    assert all(issubclass(one, model_inbox.ModelInboxError) for one in errors)
