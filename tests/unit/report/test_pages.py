"""Links: parts of one file, and paths of a server."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from model_inbox.model.slot import Slot
from model_inbox.report.pages import OneFile, Served, anchor_of

SLOTS = st.builds(Slot, st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))


@given(SLOTS, SLOTS)
def test_each_slot_has_a_name_of_its_own(one: Slot, other: Slot) -> None:
    """It is a word of plain characters, and two slots never share one."""
    assert re.fullmatch(r"[A-Za-z0-9_.~-]+", anchor_of(one))
    assert (anchor_of(one) == anchor_of(other)) == (one == other)


def test_a_file_links_to_its_own_parts_alone() -> None:
    """What it has no part about is no link."""
    links = OneFile()
    assert links.slot(Slot("EUR/USD", "lightgbm"), is_here=True) == "#slot-EUR_2FUSD-lightgbm-"
    assert links.slot(Slot("EUR/USD", "lightgbm"), is_here=False) is None
    assert links.model("m") is None
    assert links.comparison("a", "b") is None


@given(st.text(min_size=1))
def test_a_server_links_to_paths_alone(text: str) -> None:
    """Whatever an id is, the link stays on this server."""
    links = Served()
    found = [links.overview(), links.slot(Slot(text, text, text), is_here=False), links.model(text)]
    found.append(links.comparison(text, text))
    assert all(link is not None and re.match(r"/(?![/\\])", link) for link in found)
