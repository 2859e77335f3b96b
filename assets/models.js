// The Models tab: its filters, what is pressed on its cards, and the progress of a download.
(() => {
  const outbox = [];
  const open = new Map(); // a list that changes leaves accordions as their reader left them
  let focused = null;

  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const card = (id) => one(`#models-list .mc-model[data-model="${CSS.escape(id)}"]`);

  function send(event, action) {
    outbox.push(JSON.stringify(action));
    one(`#models-${event}`).click();
  }

  function filter() {
    const sought = (one("#models-search")?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    const kind = one("#models-kind")?.value;
    const fits = one("#models-fits")?.checked;
    const cards = all("#models-list .mc-model");
    const show = (element, wanted) => { if (element.hidden === wanted) element.hidden = !wanted; }; // writing it again would be seen as news
    cards.forEach((model) => {
      const { words, ...is } = model.dataset;
      show(model, sought.every((word) => words.includes(word)) && (!kind || is.kind === kind) && (!fits || is.fits === "true"));
    });
    const tell = (element, told) => { if (element && element.textContent !== told) element.textContent = told; };
    all("#models-list section").forEach((section) => {
      const own = all(".mc-model", section);
      const left = own.filter(({ hidden }) => !hidden).length;
      show(section, left > 0);
      tell(one("h2 > span", section), left < own.length ? `${left} of ${own.length}` : `${left}`);
    });
    const number = cards.filter(({ hidden }) => !hidden).length;
    const told = !cards.length ? "" : number ? `${number} of ${cards.length} models` : "No model is like that. Change the search or the filters.";
    tell(one("#models-count"), told);
  }

  // A list that changed: filters and accordions as they were, and the focus where it was.
  function settle() {
    all("#models-list details").forEach((details) => {
      const wanted = open.get(details.dataset.key) ?? false;
      if (details.open !== wanted) details.open = wanted;
    });
    filter();
    if (!focused || document.activeElement !== document.body) return;
    const place = card(focused.model);
    const again = place && (one(focused.selector, place) ?? one(".mc-form-buttons button", place) ?? place);
    again?.focus({ preventScroll: true });
  }

  function progress() {
    const news = one("#models-progress [data-model]");
    const place = news && card(news.dataset.model);
    if (place) one(".mc-download", place).replaceChildren(...[...news.children].map((part) => part.cloneNode(true)));
  }

  // To the card of a model that was added, whatever the filters were.
  function arrive() {
    const told = one("#models-status [data-goto]");
    const place = told && card(told.dataset.goto);
    if (!place) return;
    delete told.dataset.goto;
    one("#models-search").value = one("#models-kind").value = "";
    one("#models-fits").checked = false;
    filter();
    place.scrollIntoView({ block: "center" });
    place.focus({ preventScroll: true });
  }

  const DO = {
    "model-use": (model) => send("use", { do: "use", model }),
    "model-fetch": (model) => send("act", { do: "model-fetch", model }),
    "model-cancel": (model) => send("act", { do: "model-cancel", model }),
    "model-remove": (model) => window.medchat.confirmed(`Remove “${one("h3", card(model)).textContent}”?`, "It goes from the list; its files stay where they are.", "Remove")
      .then(() => send("act", { do: "model-remove", model })),
  };

  document.addEventListener("click", (event) => {
    const details = event.target.closest("#models-list summary")?.parentElement;
    if (details) open.set(details.dataset.key, !details.open);
    const button = event.target.closest("#models-list [data-do]");
    if (button && DO[button.dataset.do]) DO[button.dataset.do](button.dataset.model);
  });
  document.addEventListener("input", (event) => { if (event.target.closest(".mc-filters")) filter(); });
  document.addEventListener("focusin", ({ target }) => {
    const model = target.closest("#models-list .mc-model")?.dataset.model;
    const key = target.closest("details")?.dataset.key;
    const selector = key ? `details[data-key="${CSS.escape(key)}"] > summary` : target.dataset.do ? `[data-do=${target.dataset.do}]` : "h3";
    focused = model ? { model, selector } : null;
  });
  document.addEventListener("pointerdown", (event) => { if (!event.target.closest("#models-list")) focused = null; });

  new MutationObserver((records) => {
    const within = (selector) => records.some(({ target }) => (target.closest ? target : target.parentElement)?.closest(selector));
    if (within("#models-list")) settle();
    if (within("#models-progress")) progress();
    if (within("#models-list, #models-status")) arrive();
  }).observe(document.documentElement, { subtree: true, childList: true, characterData: true, attributeFilter: ["hidden", "data-goto"] });

  window.medchat.modelAction = () => outbox.shift() ?? "";
})();
