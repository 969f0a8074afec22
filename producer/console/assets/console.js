// The console's own script: charts from data attributes, refreshing while something is active, copying, local times.
"use strict";

(() => {
  // Elements with data-live="2000" are refreshed by htmx (hx-trigger="refresh") that often, while the tab is seen.
  // Not while somebody reads what they have unfolded or selected there, or is in it with the keyboard.
  const due = new WeakMap();
  const inUse = (element) => {
    const selected = getSelection();
    const marked = selected && !selected.isCollapsed && selected.anchorNode && element.contains(selected.anchorNode);
    return marked || element.querySelector("details[open], :focus-visible") !== null;
  };
  setInterval(() => {
    if (document.hidden) return;
    const now = Date.now();
    for (const element of document.querySelectorAll("[data-live]")) {
      const at = due.get(element);
      if (at !== undefined && (now < at || inUse(element))) continue;
      due.set(element, now + Number(element.dataset.live));
      if (at !== undefined) element.dispatchEvent(new Event("refresh"));
    }
  }, 500);

  // <time datetime> in the reader's own time zone; the instant stays in its title.
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  function localTimes(root) {
    for (const element of root.querySelectorAll("time[datetime]:not([title])")) {
      element.title = element.textContent;
      element.textContent = format.format(new Date(element.dateTime));
    }
  }

  function copyButtons(root) {
    if (!navigator.clipboard) return;
    for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const label = button.textContent;
    await navigator.clipboard.writeText(button.previousElementSibling.textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = label), 1500);
  });

  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.confirm;
    if (question && !confirm(question)) event.preventDefault();
  });

  // A choice of "All" or of some: ticking one unticks the other.
  document.addEventListener("change", (event) => {
    const group = event.target.closest("[data-either]");
    if (!group || !event.target.checked) return;
    const isAll = "eitherAll" in event.target.dataset;
    for (const box of group.querySelectorAll("input[type=checkbox]")) {
      if ("eitherAll" in box.dataset !== isAll) box.checked = false;
    }
  });

  // What scrolls by itself is reached by the keyboard.
  function regions(root) {
    for (const region of root.querySelectorAll(".scroll")) {
      if (region.scrollWidth > region.clientWidth) region.tabIndex = 0;
    }
  }

  // <figure data-chart data-series>: bars upon each other ("stack"), or "lines".
  const drawn = new Set();
  const tone = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const number = new Intl.NumberFormat(undefined, { maximumFractionDigits: 6 });

  function draw(figure) {
    const { x, lines, unit, by } = JSON.parse(figure.dataset.series);
    const area = figure.querySelector(".chart-area");
    const stacked = figure.dataset.chart === "stack";
    const step = by === "hour" ? 3600 : by === "minute" ? 60 : 86400;
    // Bars upon each other: each line is drawn from zero to its sum with those below it, the highest one first.
    const sums = lines.map((_, at) => x.map((_, i) => lines.slice(0, at + 1).reduce((all, line) => all + (line.values[i] ?? 0), 0)));
    const order = lines.map((_, at) => at);
    if (stacked) order.reverse();
    const colour = (at) => tone(lines[at].tone ? `--${lines[at].tone}` : `--series-${Math.min(at, 7)}`);
    const date = new Intl.DateTimeFormat(undefined, by === "day" ? { dateStyle: "medium", timeZone: "UTC" } : { dateStyle: "short", timeStyle: "short" });
    const short = new Intl.DateTimeFormat(undefined, by === "day" ? { month: "short", day: "numeric", timeZone: "UTC" } : { hour: "numeric", minute: "2-digit" });
    const series = order.map((at) => ({
      label: lines[at].name,
      stroke: colour(at),
      width: stacked ? 0 : 2,
      fill: stacked ? colour(at) : undefined,
      points: { show: !stacked && lines[at].values.filter((one) => one != null).length < 2 },
      paths: stacked ? uPlot.paths.bars({ size: [0.72, 48], align: 0 }) : undefined,
      value: (_, __, ___, i) => (i == null ? "" : lines[at].values[i] == null && !stacked ? "–" : number.format(lines[at].values[i] ?? 0)),
    }));
    // Days are marked from the last one backwards, so that today has its name.
    const lastDays = (_, __, ___, ____, pace) => {
      const every = Math.max(1, Math.ceil(pace / step));
      return x.filter((___, i) => (x.length - 1 - i) % every === 0);
    };
    const axis = { stroke: tone("--quiet"), grid: { stroke: tone("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const options = {
      width: area.clientWidth,
      height: 220,
      tzDate: by === "day" ? (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC") : undefined,
      scales: { x: { range: (_, low, high) => [low - step * 0.6, high + step * 0.6] }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.08 : 1] } },
      axes: [{ ...axis, grid: { show: false }, space: 64, size: 28, splits: by === "day" ? lastDays : undefined, values: (_, marks) => marks.map((one) => short.format(new Date(one * 1000))) }, { ...axis, size: 64, label: unit, labelSize: 20, labelFont: "12px system-ui, sans-serif", values: (_, marks) => marks.map((one) => number.format(one)) }],
      series: [{ label: by === "day" ? "Day" : "Time", value: (_, seconds) => (seconds == null ? "" : date.format(new Date(seconds * 1000))) }, ...series],
      cursor: { drag: { x: false, y: false }, points: { show: !stacked } },
      legend: { live: true },
    };
    area.replaceChildren();
    new uPlot(options, [x, ...order.map((at) => (stacked ? sums[at] : lines[at].values))], area);
    drawn.add(figure);
  }

  function charts(root) {
    for (const figure of root.querySelectorAll("[data-chart]")) if (!drawn.has(figure)) draw(figure);
  }
  function drawAgain() {
    for (const figure of drawn) figure.isConnected ? draw(figure) : drawn.delete(figure);
  }
  let resized;
  addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(drawAgain, 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAgain);

  // The menu is scrolled to the page that is shown, if that is out of sight. Not by scrollIntoView, after which
  // Chromium has the Tab key begin there.
  function reveal(item) {
    const nav = item.closest(".nav"), side = item.closest(".side");
    const at = item.getBoundingClientRect(), across = nav.getBoundingClientRect(), down = side.getBoundingClientRect();
    if (at.left < across.left || at.right > across.right) nav.scrollLeft += (at.left + at.right - across.left - across.right) / 2;
    if (at.top < down.top || at.bottom > down.bottom) side.scrollTop += (at.top + at.bottom - down.top - down.bottom) / 2;
  }

  function prepare(root) {
    regions(root);
    localTimes(root);
    copyButtons(root);
    charts(root);
  }

  document.addEventListener("DOMContentLoaded", () => {
    prepare(document);
    const current = document.querySelector(".nav [aria-current]");
    if (current) reveal(current);
  });
  document.addEventListener("htmx:afterSwap", () => prepare(document)); // before it is painted
  document.addEventListener("htmx:afterSettle", () => prepare(document));
})();

