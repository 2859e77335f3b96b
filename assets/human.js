// The human evaluation of the Results tab: its parts and views, what is chosen there, and the way to the Train tab.
(() => {
  const TYPING_MS = 900; // a day is typed digit by digit
  const outbox = { act: [], train: [] };
  let view = "models";
  let focusedId = "";
  let toPreview = false; // of the training data, once the Train tab has its form
  let typing = 0;

  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  function send(event, action) {
    outbox[event].push(JSON.stringify(action));
    one(`#human-send-${event}`)?.click();
  }

  // What is chosen; another source begins without the filters of the one before.
  function query(changed) {
    const fields = all("#human-choose [name]").filter(({ name }) => changed !== "source" || ["source", "named"].includes(name));
    return Object.fromEntries(fields.map((field) => [field.name, field.type === "checkbox" ? field.checked : field.value]));
  }

  function ask(changed) {
    clearTimeout(typing);
    one("#human")?.classList.add("mc-asked"); // what stands there is no answer to this
    send("act", { do: "show", query: query(changed) });
  }

  function showView() {
    const views = all("#human-shown .mc-human-view");
    if (!views.length) return;
    if (!views.some(({ dataset }) => dataset.view === view)) view = views[0].dataset.view;
    views.forEach((box) => { if (box.hidden === (box.dataset.view === view)) box.hidden = box.dataset.view !== view; });
    all("#human-shown [data-do=human-view]").forEach((button) => {
      const pressed = String(button.dataset.view === view);
      if (button.getAttribute("aria-pressed") !== pressed) button.setAttribute("aria-pressed", pressed);
    });
  }

  function showPart(part) {
    const nav = one("#results-parts nav");
    if (!nav) return;
    nav.dataset.part = part;
    all("[data-part]", nav).forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.part === part)));
  }

  const DO = {
    part: ({ dataset }) => { showPart(dataset.part); send("act", { do: "part", part: dataset.part }); },
    view: ({ dataset }) => { view = dataset.view; showView(); },
    go: ({ dataset }) => {
      const place = document.getElementById(dataset.to);
      place?.scrollIntoView({ block: "start" });
      one("h3", place ?? document)?.focus({ preventScroll: true });
    },
    reset: () => send("act", { do: "show", query: query("source") }),
    example: () => send("act", { do: "show", query: { source: "example" } }),
    train: () => { toPreview = true; send("train", { do: "train" }); },
  };

  function preview() {
    const button = one("#train-preview-button");
    if (!button?.offsetParent || one("#train-order [name=data]")?.value !== "ratings") return;
    toPreview = false;
    button.click();
  }

  document.addEventListener("click", (event) => {
    const control = event.target.closest("#results-page button[data-do^=human-]");
    if (control) DO[control.dataset.do.replace("human-", "")]?.(control);
    const files = one("#human .mc-human-files[open]");
    if (files && !files.contains(event.target)) files.open = false;
  });
  document.addEventListener("keydown", (event) => {
    const files = one("#human .mc-human-files[open]");
    if (event.key !== "Escape" || !files?.contains(event.target)) return;
    files.open = false;
    one("summary", files).focus();
  });
  document.addEventListener("change", ({ target }) => {
    if (!target.matches("#human-choose [name]")) return;
    clearTimeout(typing);
    if (target.type === "date") typing = setTimeout(() => ask(target.name), TYPING_MS);
    else ask(target.name);
  });
  document.addEventListener("focusin", ({ target }) => { focusedId = target.closest("#human, #results-parts") ? target.id : ""; });
  document.addEventListener("pointerdown", ({ target }) => { if (!target.closest("#human, #results-parts")) focusedId = ""; });

  new MutationObserver((records) => {
    if (toPreview) preview();
    const within = (selector) => records.some(({ target }) => (target.closest ? target : target.parentElement)?.closest(selector));
    if (!within("#human, #results-parts")) return;
    if (within("#human-shown, #human-choose")) one("#human")?.classList.remove("mc-asked");
    showView();
    if (focusedId && document.activeElement === document.body) document.getElementById(focusedId)?.focus({ preventScroll: true });
  }).observe(document.documentElement, { subtree: true, childList: true, characterData: true });

  window.medchat.humanAction = (event) => outbox[event]?.shift() ?? JSON.stringify({ do: "enter" });
})();
