// The Studies tab: its parts, the form of a study, what is pressed on studies, and an adjudicator's decision.
(() => {
  const CHECK_AFTER_MS = 600;
  const MAX_FILE_BYTES = 5_000_000;
  const outbox = { act: [], upload: [], results: [], train: [], judge: [] };
  const openness = new Map(); // what can be folded, as its reader left it
  const made = new Map(); // which making of a form stands there, by its id
  const decisions = new Map(); // what an adjudicator has entered and not saved, by item
  let checking = 0;
  let focusedId = null;
  let goTo = ""; // where the page goes once it is there
  let left = ""; // what stood there when it was asked for
  let uploads = "questions";
  let toPreview = false; // of the ratings, in the Train tab, once that stands there

  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const page = () => one("#studies-page");
  const form = () => one("#study-form");
  const shown = () => one("#studies-head [data-study]")?.dataset.study ?? "";
  const decision = () => one("#adjudicate-form");

  function send(event, action) {
    outbox[event].push(JSON.stringify(action));
    one(`#studies-send-${event}`).click();
  }

  function people(box) {
    const ticked = all(".mc-person", box).filter((row) => one("[type=checkbox]", row).checked);
    return Object.fromEntries(ticked.map((row) => [row.dataset.rater, one("[type=text]", row).value.trim()]));
  }

  function order() {
    const fields = all("[data-field]", form()).filter((field) => !["radio", "checkbox"].includes(field.type) || field.checked);
    const models = all("[data-list=models] :checked", form()).map(({ value }) => value);
    return { ...Object.fromEntries(fields.map((field) => [field.dataset.field, field.value])), study: form().dataset.study, models, raters: people(form()) };
  }

  function check() {
    clearTimeout(checking);
    checking = 0;
    if (form()) send("act", { do: "check", order: order() });
  }

  function changed() {
    showTasks();
    clearTimeout(checking);
    checking = setTimeout(check, CHECK_AFTER_MS);
  }

  function showTasks() {
    if (form()) form().dataset.tasks = one("[name=tasks]:checked", form())?.value ?? "";
  }

  const whole = (selector) => one(selector)?.closest("section, article, form").outerHTML ?? "";

  function goOnceThere(selector) {
    goTo = selector;
    left = whole(selector);
  }

  const toStudy = () => goOnceThere("#studies-head h2");

  // Pressed twice it becomes one study; what comes of it is a new button.
  function keyed(button) {
    button.dataset.key ||= window.medchat.saveKey();
    return button.dataset.key;
  }

  function create(button, then) {
    toStudy();
    send("act", { do: "create", key: keyed(button), order: order(), then });
  }

  function readFile(input, sent) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    const { name, size } = file;
    if (size > MAX_FILE_BYTES) return sent({ name, size, data: "" });
    const reader = new FileReader();
    reader.addEventListener("load", () => sent({ name, size, data: reader.result.slice(reader.result.indexOf(",") + 1) }));
    reader.addEventListener("error", () => sent({ name, size, data: "" }));
    reader.readAsDataURL(file);
  }

  const study = (verb, more = {}) => send("act", { do: verb, study: shown(), ...more });
  const ask = (verb, { dataset }, more = {}) => window.medchat.confirmed(dataset.ask, dataset.told, dataset.yes, "Not now").then(() => study(verb, more));

  // Parts of the tab: one at a time.
  function showPart(part) {
    if (page().dataset.part !== part) page().dataset.part = part;
    all("#studies-parts button").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.part === part)));
  }

  function choosePart(part) {
    showPart(part);
    send("act", { do: "part", part, form: form() ? "there" : "" });
  }

  // A decision that is being made stays with its item until it is saved.
  function filled() {
    const chosen = all("input[type=radio]:checked", decision()).map(({ name, value }) => [name, value]);
    return { chosen: Object.fromEntries(chosen), flags: { critical: one("[name=critical]", decision())?.checked ?? false }, comment: one("textarea", decision()).value };
  }

  const itemKey = () => decision() && `${decision().dataset.study}/${decision().dataset.item}`;

  function fill() {
    const kept = decisions.get(itemKey());
    if (!kept) return;
    all("input[type=radio]", decision()).forEach((radio) => { radio.checked = kept.chosen[radio.name] === radio.value; });
    if (one("[name=critical]", decision())) one("[name=critical]", decision()).checked = kept.flags.critical;
    one("textarea", decision()).value = kept.comment;
  }

  function decide(button) {
    goOnceThere("#adjudicate-page h2");
    send("judge", { do: "decide", study: decision().dataset.study, item: decision().dataset.item, base: decision().dataset.base, key: keyed(button), ...filled() });
  }

  function openItem({ dataset }) {
    goOnceThere("#adjudicate-page h2");
    send("judge", { do: "open", study: dataset.study, item: dataset.item ?? "" });
  }

  const DO = {
    "studies-part": ({ dataset }) => choosePart(dataset.part),
    "study-file": ({ dataset }) => { uploads = dataset.kind; one("#study-file").click(); },
    "study-create": (button) => create(button, ""),
    "study-create-generate": (button) => create(button, "generate"),
    "study-save": (button) => create(button, ""),
    "study-fresh": () => send("act", { do: "fresh" }),
    "study-show": ({ dataset }) => { toStudy(); send("act", { do: "show", study: dataset.study }); },
    "study-change": () => { goOnceThere("#study-form"); study("change"); },
    "study-copy": () => { goOnceThere("#study-form"); study("copy"); },
    "study-delete": (button) => ask("delete", button),
    "study-generate": () => study("generate"),
    "study-stop": () => study("stop"),
    "study-leave-out": (button) => ask("leave-out", button),
    "study-answers": () => one("#study-answers-file").click(),
    "study-people": () => study("people", { raters: people(one("[data-people=study-set]")) }),
    "study-add": () => study("add", { rater: one("#study-late").value, group: one("#study-late-group").value.trim() }),
    "study-remove": (button) => ask("remove", button, { rater: button.dataset.rater }),
    "study-preview": () => { goOnceThere("#studies-preview .mc-preview"); study("preview", { seed: one("#study-draw")?.value ?? "" }); },
    "study-open": (button) => ask("open", button),
    "study-close": (button) => ask("close", button),
    "study-train-yes": (button) => ask("training", button, { yes: "yes" }),
    "study-train-no": () => study("training", { yes: "" }),
    "study-results-yes": (button) => ask("results", button, { yes: "yes" }),
    "study-results-no": () => study("results", { yes: "" }),
    "study-to-results": () => send("results", { do: "results", study: shown() }),
    "study-to-train": () => { toPreview = true; send("train", { do: "train", study: shown() }); },
    "study-to-adjudicate": () => choosePart("adjudicate"),
    "adjudicate-study": openItem,
    "adjudicate-open": openItem,
    "adjudicate-save": decide,
  };

  document.addEventListener("click", (event) => {
    if (!event.target.closest("#studies-page")) return;
    const details = event.target.closest("summary")?.parentElement;
    if (details?.dataset.key) openness.set(details.dataset.key, !details.open);
    const button = event.target.closest("[data-do]");
    if (button && DO[button.dataset.do] && button.getAttribute("aria-disabled") !== "true") DO[button.dataset.do](button);
  });
  document.addEventListener("submit", (event) => { if (event.target.closest("#study-form, #adjudicate-form")) event.preventDefault(); });
  document.addEventListener("input", (event) => {
    if (event.target.closest("#adjudicate-form")) decisions.set(itemKey(), filled());
    if (event.target.closest("#study-form") && !event.target.matches("[type=file], #study-source, #study-rubric")) changed();
  });
  document.addEventListener("change", (event) => {
    const { target } = event;
    if (target.matches("#study-file")) readFile(target, (file) => send("upload", { do: "upload", kind: uploads, order: order(), ...file }));
    else if (target.matches("#study-answers-file")) readFile(target, (file) => send("upload", { do: "answers", study: shown(), ...file }));
    else if (target.matches("#study-source, #study-rubric")) {
      clearTimeout(checking);
      send("act", { do: "choose", order: order() });
    }
  });
  document.addEventListener("focusin", ({ target }) => { focusedId = target.closest("#studies-page") && !target.closest("#studies-desk") ? target.id || null : null; });
  document.addEventListener("pointerdown", (event) => { if (!event.target.closest("#studies-page")) focusedId = null; });
  document.addEventListener("keydown", (event) => {
    const within = event.target.closest?.("#adjudicate-form");
    if (!within || event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    one("[data-do=adjudicate-save]", within).click();
  });

  // A part that the server made again is changed in place: what was typed into it would stay where it says nothing new.
  function renew(box) {
    if (made.get(box.id) === box.dataset.made) return;
    made.set(box.id, box.dataset.made);
    all("input", box).forEach((field) => { field.value = field.defaultValue; field.checked = field.defaultChecked; });
    all("textarea", box).forEach((field) => { field.value = field.defaultValue; });
    all("option", box).forEach((option) => { option.selected = option.defaultSelected; });
    if (box === decision()) fill();
  }

  // Parts that came anew: folded as they were, what was entered in them, and the focus where it was.
  function settle() {
    all("#studies-page details[data-key]").forEach((details) => {
      const wanted = openness.get(details.dataset.key);
      if (wanted !== undefined && details.open !== wanted) details.open = wanted;
    });
    all("#studies-page [data-made]").forEach(renew);
    showTasks();
    const wanted = one("#studies-parts nav")?.dataset.part;
    if (wanted && one("#studies-parts nav").dataset.seen === undefined) {
      one("#studies-parts nav").dataset.seen = "";
      showPart(wanted);
    }
    if (focusedId && document.activeElement === document.body) document.getElementById(focusedId)?.focus({ preventScroll: true });
    go();
  }

  // A part that is folded opens a moment after what is in it has changed.
  function go(tries = 20) {
    const place = goTo && one(goTo);
    if (!place || whole(goTo) === left) return;
    if (!place.offsetParent && tries) return void setTimeout(go, 50, tries - 1);
    goTo = "";
    place.scrollIntoView({ block: "start" });
    place.focus({ preventScroll: true });
  }

  function saved() {
    const done = one("#adjudicate-page [data-saved]")?.dataset.saved;
    if (done) decisions.delete(done);
  }

  function preview() {
    const button = one("#train-preview-button");
    if (!button?.offsetParent || one("#train-order [name=data]")?.value !== "ratings") return;
    toPreview = false;
    button.click();
  }

  new MutationObserver((records) => {
    if (toPreview) preview();
    const within = (selector) => records.some(({ target }) => (target.closest ? target : target.parentElement)?.closest(selector));
    if (!within("#studies-page")) return;
    saved();
    settle();
  }).observe(document.documentElement, { subtree: true, childList: true, characterData: true });

  window.medchat.studiesAction = (event) => (event === "enter" ? JSON.stringify({ do: "enter", form: form() ? "there" : "" }) : outbox[event].shift() ?? "");
})();
