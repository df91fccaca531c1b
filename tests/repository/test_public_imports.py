"""The import paths that programs of users rely on. Where the code behind a path stands may change; the path may not."""

from __future__ import annotations

import importlib
import inspect

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


def test_the_registry_has_one_class() -> None:
    """Both paths of `ModelRegistry` lead to one class, so `isinstance` agrees."""
    assert importlib.import_module("model_inbox.registry").ModelRegistry is model_inbox.ModelRegistry


def test_every_public_error_is_one_of_ours() -> None:
    """A program that catches ModelInboxError catches every error class that the package gives."""
    errors = [getattr(model_inbox, name) for name in model_inbox.__all__]
    errors = [one for one in errors if inspect.isclass(one) and issubclass(one, BaseException)]
    assert model_inbox.RegistryLocked in errors
    assert all(issubclass(one, model_inbox.ModelInboxError) for one in errors)
