// The Data tab: its parts, sources, forms as orders, jobs and data sets, the search in rows, and the way to others.
(() => {
  const CHECK_AFTER_MS = 600;
  const MAX_FILE_BYTES = 5_000_000;
  const UNSENT = "medchat-data-unsent"; // what was typed just before the page was left
  const outbox = { act: [], look: [], upload: [], ask: [], train: [] };
  const openness = new Map(); // what can be folded, as its reader left it
  const made = new Map(); // which making of a form stands there, by its id
  let checking = 0;
  let focusedId = null;
  let goTo = ""; // where the page goes once it is there
  let left = ""; // what stood there when it was asked for
  let adapter = ""; // for which a file is being chosen
  let cursors = []; // of the pages of rows before the one that is shown
  let isUnsent = false; // something was typed of which no check has come back
  let refused = ""; // the making of the last fault that was put to its field
  let cloning = null; // the forms as they were when a job was to be cloned

  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const page = () => one("#data-page");
  const form = () => one("#data-form form");
  const refining = () => one("#data-refine form");

  function send(event, action) {
    outbox[event].push(JSON.stringify(action));
    one(`#data-send-${event}`).click();
  }

  // What a form says, with the sources where it is the one that takes them.
  function order(box = form()) {
    const { command = "prepare", folder = "" } = box?.dataset ?? {};
    const typed = box ? Object.fromEntries([
      ...all("[data-set]", box).map((field) => [field.dataset.set, field.value]),
      ...all("[data-many]", box).map((set) => [set.dataset.many, all(":checked", set).map(({ value }) => value).join(",")]),
    ]) : {};
    const isNew = command === "prepare";
    const sources = isNew ? all("#data-chosen [data-source]:is(li)").map(({ dataset }) => dataset.source) : [];
    const weights = isNew ? Object.fromEntries(all("#data-chosen [data-weight]").filter(({ value }) => value.trim()).map(({ value, dataset }) => [dataset.weight, value.trim()])) : {};
    return { command, folder, sources, weights, typed, name: one("[data-name]", box ?? document)?.value ?? "" };
  }

  const formOf = (command) => (command === "prepare" ? form() : refining());

  function check(box = form()) {
    clearTimeout(checking);
    checking = 0;
    if (box) send("act", { do: "check", order: order(box) });
  }

  function changed(box) {
    clearTimeout(checking);
    isUnsent ||= box === form();
    checking = setTimeout(check, CHECK_AFTER_MS, box);
  }

  const whole = (selector) => one(selector)?.closest("section, form, ul, #data-found, .html-container")?.outerHTML ?? "";

  function goOnceThere(selector) {
    goTo = selector;
    left = whole(selector);
  }

  // Pressed twice it becomes one job; what comes of it is a new button.
  function start(button) {
    button.dataset.key ||= window.medchat.saveKey();
    goOnceThere("#data-run-title");
    send("act", { do: "start", key: button.dataset.key, order: order(formOf(button.dataset.command)) });
  }

  function add(button, kind) {
    const field = one(`[data-${kind}="${CSS.escape(button.dataset.adapter)}"]`);
    const typed = field.value.trim() || (kind === "hub" && field.placeholder !== "OWNER/NAME" ? field.placeholder : "");
    if (!typed) return showFault(field, kind === "hub" ? "Give the name of a data set first, as OWNER/NAME." : "Give the path of a file or folder first.");
    send("act", { do: "add", adapter: button.dataset.adapter, place: kind === "hub" ? `hub:${typed}` : typed, order: order() });
  }

  // What is wrong with a field, at the field; the last fault alone.
  function showFault(field, why) {
    all("#data-catalogue .mc-field-fault").forEach((fault) => fault.remove());
    all("#data-catalogue [aria-invalid]").forEach((other) => ["aria-invalid", "aria-describedby"].forEach((name) => other.removeAttribute(name)));
    if (!field) return;
    const fault = document.createElement("p");
    Object.assign(fault, { className: "mc-fault mc-field-fault", id: `${field.id}-fault`, textContent: why });
    fault.setAttribute("role", "alert");
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", fault.id);
    field.closest(".mc-way").append(fault);
    field.focus();
  }

  function settleFault() {
    const told = one("#data-chosen [data-fault-for]");
    const making = told?.dataset.made ?? "";
    if (making === refused) return;
    refused = making;
    showFault(told && document.getElementById(told.dataset.faultFor), told?.textContent);
  }

  function choose(button) {
    adapter = button.dataset.adapter;
    const input = one("#data-file");
    input.accept = button.dataset.accept;
    input.click();
  }

  function upload(input) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    const { name, size } = file;
    const sent = (data) => send("upload", { do: "upload", adapter, name, size, data, order: order() });
    if (size > MAX_FILE_BYTES) return sent("");
    const reader = new FileReader();
    reader.addEventListener("load", () => sent(reader.result.slice(reader.result.indexOf(",") + 1)));
    reader.addEventListener("error", () => sent(""));
    reader.readAsDataURL(file);
  }

  async function copy(button) {
    const text = one("pre", button.parentElement);
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch { // not over plain HTTP, save on this machine
      getSelection().selectAllChildren(text);
      button.textContent = "Press Ctrl+C";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }

  // The kinds of sources that fit what is typed.
  function searchKinds() {
    const field = one("#data-kind-search");
    const words = field.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const rows = all(".mc-kinds-list > li");
    rows.forEach((row) => { row.hidden = !words.every((word) => row.dataset.words.includes(word)); });
    const n = rows.filter((row) => !row.hidden).length;
    one("#data-kinds-told").textContent = !words.length ? "" : n ? `${n} found.` : "None of these. Plain files are read as “qca” or “examples”.";
  }

  const shownSet = () => one("#data-set-title")?.dataset.folder ?? "";

  function browse(cursor, split = "") {
    const box = one("#data-search");
    const field = (name) => one(`[name=${name}]`, box ?? document.createElement("form"))?.value ?? "";
    const asked = split ? { split } : box ? { text: field("text"), split: field("split"), source: field("source"), flag: field("flag") } : {};
    goOnceThere(box ? "#data-found-told" : "#data-search-text");
    send("act", { do: "browse", folder: shownSet(), cursor, ...asked });
  }

  function fromStart(split = "") {
    cursors = [];
    browse("", split);
  }

  function showPart(part) {
    if (page().dataset.part !== part) page().dataset.part = part;
    all("#data-parts button").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.part === part)));
    if (part === "review") document.dispatchEvent(new CustomEvent("medchat:review"));
  }

  function choosePart(part) {
    showPart(part);
    send("act", { do: "part", part });
  }

  const nameOf = (run) => one(`#data-run-${CSS.escape(run)} .mc-name`)?.textContent ?? "this job";

  const DO = {
    "data-part": ({ dataset }) => choosePart(dataset.part),
    "data-path": (button) => add(button, "path"),
    "data-hub": (button) => add(button, "hub"),
    "data-upload": choose,
    "data-drop": ({ dataset }) => { focusedId = "data-kind-search"; send("act", { do: "drop", source: dataset.source, order: order() }); },
    "data-look": ({ dataset }) => { goOnceThere("#data-preview-title"); send("look", { do: "look", source: dataset.source, order: order() }); },
    "data-look-stop": () => send("act", { do: "look-stop" }),
    "data-look-close": () => { focusedId = "data-look-0"; send("act", { do: "close", part: "preview" }); },
    "data-refine-close": () => { focusedId = "data-browse-now"; send("act", { do: "close", part: "refine" }); },
    "data-fresh": () => send("act", { do: "fresh" }),
    "data-copy": copy,
    "data-to-run": ({ dataset }) => { choosePart("sets"); goOnceThere("#data-run-title"); send("act", { do: "watch", run: dataset.run }); },
    "data-start": start,
    "data-estimate": ({ dataset }) => { goOnceThere("#data-said"); send("ask", { do: "estimate", order: order(formOf(dataset.command)) }); },
    "data-ask-stop": () => send("act", { do: "ask-stop" }),
    "data-watch": ({ dataset }) => { goOnceThere("#data-run-title"); send("act", { do: "watch", run: dataset.run }); },
    "data-stop": ({ dataset }) => send("act", { do: "stop", run: dataset.run }),
    "data-resume": ({ dataset }) => send("act", { do: "resume", run: dataset.run }),
    "data-clone": ({ dataset }) => { cloning = makings(); send("act", { do: "clone", run: dataset.run }); },
    "data-delete": ({ dataset }) => window.medchat.confirmed(`Delete the job “${nameOf(dataset.run)}”?`, "Its log goes, and what it would need to go on. The data set that it has written stays.", "Delete")
      .then(() => { goOnceThere(":is(#data-run-title, #data-runs .mc-note)"); send("act", { do: "delete", run: dataset.run }); }),
    "data-open": ({ dataset }) => { cursors = []; goOnceThere("#data-set-title"); send("act", { do: "open", folder: dataset.folder }); },
    "data-remove": ({ dataset }) => window.medchat.confirmed(dataset.ask, dataset.told, "Delete").then(() => { goOnceThere("#data-list :is(li button, .mc-note)"); send("act", { do: "remove", folder: dataset.folder }); }),
    "data-refine": ({ dataset }) => { goOnceThere("#data-refine-title"); send("act", { do: "refine", folder: dataset.folder, command: dataset.command }); },
    "data-browse": ({ dataset }) => fromStart(dataset.split),
    "data-page-next": ({ dataset }) => { cursors.push(one("#data-found").dataset.cursor); browse(dataset.cursor); },
    "data-page-back": () => browse(cursors.pop() ?? ""),
    "data-review": ({ dataset }) => send("act", { do: "review", folder: dataset.folder }),
    "data-train": ({ dataset }) => send("train", { do: "train", folder: dataset.folder }),
  };

  const inside = (target) => target.closest?.("#data-page") && !target.closest("#data-review");

  document.addEventListener("click", (event) => {
    if (!event.target.closest("#data-page")) return; // the review has ways into the other parts
    const details = event.target.closest("summary")?.parentElement;
    if (details?.dataset.key) openness.set(details.dataset.key, !details.open);
    const button = event.target.closest("[data-do]");
    if (button && DO[button.dataset.do] && button.getAttribute("aria-disabled") !== "true") DO[button.dataset.do](button);
  });
  document.addEventListener("submit", (event) => {
    if (!inside(event.target)) return;
    event.preventDefault();
    if (event.target.matches("#data-search")) fromStart();
  });
  document.addEventListener("input", ({ target }) => {
    if (!inside(target)) return;
    if (target.matches("#data-kind-search")) return searchKinds();
    if (target.matches("[data-weight]")) return changed(form());
    const box = target.closest(".mc-data-form");
    if (box) changed(box);
  });
  document.addEventListener("change", ({ target }) => {
    if (target.matches("#data-file")) upload(target);
    else if (inside(target) && target.matches("#data-search select")) fromStart();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing || !inside(event.target)) return;
    const { path, hub } = event.target.dataset;
    if (!path && !hub) return;
    event.preventDefault();
    one("button", event.target.parentElement).click();
  });
  document.addEventListener("focusin", ({ target }) => { focusedId = inside(target) ? target.id || null : null; });
  document.addEventListener("toggle", ({ target }) => {
    if (target.open && target.dataset?.key?.startsWith("data-kind-")) target.scrollIntoView({ block: "nearest" });
  }, true);
  addEventListener("pagehide", () => {
    if (isUnsent && form()) sessionStorage.setItem(UNSENT, JSON.stringify({ unsent: order(), owner: one("#data-kinds")?.dataset.owner ?? "" }));
  });
  document.addEventListener("pointerdown", ({ target }) => { if (!inside(target)) focusedId = null; });

  // A part that the server made again is changed in place: what was typed into it would stay where it says nothing new.
  function renew(box) {
    if (made.get(box.id) === box.dataset.made) return;
    made.set(box.id, box.dataset.made);
    all("input", box).forEach((field) => { field.value = field.defaultValue; field.checked = field.defaultChecked; });
    all("option", box).forEach((option) => { option.selected = option.defaultSelected; });
  }

  const makings = () => [form(), refining()].map((box) => box?.dataset.made);

  function arriveCloned() {
    const at = cloning ? makings().findIndex((making, number) => making && making !== cloning[number]) : -1;
    if (at < 0) return;
    cloning = null;
    [goTo, left] = [at ? "#data-refine form" : "#data-form form", ""];
  }

  // Parts that came anew: folded as they were, what was typed in them, and the focus where it was.
  function settle() {
    all("#data-page details[data-key]").forEach((details) => {
      const wanted = openness.get(details.dataset.key);
      if (wanted !== undefined && details.open !== wanted) details.open = wanted;
    });
    all(":is(#data-chosen-list, .mc-data-form)").forEach(renew);
    const parts = one("#data-parts nav");
    if (parts && made.get("parts") !== parts.dataset.made) {
      made.set("parts", parts.dataset.made);
      showPart(parts.dataset.part);
    }
    arriveCloned();
    settleFault();
    tellWork();
    if (focusedId && document.activeElement === document.body) document.getElementById(focusedId)?.focus({ preventScroll: true });
    go();
  }

  // Jobs that are at work stand beside the way to them.
  function tellWork() {
    const button = one("#data-part-sets");
    if (!button) return;
    const words = one("#data-jobs-title")?.dataset.atWork ?? "";
    const mark = one(".mc-badge", button) ?? Object.assign(document.createElement("span"), { className: "mc-badge" });
    if (mark.textContent === words) return;
    mark.textContent = words;
    if (words) button.append(" ", mark);
    else mark.remove();
  }

  // A part that was hidden is drawn a moment after what is in it has changed.
  function go(tries = 20) {
    const place = goTo && one(goTo);
    if (!place || whole(goTo) === left) return;
    if (!place.offsetParent && tries) return void setTimeout(go, 50, tries - 1);
    goTo = "";
    if (place.tabIndex < 0) place.tabIndex = -1; // so that it takes the focus
    place.scrollIntoView({ block: "start" });
    place.focus({ preventScroll: true });
  }

  new MutationObserver((records) => {
    const within = (selector) => records.some(({ target }) => (target.closest ? target : target.parentElement)?.closest(selector));
    if (!checking && within("#data-check")) isUnsent = false;
    if (within("#data-page")) settle();
  }).observe(document.documentElement, { subtree: true, childList: true, characterData: true });

  function entering() {
    const unsent = JSON.parse(sessionStorage.getItem(UNSENT) ?? "{}");
    sessionStorage.removeItem(UNSENT);
    return JSON.stringify({ do: "enter", form: form() ? "there" : "", ...unsent });
  }

  window.medchat.dataAction = (event) => (event === "enter" ? entering() : outbox[event].shift() ?? "");
})();
