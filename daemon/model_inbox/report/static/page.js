"use strict";
// Sorting and filtering of tables. Without this script every table is complete, in the order that its caption says.
(() => {
  const value = (cell) => {
    const time = cell.querySelector("time");
    if (time) return time.dateTime;
    const text = cell.textContent.trim();
    // Without an element `time`: "28 Nov 2026, 07:51".
    if (/^\d\d? [A-Z][a-z]{2} \d{4}, \d\d:\d\d$/.test(text)) return Date.parse(`${text.replace(",", "")} UTC`);
    const size = /^([-−\d.,e+]+) ?(B|KiB|MiB|GiB|TiB|PiB|EiB|ms|s|min|h|d|%)?( |$)/.exec(text);
    if (!size) return text;
    const units = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40, PiB: 2 ** 50, EiB: 2 ** 60, ms: 1e-3, min: 60, h: 3600, d: 86400 };
    const number = Number(size[1].replace("−", "-").replaceAll(",", ""));
    return Number.isNaN(number) ? text : number * (units[size[2]] || 1);
  };
  const compare = (one, other) => {
    if (typeof one === "number" && typeof other === "number") return one - other;
    return String(one).localeCompare(String(other), "en", { numeric: true });
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    if (rows.length < 2) continue;
    heads.forEach((head, at) => {
      // A button must not have a link in it.
      if (head.classList.contains("nosort") || head.querySelector("a")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const keyed = rows.map((row) => [value(row.cells[at]), row]);
        // Empty cells stand last in either order.
        keyed.sort(([one], [other]) => (one === "") - (other === "") || (down ? -1 : 1) * compare(one, other));
        body.append(...keyed.map(([, row]) => row));
      });
    });
    if (table.dataset.filter && rows.length > 7) {
      const label = document.createElement("label");
      const input = document.createElement("input");
      const count = document.createElement("output");
      label.className = "filter";
      input.type = "search";
      label.append(`Only ${table.dataset.filter} with`, input, count);
      input.addEventListener("input", () => {
        const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
        let left = 0;
        for (const row of rows) {
          const text = row.textContent.toLowerCase();
          row.hidden = !words.every((word) => text.includes(word));
          left += !row.hidden;
        }
        count.textContent = words.length ? `${left} of ${rows.length}` : "";
      });
      table.parentElement.before(label);
    }
  }
  // A part that does not scroll needs no stop of the keyboard.
  const stops = () => {
    for (const part of document.querySelectorAll(".scroll")) {
      if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
      else part.removeAttribute("tabindex");
    }
  };
  stops();
  addEventListener("resize", stops);
  document.addEventListener("toggle", stops, true);
  // A link to what is in a closed part opens it; so does printing.
  const open = (inside) => {
    for (let part = inside; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
  };
  const follow = () => open(document.getElementById(location.hash.slice(1)));
  addEventListener("hashchange", follow);
  follow();
})();
