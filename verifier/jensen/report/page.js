"use strict";
(() => {
  const root = document.documentElement;
  const table = document.getElementById("models");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const numeric = new Set(["relus", "violation", "seconds"]);

  // one page per model: the part after # says which; without scripts all stand below each other
  function route() {
    const shown = document.getElementById(location.hash.slice(1));
    const routed = shown !== null && shown.classList.contains("model");
    document.querySelectorAll(".model.shown").forEach((m) => m.classList.remove("shown"));
    if (routed) shown.classList.add("shown");
    root.classList.toggle("routed", routed);
    window.scrollTo(0, 0);
  }

  function sort(button) {
    const key = button.dataset.key;
    const head = button.parentElement;
    const up = head.getAttribute("aria-sort") !== "ascending";
    table.querySelectorAll("thead th").forEach((th) => th.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = (row) => row.dataset[key];
    const compare = numeric.has(key)
      ? (a, b) => Number(a) - Number(b)
      : (a, b) => a.localeCompare(b, undefined, { numeric: true });
    rows.sort((a, b) => {
      const [left, right] = [value(a), value(b)];
      // what has no value comes last either way
      if (left === "" || right === "") return (left === "") - (right === "");
      return up ? compare(left, right) : compare(right, left);
    });
    body.append(...rows);
  }

  function filter() {
    const words = document.getElementById("search").value.toLowerCase().split(/\s+/);
    const boxes = document.querySelectorAll("#filters [name=status]:checked");
    const wanted = new Set(Array.from(boxes, (box) => box.value));
    const only = document.getElementById("only-mismatches");
    let visible = 0;
    for (const row of rows) {
      const text = (row.dataset.name + " " + row.textContent).toLowerCase();
      const match = wanted.has(row.dataset.status)
        && words.every((word) => text.includes(word))
        && !(only && only.checked && row.dataset.mismatch === "0");
      row.hidden = !match;
      visible += match;
    }
    document.getElementById("none").hidden = visible > 0;
  }

  root.classList.add("scripted");
  table.querySelectorAll("thead button").forEach((b) => b.addEventListener("click", () => sort(b)));
  const filters = document.getElementById("filters");
  filters.addEventListener("input", filter);
  filters.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", route);
  route();
})();
