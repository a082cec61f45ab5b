
"use strict";
// The point nearest to the pointer, or under the keyboard's focus, shows its row of the table of runs; headings sort.

const NOTHING = "\u2013";
const REACH = 7; // units of the drawing within which a point is under the pointer
const tip = document.getElementById("tip");
const table = document.getElementById("runs");
const rows = Array.from(table.tBodies[0].rows); // as written: marks refer to them by number
const headings = Array.from(table.tHead.rows[0].cells, (cell) => cell.textContent);
const ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
ring.setAttribute("class", "ring");
ring.setAttribute("r", "4");
let current = null;
let kept = false;

function show(mark) {
  if (mark !== current) {
    current = mark;
    ring.setAttribute("cx", mark.getAttribute("x"));
    ring.setAttribute("cy", mark.getAttribute("y"));
    mark.ownerSVGElement.append(ring);
    tip.replaceChildren(describe(rows[Number(mark.dataset.row)]));
    tip.hidden = false;
  }
  tip.classList.toggle("kept", kept);
  place(mark.getBoundingClientRect());
}

function describe(row) {
  const list = document.createElement("dl");
  Array.from(row.cells).forEach((cell, number) => {
    if (cell.textContent === NOTHING) return;
    const [term, value] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = headings[number];
    value.append(...cell.cloneNode(true).childNodes);
    if (number === headings.length - 1) list.prepend(term, value); // where the run lies comes first
    else list.append(term, value);
  });
  return list;
}

function place(mark) {
  const fits = mark.right + 12 + tip.offsetWidth < document.documentElement.clientWidth;
  const left = fits ? mark.right + 12 : mark.left - 12 - tip.offsetWidth;
  const lowest = document.documentElement.clientHeight - tip.offsetHeight - 8;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${Math.max(8, Math.min(mark.top - 20, lowest))}px`;
}

function hide() {
  current = null;
  kept = false;
  tip.hidden = true;
  ring.remove();
}

function keep(mark) {
  const again = kept && mark === current;
  kept = !again;
  if (again) hide();
  else show(mark);
}

function nearest(svg, marks, event) {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  let [found, least] = [null, REACH];
  for (const mark of marks) {
    const distance = Math.hypot(mark.x.baseVal.value - at.x, mark.y.baseVal.value - at.y);
    if (distance <= least) [found, least] = [mark, distance]; // of equals the last, which lies on top
  }
  return found;
}

function listen(svg) {
  const marks = Array.from(svg.querySelectorAll("[data-row]"));
  svg.querySelectorAll(".panel").forEach(walk);
  svg.addEventListener("pointermove", (event) => {
    if (kept) return;
    const mark = nearest(svg, marks, event);
    if (mark) show(mark);
    else hide();
  });
  svg.addEventListener("pointerleave", () => kept || hide());
  svg.addEventListener("click", (event) => {
    const mark = nearest(svg, marks, event);
    if (mark) keep(mark);
    if (mark) event.stopPropagation();
  });
  svg.addEventListener("focusin", (event) => {
    if (!event.target.matches("[data-row]:focus-visible")) return; // the click listener handles clicks
    kept = false;
    show(event.target);
  });
  svg.addEventListener("focusout", () => kept || hide());
}

function walk(panel) {
  const along = Array.from(panel.querySelectorAll("[data-row]")).sort((a, b) => a.x.baseVal.value - b.x.baseVal.value);
  along.forEach((mark, number) => mark.setAttribute("tabindex", number ? "-1" : "0"));
  panel.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const number = along.indexOf(event.target);
    if (number < 0) return;
    if (step) along[Math.max(0, Math.min(along.length - 1, number + step))].focus({ focusVisible: true });
    else if (event.key === "Enter" || event.key === " ") keep(event.target);
    else return;
    event.preventDefault();
  });
}

function sortable(heading) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...heading.childNodes);
  heading.append(button);
  button.addEventListener("click", () => sort(heading));
}

function sort(heading) {
  const [body, column] = [heading.closest("table").tBodies[0], heading.cellIndex];
  const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  const number = heading.classList.contains("number");
  const keyed = Array.from(body.rows, (row) => {
    const text = row.cells[column].textContent;
    return { row, value: number ? Number.parseFloat(text) : text, empty: text === NOTHING };
  });
  keyed.sort((a, b) => {
    if (a.empty || b.empty) return a.empty - b.empty; // gaps last, either way
    return sign * (number ? a.value - b.value : a.value.localeCompare(b.value, "en", { numeric: true }));
  });
  body.replaceChildren(...keyed.map(({ row }) => row));
  for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
}

document.querySelectorAll("figure svg").forEach(listen);
document.querySelectorAll("th").forEach(sortable);
document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
document.addEventListener("click", (event) => kept && !tip.contains(event.target) && hide());
window.addEventListener("scroll", () => current && place(current.getBoundingClientRect()), { passive: true });
