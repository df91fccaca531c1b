"""The document: whatever the facts are, it stays one page with our own markup, style and script."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_inbox.model.slot import Slot
from model_inbox.problems import Problem
from model_inbox.report import render
from model_inbox.report.facts import (
    Attention,
    Change,
    Choice,
    DiskUse,
    Drop,
    Metric,
    Overview,
    Rejected,
    Retention,
    SlotBytes,
    Taken,
    Trashed,
    Unread,
    Waiting,
)
from model_inbox.report.pages import Served
from model_inbox.report.render import environment, render_overview
from model_inbox.report.slots import Asked, groups_of, room_for, slot_facts
from support.pages import NOW, Read, entry, overview

TEMPLATES = Path(render.__file__).parent / "templates"
SCRIPT_BYTES_MAX = 5 * 1024
HOSTILE = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</style></table>{{ 7 * 7 }}{% raw %}",
    "abc\u202egnp.exe\u2066",
    "\x00\x1b[31m\r\n`--`",
    "https://example.org/",
    "\ud800",
)
UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def filled(text: str) -> Overview:
    """Return facts that have something of everything, with this text wherever a producer or a person writes one."""
    slot = Slot(text, text, text)
    problem = Problem("artifact.not_allowed", text, text)
    entries = [
        entry(
            number,
            slot=slot,
            model_id=f"{text}{number}",
            validation_metrics={text: 0.5 + number / 100, "b": {"c": 1.0}},
            recorded={text: {"value": 0.25, "at": NOW.isoformat()}},
            held=text if number == 2 else None,
            aliases=["champion", text] if number == 3 else [],
        )
        for number in range(1, 6)
    ]
    rejected = Rejected(text, text, text, NOW, text, slot, (problem,) * 7, NOW)
    facts = slot_facts(slot, entries, (), [(rejected, entries[0])], Asked(), room_for(1, 5), NOW)
    return overview(
        host=text,
        registry_path=text,
        position=text,
        choice=Choice(text, text, text, NOW),
        attention=tuple(Attention("bad", text, text, text, "inbox", is_id=is_id) for is_id in (True, False)),
        slots=(facts,),
        slots_total=2,
        models_total=5,
        drops=(Drop(text, text, text, text, NOW, text, 0.25, (problem,), (problem,)),),
        waiting=(Waiting(text, text, "stuck", text, NOW, NOW, text, (problem,)),),
        waiting_total=2,
        rejected=(rejected,),
        rejected_total=2,
        retention=Retention("off", NOW, (Taken(text, slot, NOW, text, 5),), 5, {slot: 1}, 1, ((text, 4),), 4),
        trash=(Trashed(text, slot, NOW, NOW + timedelta(days=7), text, text, 5),),
        trash_total=2,
        disks=(DiskUse(text, 5, text, 6, 7),),
        slot_bytes=(SlotBytes(slot, 1, 2, 3), SlotBytes(Slot("a", "b"), 1, 2, 3)),
        history=(Change(7, NOW, text, text, text, text),),
        history_total=9,
        unread=(Unread("the trash", text),),
    )


PLAIN = Read(render_overview(filled("word")))


@pytest.mark.parametrize("template", sorted(path.name for path in TEMPLATES.iterdir()))
def test_every_template_can_be_read(template: str) -> None:
    """Each file among the templates is one."""
    assert environment().get_template(template).name == template


@pytest.mark.parametrize("links", [None, Served()])
def test_a_page_about_nothing_says_that_all_is_well(links: Served | None) -> None:
    """No value is missing for an empty registry, and every part says that it is empty."""
    text = Read(render_overview(overview(), links)).text
    for said in (
        "All is well",
        "No model is registered",
        "Nothing waits",
        "The trash is empty",
        "The history is empty",
    ):
        assert said in text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_text(text: str) -> None:
    """They make no element and no attribute of their own, and nothing that cannot be seen is in the page."""
    page = render_overview(filled(text))
    read = Read(page)
    assert set(read.tags) == set(PLAIN.tags)
    assert {name for _, found in read.elements for name in found} == {name for _, f in PLAIN.elements for name in f}
    assert not UNSEEN.search(page)
    assert read.raw == PLAIN.raw
    page.encode()


@settings(max_examples=30, deadline=None)
@given(st.text(min_size=1, max_size=60))
def test_every_text_stays_text(text: str) -> None:
    """As hostile texts do, whatever the text is."""
    page = render_overview(filled(text))
    read = Read(page)
    assert set(read.tags) <= {*PLAIN.tags}
    assert read.tags.count("script") == 1
    assert not UNSEEN.search(page)
    page.encode()


def test_a_page_asks_for_nothing_else() -> None:
    """No address of another place stands in it, and the policy allows its own style and script alone."""
    read = Read(render_overview(filled("https://example.org/")))
    assert all(value[:1] in "#/" or value == "data:," for name in ("href", "src") for value in read.values(name))
    policy = next(found["content"] for tag, found in read.elements if found.get("http-equiv"))
    assert policy is not None
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(read.raw[tag].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert not any(name.startswith("on") or name == "style" for _, found in read.elements for name in found)


def test_the_script_is_small() -> None:
    """At most 5 KB, and none other is in a page."""
    assert len(PLAIN.raw["script"].encode()) <= SCRIPT_BYTES_MAX
    assert PLAIN.tags.count("script") == 1


def test_a_page_has_one_heading_of_the_first_rank_and_no_gap() -> None:
    """Headings go down by one rank; tables have captions; ids are unique, and links of the page lead to one."""
    ranks = [int(tag[1]) for tag in PLAIN.tags if re.fullmatch("h[1-6]", tag)]
    assert ranks[0] == 1
    assert ranks.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(ranks))
    assert PLAIN.tags.count("table") == PLAIN.tags.count("caption")
    ids = PLAIN.values("id")
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in PLAIN.values("href") if link.startswith("#")} <= set(ids)
    assert {name for value in PLAIN.values("aria-labelledby") for name in value.split()} <= set(ids)


def test_a_long_text_is_shortened_and_its_length_said() -> None:
    """Of 100,000 characters a page has the beginning, and says how many there are."""
    page = render_overview(overview(history=(Change(1, NOW, "tag", "m", "x", "word " * 20_000),)))
    assert len(page) < 30_000
    assert "100,000 characters, the first 2,000 here" in Read(page).text


def test_a_rest_of_a_few_words_is_not_folded() -> None:
    """Nobody has to open a text to read the last words of it."""
    page = render_overview(overview(history=(Change(1, NOW, "tag", "m", "x", "word " * 40 + "end"),)))
    assert "long" not in Read(page).values("class")
    assert "word word end" in Read(page).text


@pytest.mark.parametrize(
    ("gain", "says"),
    [(0.0, "0.0 %"), (0.0004, "0.0 %"), (-0.0004, "0.0 %"), (0.001, "0.1 % better"), (-0.118, "11.8 % worse")],
)
def test_what_is_too_small_to_be_shown_is_not_better(gain: float, says: str) -> None:
    """A gain has a word beside it only if its figure is not 0."""
    shown = environment().filters["gain"](Metric("1d.rmse", "min", (), 0, gain=gain))
    assert shown.striptags() == says


def test_ids_are_not_shortened() -> None:
    """The longest that there is stands there whole."""
    model_id = "m" + "-x" * 63 + "y"
    assert len(model_id) == 128
    assert f"<code>{model_id}</code>" in render_overview(overview(history=(Change(1, NOW, "pin", model_id, "x", ""),)))


def of_size(models: int, slots: int) -> dict[str, Any]:
    """Return the slots of a registry with so many models, as the overview has them."""
    entries = [
        entry(
            number,
            slot=Slot(f"P{number % slots:03d}/USD", "lightgbm"),
            model_id=f"p{number % slots:03d}-usd-lightgbm-{number:06d}",
            days=number // slots,
            validation_metrics={f"{days}d": {"rmse": 0.004, "accuracy": 0.5} for days in (1, 7, 30)},
        )
        for number in range(models)
    ]
    groups = groups_of(entries, Choice())
    room = room_for(slots, models)
    charted = {*list(groups)[: room.charted]}
    facts = tuple(
        slot_facts(slot, found, (), (), Asked(), room if slot in charted else room.only_listed(), NOW)
        for slot, found in [*groups.items()][: room.slots]
    )
    return {"slots": facts, "slots_total": len(groups), "models_total": models}


@pytest.mark.parametrize(
    ("models", "slots", "most"),
    [(1_000, 1, 260_000), (1_000, 12, 260_000), (1_000, 1_000, 260_000), (5_000, 250, 1_800_000)],
)
def test_a_page_of_a_large_registry_stays_small(models: int, slots: int, most: int) -> None:
    """Slots, metrics and models for which there is no room are counted. (Forty kilobytes are left for the rest.)"""
    page = render_overview(overview(**of_size(models, slots)))
    assert len(page.encode()) < most