// New: a file dropped on its place is sent at once; how much of it has been sent; what is refused is shown in the page.
(() => {
  const place = (event) => event.target.closest?.("[data-drop]");

  document.addEventListener("dragover", (event) => {
    const over = place(event);
    if (!over || !event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    over.classList.add("drop-over");
  });
  document.addEventListener("dragleave", (event) => {
    const over = place(event);
    if (over && !over.contains(event.relatedTarget)) over.classList.remove("drop-over");
  });
  document.addEventListener("drop", (event) => {
    const over = place(event);
    if (!over || !event.dataTransfer.files.length) return;
    event.preventDefault();
    over.classList.remove("drop-over");
    const input = over.querySelector("input[type=file]");
    const one = new DataTransfer();
    one.items.add(event.dataTransfer.files[0]);
    input.files = one.files;
    input.form.requestSubmit();
  });

  document.addEventListener("htmx:xhr:progress", (event) => {
    const form = event.target.closest("[data-upload]");
    if (!form || !event.detail.lengthComputable || !event.detail.total) return;
    const percent = Math.floor((event.detail.loaded * 100) / event.detail.total);
    form.querySelector("[data-upload-state]").hidden = false;
    form.querySelector("progress").value = percent;
    form.querySelector("[data-upload-text]").textContent = percent < 100 ? `${percent}% sent` : "Sent; being kept";
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.requestConfig.elt.matches("[data-upload]")) event.detail.shouldSwap = true;
  });
})();
