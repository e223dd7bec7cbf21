"use strict";
const form = document.getElementById("filter");
const rows = Array.from(document.querySelectorAll("[data-name]"));
const groups = Array.from(document.querySelectorAll("tbody.group-of-checks"));
const lists = Array.from(document.querySelectorAll("[data-list]"));
function apply() {
  const name = form.elements.name.value.trim().toLowerCase();
  const verdict = form.elements.verdict.value;
  let shown = 0;
  let total = 0;
  for (const row of rows) {
    const fits = (!name || row.dataset.name.includes(name)) && (!verdict || row.dataset.verdict === verdict);
    row.hidden = !fits;
    if (row.tagName === "TR") {
      total += 1;
      shown += fits ? 1 : 0;
    }
  }
  for (const group of groups) group.hidden = !group.querySelector("tr[data-name]:not([hidden])");
  for (const list of lists) {
    const empty = !list.querySelector("[data-name]:not([hidden])");
    list.querySelector(".nothing").hidden = !empty;
  }
  form.elements.shown.value = `${shown.toLocaleString("en")} of ${total.toLocaleString("en")} checks shown`;
}
if (form) {
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();
}
