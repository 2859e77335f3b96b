// The Results tab: what is pressed there, what is chosen to be compared, its filters, and the progress of runs.
(() => {
  const outbox = [];
  const chosen = new Set(); // ids of evaluations
  const open = new Map(); // what can be folded stays as its reader left it
  let focusedId = "";
  let openedBy = ""; // the id of what opened the panel
  let panelKey = "";

  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const panel = () => one("#evaluations-panel .mc-panel");
  const tell = (element, told) => { if (element && element.textContent !== told) element.textContent = told; };
  const show = (element, wanted) => { if (element && element.hidden === wanted) element.hidden = !wanted; }; // writing it again would be seen as news

  function send(verb, fields) {
    outbox.push(JSON.stringify({ do: verb, ...fields }));
    one("#evaluations-act").click();
  }

  // What a control says: its own fields, then what is filled in around it.
  function fieldsOf(control) {
    const around = control.closest("[data-fields]");
    const named = (around ? all("[name]", around) : control.name ? [control] : []).map(({ name, value }) => [name, value]);
    return { ...JSON.parse(control.dataset.send ?? "{}"), ...Object.fromEntries(named) };
  }

  function filter() {
    const sought = (one("#results-search")?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    const family = one("#results-family")?.value ?? "";
    const rows = all("#evaluations-results tr[data-words]");
    rows.forEach((row) => show(row, sought.every((word) => row.dataset.words.includes(word)) && (!family || row.closest(".mc-family").dataset.family === family)));
    const anyIn = (box) => all("tr[data-words]", box).some(({ hidden }) => !hidden);
    all("#evaluations-results :is(.mc-suite, .mc-family)").forEach((box) => show(box, anyIn(box)));
    const left = rows.filter(({ hidden }) => !hidden).length;
    tell(one("#results-count"), !rows.length ? "" : left ? `${left} of ${rows.length} evaluations` : "No evaluation is like that. Change the search or the filter.");
  }

  function showChosen() {
    const boxes = all("#evaluations-results .mc-choose");
    const there = new Set(boxes.map(({ value }) => value));
    [...chosen].forEach((id) => { if (!there.has(id)) chosen.delete(id); });
    boxes.forEach((box) => { if (box.checked !== chosen.has(box.value)) box.checked = chosen.has(box.value); });
    const suites = new Set(boxes.filter(({ checked }) => checked).map(({ dataset }) => dataset.suite));
    const why = chosen.size < 2 ? "Choose two or more of one suite to compare them." : suites.size > 1 ? `${chosen.size} chosen, of several suites: they go into a report; only those of one suite can be compared.` : `${chosen.size} chosen.`;
    tell(one("#results-chosen"), why);
    const compare = one("#results-compare");
    if (compare) compare.disabled = chosen.size < 2 || suites.size > 1;
    show(one("#results-clear"), chosen.size > 0);
    const report = one("#results-report");
    show(report, chosen.size > 0);
    const address = `/evaluations/report.html?${[...chosen].map((id) => `id=${encodeURIComponent(id)}`).join("&")}`;
    if (report && report.getAttribute("href") !== address) report.setAttribute("href", address);
  }

  // A part that changed: folds as they were, and the focus where it was.
  function settle() {
    all("#evaluations details[data-key]").forEach((details) => {
      const wanted = open.get(details.dataset.key);
      if (wanted !== undefined && details.open !== wanted) details.open = wanted;
    });
    filter();
    showChosen();
    if (focusedId && document.activeElement === document.body) document.getElementById(focusedId)?.focus({ preventScroll: true });
  }

  // Into a panel that was opened, and back to where it was opened from.
  function arrive() {
    const key = panel() ? panel().dataset.key ?? panelKey : "";
    if (key === panelKey) return;
    panelKey = key;
    const goal = key ? one(".mc-panel-title", panel()) : document.getElementById(openedBy);
    if (!goal || !one("#results-page")?.offsetParent) return;
    goal.focus({ preventScroll: true });
    (key ? panel() : goal).scrollIntoView({ block: key ? "start" : "center" });
  }

  function progress() {
    all("#evaluations-news [data-run]").forEach((news) => {
      const card = one(`#evaluations-runs [data-run="${CSS.escape(news.dataset.run)}"]`);
      if (!card) return;
      all(":scope > *", news).forEach((part) => {
        const place = one(`.${part.className}`, card);
        if (!place || place.innerHTML === part.innerHTML) return;
        const atEnd = place.scrollHeight - place.scrollTop - place.clientHeight < 24;
        place.replaceChildren(...[...part.childNodes].map((node) => node.cloneNode(true)));
        if (atEnd) place.scrollTop = place.scrollHeight;
      });
    });
  }

  const DO = {
    compare: (control) => {
      openedBy = control.id;
      send("compare", control.dataset.send ? fieldsOf(control) : { ids: [...chosen] });
    },
    items: (control) => {
      if (!panel()) openedBy = control.id;
      send("items", fieldsOf(control));
      const reads = Boolean(JSON.parse(control.dataset.send).item);
      if (reads) wantsItem = true;
    },
    clear: () => { chosen.clear(); showChosen(); one("#results-search")?.focus(); },
    delete: ({ dataset }) => window.medchat.confirmed(`Delete “${dataset.name}”?`, "Its answers and its log go; what it found out stays in the results, where its answers can no longer be read or compared.", "Delete")
      .then(() => send("delete", { run: dataset.run })),
    ...Object.fromEntries(["stop", "resume", "log"].map((verb) => [verb, ({ dataset }) => send(verb, { run: dataset.run })])),
    ...Object.fromEntries(["close", "every", "rate", "compare-first"].map((verb) => [verb, (control) => send(verb, fieldsOf(control))])),
  };
  let wantsItem = false; // on a phone the item that was chosen is below its list

  const verbOf = (control) => control?.dataset.do?.replace(/^results-/, "");

  document.addEventListener("click", (event) => {
    const details = event.target.closest("#evaluations summary")?.parentElement;
    if (details?.dataset.key) open.set(details.dataset.key, !details.open);
    const control = event.target.closest("#evaluations :is(button, a)[data-do^=results-]");
    if (control) DO[verbOf(control)]?.(control);
  });
  document.addEventListener("change", ({ target }) => {
    if (target.matches("#evaluations .mc-choose")) {
      if (target.checked) chosen.add(target.value); else chosen.delete(target.value);
      showChosen();
    }
    if (target.matches("#results-family")) filter();
    if (target.matches("#evaluations select[data-do^=results-]")) DO[verbOf(target)]?.(target);
  });
  document.addEventListener("input", ({ target }) => { if (target.matches("#results-search")) filter(); });
  document.addEventListener("focusin", ({ target }) => { focusedId = target.closest("#evaluations") ? target.id : ""; });
  document.addEventListener("pointerdown", ({ target }) => { if (!target.closest("#evaluations")) focusedId = ""; });

  new MutationObserver((records) => {
    const within = (selector) => records.some(({ target }) => (target.closest ? target : target.parentElement)?.closest(selector));
    if (within("#evaluations-news")) progress();
    if (within("#evaluations-panel, #evaluations-results, #evaluations-runs")) settle();
    if (within("#evaluations-panel")) {
      arrive();
      if (wantsItem && one("#item .mc-written")) {
        wantsItem = false;
        if (window.innerWidth < 900) one("#item").scrollIntoView({ block: "start" });
      }
    }
  }).observe(document.documentElement, { subtree: true, childList: true, characterData: true });

  window.medchat.resultsAction = () => outbox.shift() ?? "";
})();
