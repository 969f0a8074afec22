// The console's own script: charts from data attributes, refreshing while something is active, copying, local times.
"use strict";

(() => {
  // Elements with data-live="2000" are refreshed by htmx (hx-trigger="refresh") that often, while the tab is seen.
  const due = new WeakMap();
  setInterval(() => {
    if (document.hidden) return;
    const now = Date.now();
    for (const element of document.querySelectorAll("[data-live]")) {
      if (now < (due.get(element) ?? 0)) continue;
      due.set(element, now + Number(element.dataset.live));
      element.dispatchEvent(new Event("refresh"));
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

  function prepare(root) {
    localTimes(root);
    copyButtons(root);
  }

  document.addEventListener("DOMContentLoaded", () => prepare(document));
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
