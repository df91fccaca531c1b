"""A page in a real Chromium: opened in every way that people open it, and looked at as they would.

Owns the browser and the measuring, which JavaScript does inside the page. Says what is wrong as a list of texts, which
is empty where all is well. Never changes a page.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright

CHROMIUM = "/usr/bin/chromium"
WIDTHS = (390, 768, 1200)
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
HEIGHT = 900
# Two boxes of text may touch: fonts are measured to a part of a pixel, and lines overlap by their spacing.
TOUCH_PIXELS = 2

Scheme = Literal["light", "dark"]


def start(playwright: Playwright) -> Browser:
    """Start the system's Chromium. Its sandbox does not work as root."""
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)


class Opened:
    """A page in the browser, with what it said and asked for meanwhile."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(address)

    def _note(self, message: ConsoleMessage) -> None:
        self.said.append(f"{message.type}: {message.text}")

    def evaluate(self, script: str, argument: Any = None) -> Any:
        return self.page.evaluate(script, argument)


@contextlib.contextmanager
def opened(
    browser: Browser,
    address: str,
    *,
    width: int = 1200,
    scheme: Scheme = "light",
    script: bool = True,
    printed: bool = False,
) -> Iterator[Opened]:
    """Open a page as it is: its policy holds."""
    context = browser.new_context(
        viewport={"width": width, "height": HEIGHT},
        color_scheme=scheme,
        java_script_enabled=script,
        reduced_motion="reduce",
    )
    try:
        page = context.new_page()
        if printed:
            page.emulate_media(media="print")
        yield Opened(page, address)
    finally:
        context.close()


def outside(page: Opened, address: str) -> list[str]:
    """Return the requests for anything but the page itself."""
    return [url for url in page.asked if url != address and not url.startswith("data:")]


def overflow(page: Opened) -> list[str]:
    """Return what is wider than the window: the document, and the elements that make it so."""
    found: list[str] = page.evaluate(_OVERFLOW)
    return found


def cut_or_covered(page: Opened) -> list[str]:
    """Return the texts that are cut off, or lie on one another."""
    found: list[str] = page.evaluate(_TEXTS, TOUCH_PIXELS)
    return found


def violations(page: Opened) -> list[str]:
    """Return what axe-core finds, each with the first element that it is about."""
    page.evaluate(Path(os.environ["AXE"]).read_text(encoding="utf-8"))
    found: list[str] = page.evaluate(_AXE)
    return found


def by_keyboard(page: Opened) -> tuple[list[str], list[str]]:
    """Walk the page with the Tab key. Return what can be reached, in order, and what is wrong with it."""
    wanted: list[str] = page.evaluate(_FOCUSABLE)
    reached, faults = [], []
    for _ in range(len(wanted) + 1):
        page.page.keyboard.press("Tab")
        found: dict[str, Any] | None = page.evaluate(_FOCUSED)
        if found is None:
            break
        reached.append(str(found["name"]))
        faults += [str(fault) for fault in found["faults"]]
    faults += [f"not reached: {name}" for name in (Counter(wanted) - Counter(reached)).elements()]
    return reached, faults


_NAME = """
const name = (element) => {
  const text = (element.getAttribute('aria-label') || element.textContent || element.value || '').trim();
  const path = [];
  for (let at = element; at && at.tagName !== 'BODY' && path.length < 3; at = at.parentElement) {
    const number = at.parentElement ? [...at.parentElement.children].indexOf(at) : 0;
    path.unshift(at.tagName.toLowerCase() + (at.id ? '#' + at.id : '[' + number + ']'));
  }
  return path.join('>') + ' ' + JSON.stringify(text.slice(0, 40));
};
const scrolls = (element) => {
  const style = getComputedStyle(element);
  return /auto|scroll/.test(style.overflowX + style.overflowY);
};
"""

_OVERFLOW = f"""() => {{
{_NAME}
const root = document.scrollingElement;
if (root.scrollWidth <= root.clientWidth) return [];
const found = [`the page is ${{root.scrollWidth}} wide, the window ${{root.clientWidth}}`];
for (const element of document.body.querySelectorAll('*')) {{
  const width = element.getBoundingClientRect().left + element.scrollWidth;
  if (Math.max(element.getBoundingClientRect().right, width) <= root.clientWidth + 1) continue;
  let inside = false;
  for (let at = element.parentElement; at; at = at.parentElement) inside = inside || scrolls(at);
  if (!inside) found.push(`sticks out: ${{name(element)}}`);
}}
return found.slice(0, 8);
}}"""

# The boxes of all visible texts, without what a scrolling ancestor hides: first which are cut off, then which overlap.
_TEXTS = f"""(touch) => {{
{_NAME}
const found = [], boxes = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = walker.nextNode(); node; node = walker.nextNode()) {{
  const element = node.parentElement;
  if (!node.data.trim() || element.closest('script, style, title, desc, option, datalist')) continue;
  if (element.tagName === 'DETAILS' && !element.open) continue;
  if (!element.checkVisibility({{opacityProperty: true, visibilityProperty: true}})) continue;
  const range = document.createRange();
  range.selectNodeContents(node);
  for (const rect of range.getClientRects()) {{
    let [left, right, top, bottom] = [rect.left, rect.right, rect.top, rect.bottom];
    let hidden = false;
    for (let at = element; at && at !== document.body; at = at.parentElement) {{
      const style = getComputedStyle(at), clips = /hidden|clip|auto|scroll/.test(style.overflowX + style.overflowY);
      if (!clips && !(at instanceof SVGSVGElement && style.overflow !== 'visible')) continue;
      const box = at.getBoundingClientRect();
      if (box.width <= 1 || box.height <= 1) {{ hidden = true; break; }}
      const out = Math.max(box.left - left, right - box.right, box.top - top, bottom - box.bottom);
      if (out > touch && !scrolls(at)) found.push(`cut off by ${{out.toFixed(0)}} px: ${{name(element)}}`);
      left = Math.max(left, box.left), right = Math.min(right, box.right);
      top = Math.max(top, box.top), bottom = Math.min(bottom, box.bottom);
    }}
    if (!hidden && right - left > 1 && bottom - top > 1) boxes.push({{left, right, top, bottom, element}});
  }}
}}
boxes.sort((one, other) => one.top - other.top);
for (let i = 0; i < boxes.length; i++) {{
  const one = boxes[i];
  for (let j = i + 1; j < boxes.length && boxes[j].top < one.bottom - touch; j++) {{
    const other = boxes[j];
    if (one.element === other.element) continue;
    const wide = Math.min(one.right, other.right) - Math.max(one.left, other.left);
    const high = Math.min(one.bottom, other.bottom) - other.top;
    // Lines of one text overlap by their spacing: a quarter of the height is nothing that anybody sees.
    const least = Math.max(touch, 0.25 * Math.min(one.bottom - one.top, other.bottom - other.top));
    if (wide > touch && high > least)
      found.push(`on one another: ${{name(one.element)}} and ${{name(other.element)}}, ${{wide.toFixed(0)}} px`);
  }}
}}
return found.slice(0, 12);
}}"""

_AXE = """async () => {
const result = await axe.run(document, {resultTypes: ['violations', 'incomplete']});
const said = (one) => `${one.id}: ${one.help}: ${one.nodes[0].html.slice(0, 160)} (${one.nodes.length})`;
return result.violations.map(said);
}"""

_FOCUSABLE = f"""() => {{
{_NAME}
const all = 'a[href], button, input, select, textarea, summary, [tabindex]:not([tabindex="-1"])';
return [...document.querySelectorAll(all)]
  .filter((one) => !one.disabled && one.tabIndex >= 0 && one.checkVisibility({{visibilityProperty: true}}))
  .map(name);
}}"""

# What has the focus: its name, and whether it is seen and comes after what had it before.
_FOCUSED = f"""() => {{
{_NAME}
const element = document.activeElement, faults = [];
if (!element || element === document.body || element === document.documentElement) return null;
if (window.before === element) return null;
if (window.before && !(window.before.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING)) return null;
window.before = element;
const style = getComputedStyle(element), box = element.getBoundingClientRect();
const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1;
if (!outlined) faults.push(`the focus is not seen: ${{name(element)}}`);
if (box.width < 1 || box.height < 1) faults.push(`nothing is seen of: ${{name(element)}}`);
if (box.bottom < 0 || box.top > innerHeight) faults.push(`not scrolled to: ${{name(element)}}`);
return {{name: name(element), faults}};
}}"""
