"""`model-inbox why`: says why a model or a drop is where it is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import click

from ..errors import EntryNotFound
from ..problems import quoted
from .arguments import MODEL, as_instant, find_model, resolved
from .common import App, Command, act_as_owner, now, pass_app
from .completion import complete_model
from .output import print_fields, print_json, print_lines

if TYPE_CHECKING:
    from ..config.settings import Config
    from ..inbox.explain import Explained
    from ..report.model_facts import Said
    from ..why.evidence import Evidence
    from .gathering import Gatherer, Places

__all__ = ["said_of_model", "why"]


@click.command(
    cls=Command,
    examples=[
        "model-inbox why usd_eur_20251025",
        "model-inbox why USD/EUR:lightgbm@champion --at 2026-11-01",
        "model-inbox why 20261124T045318114026Z-0007-h2 --json",
    ],
    exits={1: "nothing is known of it"},
)
@click.argument("given", metavar=f"{MODEL}|DROP", shell_complete=complete_model)
@click.option("--at", "at", callback=as_instant, metavar="TIME", help="As it was at that time.")
@pass_app
def why(app: App, *, given: str, at: datetime | None, as_json: bool) -> None:
    """Say why a model was accepted, held, refused, is newest or not, was promoted, is kept or was retired.

    Answers from the history, the receipts, the rejected drops and the stored sidecars; no daemon is needed. DROP is a
    drop_id, or the stem of a drop that waits in the inbox or was answered. What is not known is said to be unknown.
    """
    from ..why.answers import answers
    from .gathering import Gatherer

    config = app.config
    places = _places(app)
    gatherer = Gatherer(places, config, now(), at)
    evidence = _find(app, gatherer, given, at)
    found = answers(evidence)
    if not found:
        raise EntryNotFound(
            f"cannot say anything about {quoted(given, 255)}: nothing is known of a model or a drop of that name",
            hint=f"Looked at {gatherer.looked_at()}. `model-inbox list` shows the models",
        )
    if as_json:
        print_json({"model_id": evidence.model_id, "answers": [answer.as_dict() for answer in found]})
        return
    print_lines(evidence.model_id if evidence.model_id is not None else given)
    change = {answer: f" (change {answer.sequence})" if answer.sequence is not None else "" for answer in found}
    print_fields((answer.about, answer.with_rules + change[answer]) for answer in found)


def said_of_model(config: Config, model_id: str, moment: datetime) -> Said:
    """Return the answers about a model, for its page. Raises what `Gatherer` raises."""
    from ..report.model_facts import Reason, Said
    from ..why.answers import answers
    from .gathering import Gatherer

    gatherer = Gatherer(_places_in(config), config, moment)
    found = answers(gatherer.of_model(model_id))
    reasons = (Reason(one.about, one.text, one.sequence, one.rules) for one in found)
    return Said(tuple(reasons), gatherer.looked_at())


def _places(app: App) -> Places:
    """Return where to look. Root becomes the owner of that first. Raises RegistryMissing."""
    where = app.places
    act_as_owner(where.registry.parent, where.storage_dir)
    app.must_exist()
    if os.path.lexists(where.inbox):
        act_as_owner(where.inbox)
    return _places_in(app.config)


def _places_in(config: Config) -> Places:
    from .gathering import Places

    registry, inbox = config.registry, config.inbox.path
    # A machine that only reads the registry has no inbox.
    explain = partial(_explain, config) if os.path.lexists(inbox) else None
    return Places(registry.path, registry.storage_dir, inbox, explain)


def _explain(config: Config, names: Sequence[str]) -> Sequence[Explained]:
    """Return what names in the inbox wait for."""
    from ..inbox.explain import explain
    from .inbox import look_options_of

    return explain(names, config.inbox.path, **look_options_of(config))


def _find(app: App, gatherer: Gatherer, given: str, at: datetime | None) -> Evidence:
    """Return the evidence about what a person names: a drop, a model, or the model of a slot. Raises EntryNotFound."""
    from ..inbox.claim_names import claimed_at

    if claimed_at(given) is not None:
        evidence = gatherer.of_drop(given)
        if evidence.is_known:
            return evidence
    if ":" not in given:
        return gatherer.of_model(given)
    entry = gatherer.model_of_slot(given)
    if entry is not None:
        return gatherer.of_model(resolved(given, entry))
    # Opens the whole registry, to say what was probably meant.
    with app.reading() as registry:
        return gatherer.of_model(find_model(registry, given, as_of=at))
