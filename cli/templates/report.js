"use strict";
// Filters and sorts what the page has already. Without it the page shows everything in its first order.
(() => {
  // The cards that a phone shows without a click.
  const FEW = 6;
  const make = (name, properties, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };
  const number = (text) => Number.parseFloat(text.replace("−", "-").replace("< ", "").replaceAll(/(?<=\d),(?=\d{3})/g, ""));
  const order = (a, b) => {
    const [x, y] = [number(a), number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = make("button", { type: "button", textContent: head.textContent });
      button.addEventListener("click", () => {
        const falling = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", falling ? "descending" : "ascending");
        const text = (row) => row.cells[column].textContent;
        const rows = [...table.tBodies[0].rows].sort((a, b) => order(text(a), text(b)));
        table.tBodies[0].append(...(falling ? rows.reverse() : rows));
      });
      head.replaceChildren(button);
    });
  }

  const filters = new Map();
  // The lines of the source are no part of a text.
  const plain = (text) => text.toLowerCase().replaceAll(/\s+/g, " ").trim();
  for (const section of document.querySelectorAll("[data-filter]")) {
    const items = [...section.querySelectorAll("[data-item]")];
    if (items.length < 2) continue;
    const texts = new Map(items.map((item) => [item, plain(item.textContent)]));
    const input = make("input", { type: "search", placeholder: "file or class" });
    const found = make("span", { className: "soft" });
    found.setAttribute("role", "status");
    input.addEventListener("input", () => {
      const wanted = plain(input.value);
      let count = 0;
      for (const [item, text] of texts) {
        item.hidden = !text.includes(wanted);
        count += item.hidden ? 0 : 1;
      }
      if (input.value !== "") {
        section.querySelectorAll("details").forEach((details) => (details.open = true));
      }
      found.textContent = input.value === "" ? "" : `${count} of ${items.length} entries`;
    });
    const tools = make("div", { className: "tools" }, make("label", {}, "Filter", input));
    const cards = section.querySelector(".cards");
    if (cards !== null && cards.children.length > 1) {
      const select = make("select", {}, new Option(cards.dataset.order), new Option("file name"));
      const first = [...cards.children];
      let show = (all) => cards.append(...all);
      // On a phone, further cards are folded.
      if (matchMedia("(max-width: 45rem)").matches && first.length > FEW) {
        const rest = make("div", { className: "cards" });
        const summary = make("summary", { textContent: `${first.length - FEW} more cards` });
        cards.after(make("details", {}, summary, rest));
        show = (all) => {
          cards.append(...all.slice(0, FEW));
          rest.append(...all.slice(FEW));
        };
        show(first);
      }
      select.addEventListener("change", () => {
        const name = (card) => card.querySelector("h4").textContent;
        const byName = [...first].sort((a, b) => name(a).localeCompare(name(b)));
        show(select.selectedIndex === 0 ? first : byName);
      });
      tools.append(make("label", {}, "Sort", select));
    }
    tools.append(found);
    section.querySelector("h2").after(tools);
    filters.set(section.id, input);
  }

  // A class leads to its images.
  for (const cell of document.querySelectorAll("td[data-images]")) {
    const input = filters.get(cell.dataset.images);
    if (input === undefined) continue;
    const button = make("button", { type: "button", textContent: cell.textContent, title: "show the images with this class" });
    button.addEventListener("click", () => {
      input.value = cell.textContent;
      input.dispatchEvent(new Event("input"));
      input.focus();
    });
    cell.replaceChildren(button);
  }
})();
