"""The measuring itself: each fault that it looks for is found in a page that has it, and none in one without."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from browser import by_keyboard, cut_or_covered, opened, outside, overflow, violations

HEAD = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A page</title></head><body><main><h1>A page</h1>'
)


def file(folder: Path, body: str) -> str:
    path = folder / "page.html"
    path.write_text(f"{HEAD}{body}</main></body></html>")
    return path.as_uri()


def test_a_right_page_has_no_fault(browser: Browser, tmp_path: Path) -> None:
    """Texts side by side, a wide table in a scrolling part, and a link."""
    inside = '<div style="width:3000px">x</div>'
    wide = f'<div style="overflow-x:auto" tabindex="0" role="group" aria-label="Wide">{inside}</div>'
    with opened(browser, file(tmp_path, f'<p>one</p><p>two</p>{wide}<p><a href="#x" id="x">three</a></p>')) as page:
        assert (overflow(page), cut_or_covered(page), violations(page), page.said) == ([], [], [], [])
        reached, faults = by_keyboard(page)
    assert (len(reached), faults) == (2, [])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('<p style="width:3000px">wide</p>', "the page is"),
        ('<p style="white-space:nowrap">' + "word " * 400 + "</p>", "sticks out"),
    ],
)
def test_what_is_wider_than_the_window_is_found(browser: Browser, tmp_path: Path, body: str, said: str) -> None:
    """By the page's width and by the element."""
    with opened(browser, file(tmp_path, body)) as page:
        assert said in " ".join(overflow(page))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('<p style="width:40px;overflow:hidden;white-space:nowrap">cut off here</p>', "cut off"),
        ('<p style="height:8px;overflow:clip">cut off below</p>', "cut off"),
        ('<p>below</p><p style="margin-top:-30px">above</p>', "on one another"),
        ('<svg width="99" height="30"><text y="20">one</text><text x="9" y="20">two</text></svg>', "on one another"),
        ('<svg width="99" height="30"><text x="80" y="20">beyond the end</text></svg>', "cut off"),
    ],
)
def test_texts_that_cannot_be_read_are_found(browser: Browser, tmp_path: Path, body: str, said: str) -> None:
    """Cut off by a box or by the end of a drawing, or lying on one another."""
    with opened(browser, file(tmp_path, body)) as page:
        assert said in " ".join(cut_or_covered(page))


def test_a_violation_is_found(browser: Browser, tmp_path: Path) -> None:
    """axe-core runs, and finds a text without contrast."""
    with opened(browser, file(tmp_path, '<p style="color:#ddd;background:#fff">pale</p>')) as page:
        assert any(one.startswith("color-contrast") for one in violations(page))


@pytest.mark.parametrize(
    ("links", "said"),
    [
        ('<a href="#a" style="outline:none">no outline</a>', "the focus is not seen"),
        ('<a href="#a">second</a> <a href="#b" tabindex="5">first</a>', "not reached"),
        ('<a href="#a" style="position:absolute;left:9px;width:0;height:0;overflow:hidden">x</a>', "nothing is seen"),
    ],
)
def test_what_the_keyboard_does_not_reach_or_show_is_found(
    browser: Browser, tmp_path: Path, links: str, said: str
) -> None:
    """A link whose focus is not seen, one that comes out of the order of the page, and one without a size."""
    with opened(browser, file(tmp_path, f"<p>{links}</p>")) as page:
        assert said in " ".join(by_keyboard(page)[1])


def test_requests_and_errors_are_noted(browser: Browser, tmp_path: Path) -> None:
    """A picture from elsewhere, an error of a script, and a word in the console."""
    address = file(
        tmp_path, '<img alt="x" src="https://example.invalid/x.png"><script>console.log("here");x()</script>'
    )
    with opened(browser, address) as page:
        assert outside(page, address) == ["https://example.invalid/x.png"]
        assert "log: here" in page.said
        assert any("x is not defined" in text for text in page.said)
