"use strict";
// Runs in a copy of a report, inside a frame of a given width, and sends what it found to the page around it.
addEventListener("load", async () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  const describe = (element) =>
    `${element.tagName.toLowerCase()}.${element.getAttribute("class") ?? ""} "${element.textContent.trim().slice(0, 60)}"`;
  const width = document.documentElement.clientWidth;
  const isScrolled = (element) => element.closest("pre") !== null;
  const overflow = [...document.body.querySelectorAll("*")].filter((element) => {
    const box = element.getBoundingClientRect();
    return box.width > 1 && (box.right > width + 1 || box.left < -1) && !isScrolled(element);
  });
  // Text of a chart outside of its drawing is cut off.
  const cut = [...document.querySelectorAll("figure > svg text")].filter((text) => {
    const [own, drawing] = [text, text.closest("svg")].map((it) => it.getBoundingClientRect());
    return own.left < drawing.left - 1 || own.right > drawing.right + 1 || own.top < drawing.top - 1 || own.bottom > drawing.bottom + 1;
  });
  // Two texts of a chart that lie on each other. Boxes of lines are higher than their letters.
  const overlapping = [...document.querySelectorAll("figure > svg")].flatMap((drawing) => {
    const texts = [...drawing.querySelectorAll("text")].map((text) => [text, text.getBoundingClientRect()]);
    const meet = ([, a], [, b]) =>
      Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
    return texts.flatMap((one, place) =>
      texts.slice(place + 1).filter((other) => meet(one, other)).map((other) => `${describe(one[0])} and ${describe(other[0])}`));
  });
  const found = await axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] });
  const violations = found.violations.map(
    (it) => `${it.id}: ${it.nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} ${node.failureSummary}`).join(" | ")}`,
  );
  parent.postMessage({
    width,
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    scroll: document.documentElement.scrollWidth,
    tools: document.querySelectorAll(".tools input").length,
    sortable: document.querySelectorAll("th button").length,
    contrast: found.passes.some((it) => it.id === "color-contrast"),
    overflow: overflow.slice(0, 5).map(describe),
    cut: cut.slice(0, 5).map(describe),
    overlapping: overlapping.slice(0, 5),
    violations,
  }, "*");
});
