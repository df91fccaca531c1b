"""The pages that `model-inbox web` serves, in a browser that follows their links and holds to their policy."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser

from browser import SCHEMES, WIDTHS, by_keyboard, cut_or_covered, opened, outside, overflow, violations
from registries import PROGRAM
from support.ports import reserve_port
from support.waiting import wait_until


def answers(address: str) -> bool:
    try:
        urlopen(address, timeout=20).close()
    except URLError as error:
        return not isinstance(error.reason, ConnectionRefusedError)
    return True


@pytest.fixture(scope="module", name="site")
def _site(config_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the pages of four months."""
    port = reserve_port()
    config = config_of("four months")
    served = config.with_name("served.yaml")
    served.write_text(json.dumps({**json.loads(config.read_text()), "web": {"listen": f"127.0.0.1:{port}"}}))
    log = (tmp_path_factory.mktemp("log") / "web.log").open("wb")
    with log, subprocess.Popen([*PROGRAM, "--config", served, "web"], stderr=log) as process:
        try:
            wait_until(lambda: answers(f"http://127.0.0.1:{port}/"), process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def models_of(browser: Browser, site: str) -> list[str]:
    """Return the links of the overview to pages of models."""
    with opened(browser, site + "/") as page:
        links = "[...new Set([...document.links].map((one) => one.getAttribute('href')))]"
        return [link for link in page.evaluate(links) if link.startswith("/model/")]


@pytest.mark.parametrize("kind", ["overview", "slot", "model", "comparison", "none"])
def test_every_kind_of_page_is_right(browser: Browser, site: str, kind: str) -> None:
    """Nothing said, requested, cut off or wider than the window; axe-core finds nothing; the keyboard reaches all."""
    one, other, *_ = models_of(browser, site)
    ids = [link.removeprefix("/model/") for link in (one, other)]
    path = {
        "overview": "/",
        "slot": "/?pair=EUR%2FUSD&type=lightgbm&variant=",
        "model": one,
        "comparison": f"/compare?id={ids[0]}&id={ids[1]}",
        "none": "/no-such-page",
    }[kind]
    for width, scheme in zip((WIDTHS[0], WIDTHS[-1]), SCHEMES, strict=True):
        with opened(browser, site + path, width=width, scheme=scheme) as page:
            # Of a page that there is not, the browser itself says so.
            said = [text for text in page.said if "404 (Not Found)" not in text]
            faults = [*said, *outside(page, site + path), *overflow(page), *cut_or_covered(page), *violations(page)]
            assert (width, faults) == (width, [])
    with opened(browser, site + path) as page:
        reached, faults = by_keyboard(page)
    assert (bool(reached), faults) == (True, [])


def test_the_heads_of_rows_are_not_broken(browser: Browser, site: str) -> None:
    """On a phone the names in the page of a model are as long as they are, and leave the rest to what they say."""
    lines = (
        "(one) => { const range = document.createRange(); range.selectNodeContents(one); "
        "return new Set([...range.getClientRects()].map((box) => box.top)).size }"
    )
    with opened(browser, site + models_of(browser, site)[0], width=WIDTHS[0]) as page:
        heads = page.evaluate(f"[...document.querySelectorAll('.notes th')].map({lines})")
        share = "(row) => row.cells[0].offsetWidth / row.offsetWidth"
        shares = page.evaluate(f"[...document.querySelectorAll('.notes tr:first-child')].map({share})")
    assert len(heads) > 10
    assert set(heads) == {1}
    assert max(shares) < 0.4


def test_links_lead_to_pages(browser: Browser, site: str) -> None:
    """From the overview to a model, from there to another one and back, by clicking."""
    with opened(browser, site + "/") as page:
        page.page.locator("main a[href^='/model/']").first.click()
        assert page.page.url.startswith(f"{site}/model/")
        page.page.locator("header a[href='/'], nav a[href='/'], a[href='/']").first.click()
        assert page.page.url == site + "/"
    for link in models_of(browser, site)[:5]:
        with urlopen(site + link, timeout=20) as answer:
            assert answer.status == 200
