// A rating form: fills it in, keeps a draft of it, marks steps and passages, and does all that by the keyboard too.
// The Rate tab has one, and a rater's desk in a study another; root: what the ids of its elements begin with.
window.medchat.ratingForm = (root) => {
  const DRAFT_AFTER_MS = 700;
  const RETRY_MS = 4000;
  const MOST_RETRY_MS = 60_000;
  const MOST_SPANS = 200;
  const MOST_SECONDS = 24 * 3600;
  const IDLE_MS = 120_000;
  const MAX_FILE_BYTES = 5_000_000;
  const KEPT = `medchat-draft-${root}`; // what the server has not confirmed yet, and whose; in this tab alone
  const outbox = { act: [], upload: [], keep: [] };
  let page = null; // the answer that is shown
  let seen = ""; // and as what: another answer comes into the same elements
  let form = {}; // what was entered beside its fields: spans, seconds, base
  let key = null; // of a save; another one after each change
  let dirty = false;
  let saving = false; // sent, and neither answered nor left since
  let number = 0;
  let retries = 0;
  let timer = 0;
  let retry = 0;
  let passage = null; // the words that are selected
  let lastAxis = null;
  let activeAt = performance.now();
  let countedAt = performance.now();

  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const shown = (element) => Boolean(element?.offsetParent);
  const field = (name) => one(`[name="${name}"]`, page);
  const chars = (text) => [...text].length; // as the server counts them
  const isTyping = (element) => element.matches("textarea, select, input:not([type=radio], [type=checkbox])");

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
    element.append(...children);
    return element;
  }

  function send(event, action) {
    outbox[event].push(JSON.stringify(action));
    one(`#${root}-${event}`).click();
  }

  const place = () => ({ answer: page?.dataset.answer ?? "", rubric: page?.dataset.rubric ?? "" });
  const rater = () => one(`#${root}-page [data-rater]`)?.dataset.rater;

  // What is entered, and back into the fields.
  function collect() {
    count();
    const chosen = (selector, name) => Object.fromEntries(all(selector, page).filter((set) => !set.hidden && one("input:checked", set)).map((set) => [set.dataset[name], one("input:checked", set).value]));
    const { harm_extent = "", harm_likelihood = "", ...scores } = chosen("fieldset[data-axis]", "axis");
    const steps = Object.fromEntries(Object.entries(chosen("fieldset[data-step]", "step")).map(([step, mark]) => [step, Number(mark)]));
    const texts = Object.fromEntries(["corrected_reasoning", "corrected_solution", "comment", "cannot_rate"].map((name) => [name, field(name).value]));
    return { base: form.base, scores, harm_extent, harm_likelihood, critical: field("critical").checked, steps, first_wrong: Number(field("first_wrong")?.value) || null, spans: form.spans, ...texts, seconds: Math.min(Math.round(form.seconds * 10) / 10, MOST_SECONDS) };
  }

  function fill(filled) {
    form = { base: filled.base, spans: filled.spans, seconds: filled.seconds };
    all("input[type=radio]", page).forEach((input) => { input.checked = false; });
    const check = (name, value) => all(`input[name="${CSS.escape(name)}"]`, page).forEach((input) => { input.checked = input.value === String(value); });
    Object.entries({ ...filled.scores, harm_extent: filled.harm_extent, harm_likelihood: filled.harm_likelihood }).forEach(([axis, value]) => check(`axis-${axis}`, value));
    Object.entries(filled.steps).forEach(([step, mark]) => check(`step-${step}`, mark));
    field("critical").checked = filled.critical;
    if (field("first_wrong")) field("first_wrong").value = filled.first_wrong ?? "";
    ["corrected_reasoning", "corrected_solution", "comment", "cannot_rate"].forEach((name) => { field(name).value = filled[name]; });
    one(".mc-corrections", page).open = Boolean(filled.corrected_reasoning || filled.corrected_solution);
    one(".mc-cannot", page).open = Boolean(filled.cannot_rate);
    askFollowing();
    tellCritical();
    listSpans();
  }

  // Drafts: kept shortly after the last change, again until the server has said so.
  const waiting = () => JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
  const hold = (draft) => sessionStorage.setItem(KEPT, JSON.stringify({ ...draft, rater: rater() }));

  function tellKept(text) {
    if (page) one(".mc-kept", page).textContent = text;
  }

  function forgetOthers() {
    if (rater() !== undefined && waiting() && waiting().rater !== rater()) sessionStorage.removeItem(KEPT);
  }

  function changed() {
    tellKept("");
    key = null;
    dirty = true;
    saving = false;
    retries = 0;
    clearTimeout(timer);
    timer = setTimeout(keep, DRAFT_AFTER_MS);
  }

  function keep() {
    clearTimeout(timer);
    if (!page || !dirty) return;
    dirty = false;
    sendDraft({ ...place(), filled: collect() });
  }

  function sendDraft(draft) {
    clearTimeout(retry);
    number += 1;
    hold({ ...draft, number: String(number) });
    send("keep", { do: "draft", ...draft, number: String(number) });
    tryAgain(draft);
  }

  function tryAgain(draft) {
    retry = setTimeout(() => {
      if (!waiting()) return;
      retries += 1;
      tellKept("Not kept yet, trying again.");
      sendDraft(draft);
    }, Math.min(RETRY_MS * 2 ** retries, MOST_RETRY_MS));
  }

  function confirmed() {
    const told = one(`#${root}-kept [data-kept]`);
    if (!told || told.dataset.kept !== waiting()?.number) return;
    sessionStorage.removeItem(KEPT);
    clearTimeout(retry);
    retries = 0;
    if (!dirty) tellKept(told.textContent);
  }

  // Why a save was not taken; what is entered stays.
  function refused() {
    const told = one(`#${root}-kept [data-refused]`);
    if (!told || !saving) return;
    changed();
    one(".mc-wrong", page).textContent = told.textContent;
  }

  // Saved in another window since: the next save may replace that.
  function ratedSince() {
    const told = one(`#${root}-kept [data-newer]`);
    if (!told || !saving || told.dataset.answer !== place().answer || told.dataset.rubric !== place().rubric) return;
    form.base = told.dataset.newer;
    changed();
    one(".mc-wrong", page).textContent = told.textContent;
  }

  const signature = (element) => element ? [element.dataset.answer, element.dataset.rubric, element.dataset.filled].join() : "";

  function arrive(fresh) {
    page = fresh;
    seen = signature(page);
    [dirty, key, passage, lastAxis] = [false, null, null, null];
    clearTimeout(timer);
    if (saving) sessionStorage.removeItem(KEPT);
    saving = false;
    if (!page) return;
    const lost = waiting();
    const filled = JSON.parse(page.dataset.filled);
    const isMine = lost && lost.answer === page.dataset.answer && lost.rubric === page.dataset.rubric && lost.filled.base === filled.base;
    fill(isMine ? lost.filled : filled);
    one(".mc-wrong", page).textContent = one(".mc-kept", page).textContent = "";
    if (lost) sendDraft({ answer: lost.answer, rubric: lost.rubric, filled: lost.filled });
    activeAt = countedAt = performance.now();
    one(".mc-kinds", page).hidden = true;
    const chosen = one(`#${root}-rubric`);
    if (chosen) chosen.value = page.dataset.rubric;
    if (!shown(page) || !matchMedia("(pointer: fine)").matches) return;
    focusOn(one("fieldset[data-axis]", page));
    if (page.getBoundingClientRect().top < 0) page.scrollIntoView({ block: "start" });
  }

  // Saving: what is missing gets the focus before the server is asked.
  function save(verb) {
    if (!page) return;
    const missing = verb === "save" && all("fieldset[data-required]", page).find((set) => !set.hidden && !one("input:checked", set));
    const told = missing ? `Not answered yet: ${one("legend", missing).textContent}` : verb === "cannot" && !field("cannot_rate").value.trim() ? "Say in a few words why this answer cannot be rated." : "";
    one(".mc-wrong", page).textContent = told;
    if (told) return missing ? focusOn(missing) : field("cannot_rate").focus();
    clearTimeout(timer);
    clearTimeout(retry);
    dirty = false;
    saving = true;
    key ??= window.medchat.saveKey();
    const filled = collect();
    number += 1;
    tellKept("");
    hold({ ...place(), filled, number: String(number) });
    send("act", { do: verb, ...place(), version: Number(page.dataset.version), key, filled });
    tryAgain({ ...place(), filled }); // it may be refused, or unheard
  }

  function leave(verb, more = {}) {
    dirty ||= saving; // it was refused
    saving = false;
    keep();
    send("act", { do: verb, ...place(), ...more });
  }

  // Fields that hang on others
  function askFollowing() {
    all("fieldset[data-only-axis]", page).forEach((set) => {
      const before = one(`fieldset[data-axis="${set.dataset.onlyAxis}"]`, page);
      const value = before && !before.hidden && one("input:checked", before)?.value;
      set.hidden = !set.dataset.onlyValues.split(" ").includes(value);
    });
  }

  function tellCritical() {
    page.classList.toggle("mc-is-critical", field("critical").checked);
  }

  // The first wrong step is the first that is marked so, unless its reader says another.
  function findFirstWrong() {
    const select = field("first_wrong");
    const wrong = all("fieldset[data-step]", page).filter((set) => one("input:checked", set)?.value === "-1").map((set) => set.dataset.step);
    if (!wrong.includes(select.value) || Number(wrong[0]) < Number(select.value)) select.value = wrong[0] ?? "";
  }

  // Moving between questions
  function focusOn(set) {
    const input = set && (one("input:checked", set) ?? one("input", set));
    input?.focus({ preventScroll: true });
    set?.scrollIntoView({ block: "nearest" });
  }

  function move(set, by) {
    const kind = set.dataset.step ? "step" : "axis";
    const sets = all(`fieldset[data-${kind}]`, page).filter(shown);
    const next = sets[sets.indexOf(set) + by];
    if (next) return focusOn(next);
    if (by > 0) (kind === "step" ? focusOn(one("fieldset[data-axis]", page)) : field("critical").focus());
  }

  // A digit answers the question in focus. With the focus on nothing of the form it never changes an answer.
  function answer(digit) {
    const active = document.activeElement;
    const isOpen = (set) => shown(set) && !one("input:checked", set);
    const open = () => [lastAxis, ...all("fieldset[data-axis]", page)].find((set) => page.contains(set) && isOpen(set));
    const set = page.contains(active) ? active.closest("fieldset") : open();
    const input = set && one(`input[data-digit="${digit}"]`, set);
    if (!input) return;
    input.checked = true;
    input.dispatchEvent(new Event("change", { bubbles: true }));
    move(set, 1);
  }

  // Passages: what is selected, what is wrong with it, and where it stands.
  function selected() {
    const selection = document.getSelection();
    if (!page || !selection.rangeCount || selection.isCollapsed) return null;
    const range = selection.getRangeAt(0);
    const part = (range.startContainer.parentElement ?? range.startContainer).closest?.(".mc-passage");
    if (!part || !page.contains(part)) return null;
    const within = document.createRange();
    within.selectNodeContents(part);
    if (part.contains(range.endContainer)) within.setEnd(range.endContainer, range.endOffset);
    const end = within.toString();
    within.setEnd(range.startContainer, range.startOffset);
    const begin = within.toString();
    const raw = end.slice(begin.length);
    const quote = raw.trim();
    if (!quote) return null;
    const start = Number(part.dataset.start) + chars(begin) + chars(raw) - chars(raw.trimStart());
    return { part: part.dataset.part, start, end: start + chars(quote), quote };
  }

  function offerKinds() {
    const kinds = page && one(".mc-kinds", page);
    if (!kinds || kinds.contains(document.activeElement)) return;
    passage = selected();
    kinds.hidden = !passage;
    if (passage) one(".mc-quote", kinds).textContent = passage.quote.length > 80 ? `${passage.quote.slice(0, 79)}…` : passage.quote;
  }

  function addSpan(kind) {
    if (!passage) return;
    if (form.spans.length >= MOST_SPANS) {
      one(".mc-wrong", page).textContent = `At most ${MOST_SPANS} passages can be marked. Remove some.`;
      return;
    }
    form.spans = [...form.spans, { ...passage, kind, comment: "" }];
    passage = null;
    one(".mc-kinds", page).hidden = true;
    document.getSelection().collapseToEnd();
    listSpans();
    changed();
    one(".mc-spans li:last-child input", page).focus();
  }

  function listSpans() {
    const rows = form.spans.map((span, at) => {
      const comment = make("input", { type: "text", maxlength: "2000", placeholder: "Comment (optional)", "aria-label": `Comment on the passage “${span.quote.slice(0, 60)}”`, "data-span": String(at) });
      comment.value = span.comment;
      return make("li", {}, make("span", { class: "mc-badge mc-kind" }, span.kind), make("q", { dir: "auto" }, span.quote), comment,
        make("button", { type: "button", class: "mc-button", "data-do": "rate-unmark", "data-span": String(at), "aria-label": `Remove the mark ${at + 1}` }, "Remove"));
    });
    one(".mc-spans", page).replaceChildren(...rows);
    showSpans();
  }

  function rangeOf(span) {
    for (const part of all(`.mc-passage[data-part="${span.part}"]`, page)) {
      const text = [...part.textContent];
      const [start, end] = [span.start - part.dataset.start, span.end - part.dataset.start];
      if (start < 0 || end > text.length || !part.firstChild) continue;
      const range = document.createRange();
      range.setStart(part.firstChild, text.slice(0, start).join("").length);
      range.setEnd(part.firstChild, text.slice(0, end).join("").length);
      return range;
    }
    return null;
  }

  // The text itself stays as it is: marks in it would move what is selected.
  function showSpans() {
    if (window.CSS?.highlights) CSS.highlights.set(`mc-span-${root}`, new Highlight(...form.spans.map(rangeOf).filter(Boolean)));
  }

  function enterText() {
    const text = one(".mc-passage[contenteditable]", page);
    if (!text) return;
    text.focus();
    document.getSelection().collapse(text.firstChild, 0);
    text.scrollIntoView({ block: "nearest" });
  }

  function upload(input) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    const about = { do: "file", ...place(), name: file.name, size: file.size, key: window.medchat.saveKey() };
    if (file.size > MAX_FILE_BYTES) return send("upload", { ...about, data: "" });
    const reader = new FileReader();
    reader.addEventListener("load", () => send("upload", { ...about, data: reader.result.slice(reader.result.indexOf(",") + 1) }));
    reader.addEventListener("error", () => send("upload", { ...about, data: "" }));
    reader.readAsDataURL(file);
  }

  const DO = {
    "rate-save": () => save("save"),
    "rate-cannot": () => save("cannot"),
    "rate-skip": () => leave("skip"),
    "rate-back": () => leave("back"),
    "rate-unskip": () => leave("unskip"),
    "rate-open": ({ dataset }) => leave("open", { answer: dataset.answer, rubric: dataset.rubric }),
    "rate-add": ({ dataset }) => leave("add", { source: dataset.source }),
    "rate-mine": () => send("act", { do: "mine" }),
    "rate-file": () => one(`#${root}-file`).click(),
    "rate-kind": ({ dataset }) => addSpan(dataset.kind),
    "rate-help": () => one(`#${root}-help`).showModal(),
    "rate-unmark"({ dataset }) {
      form.spans = form.spans.filter((_, at) => at !== Number(dataset.span));
      listSpans();
      changed();
      one(".mc-passage[contenteditable]", page)?.focus({ preventScroll: true });
    },
  };

  const BUTTONS = { s: "rate-skip", b: "rate-back" }; // as far as the page shows them
  const buttonOf = (pressed) => pressed in BUTTONS ? one(`#${root}-page [data-do="${BUTTONS[pressed]}"]`) : null;
  const KEYS = {
    m: enterText,
    r: () => focusOn(one("fieldset[data-step]", page)),
    c() {
      one(".mc-corrections", page).open = true;
      field("corrected_reasoning").focus();
    },
    f: () => focusOn(lastAxis ?? one("fieldset[data-axis]", page)),
  };

  function press(event) {
    const { target } = event;
    if (event.ctrlKey || event.metaKey) return event.key === "Enter" && !event.isComposing ? save("save") : undefined;
    if (event.altKey) return undefined;
    if (event.key === "Escape" && page?.contains(target)) return focusOn(lastAxis ?? one("fieldset[data-axis]", page));
    if (event.key === "Enter" && target.dataset.span && target.matches("input")) return one(".mc-passage[contenteditable]", page)?.focus();
    if (isTyping(target)) return undefined;
    if (event.key === "?") return one(`#${root}-help`).showModal();
    if (event.key in BUTTONS && !target.isContentEditable) return buttonOf(event.key)?.click();
    if (!page) return undefined;
    const inKinds = target.closest(".mc-kinds");
    if (passage && /^[1-6]$/.test(event.key)) return addSpan(one(`.mc-chip[data-digit="${event.key}"]`, page).dataset.kind);
    if (passage && event.key === "Enter" && !inKinds) return one(".mc-kinds button", page).focus();
    if (target.isContentEditable || inKinds) return undefined;
    if (/^\d$/.test(event.key)) return answer(event.key);
    const set = target.closest("fieldset");
    if (set && event.key === "ArrowDown") return move(set, 1);
    if (set && event.key === "ArrowUp") return move(set, -1);
    return KEYS[event.key] ? KEYS[event.key]() : undefined;
  }

  const handled = (event) => {
    const { target, key: pressed } = event;
    const moves = target.closest?.(".mc-rate fieldset") && ["ArrowUp", "ArrowDown"].includes(pressed);
    const letter = !isTyping(target) && !event.ctrlKey && !event.altKey && !event.metaKey && (pressed === "?" || buttonOf(pressed) || (page && (pressed in KEYS || /^\d$/.test(pressed)))) && !target.isContentEditable;
    const marks = passage && (target.isContentEditable || target.closest?.(".mc-kinds")) && (/^[1-6]$/.test(pressed) || (pressed === "Enter" && target.isContentEditable));
    return moves || letter || marks || (pressed === "Enter" && (event.ctrlKey || event.metaKey));
  };

  document.addEventListener("keydown", (event) => {
    activeAt = performance.now();
    if (!shown(one(`#${root}-tab`)) || one("dialog[open]")) return;
    if (handled(event)) event.preventDefault();
    press(event);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest(`#${root}-tab [data-do]`);
    if (button && DO[button.dataset.do]) DO[button.dataset.do](button);
  });
  document.addEventListener("submit", (event) => { if (event.target.matches(".mc-rate-form")) event.preventDefault(); });
  document.addEventListener("submit", (event) => {
    if (!event.target.matches('form[action="/sign-out"]')) return;
    keep();
    clearTimeout(retry);
    sessionStorage.removeItem(KEPT); // who comes next may be somebody else
  });
  document.addEventListener("mousedown", (event) => { if (event.target.closest(".mc-kinds button")) event.preventDefault(); }); // it would end the selection
  document.addEventListener("selectionchange", offerKinds);
  // The solution has a caret, and stays as it was written.
  ["beforeinput", "drop", "paste", "cut"].forEach((name) => document.addEventListener(name, (event) => {
    if (event.target.closest?.(".mc-passage")) event.preventDefault();
  }));
  document.addEventListener("focusin", (event) => {
    const set = event.target.closest?.(".mc-rate fieldset[data-axis]");
    if (page?.contains(set)) lastAxis = set;
  });
  document.addEventListener("input", (event) => {
    if (!page?.contains(event.target) || !isTyping(event.target)) return;
    if (event.target.dataset.span) form.spans = form.spans.map((span, at) => at === Number(event.target.dataset.span) ? { ...span, comment: event.target.value } : span);
    changed();
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches(`#${root}-file`)) return upload(event.target);
    if (event.target.matches(`#${root}-rubric`)) return leave("rubric", { rubric: event.target.value });
    if (!page?.contains(event.target)) return undefined;
    if (event.target.closest("fieldset[data-step]")) findFirstWrong();
    if (event.target.name === "critical") tellCritical();
    askFollowing();
    if (event.target.type === "radio") one(".mc-wrong", page).textContent = "";
    return changed();
  });

  // Time on task: while the page is seen and somebody does something on it.
  ["pointermove", "pointerdown", "wheel", "touchmove"].forEach((name) => document.addEventListener(name, () => { activeAt = performance.now(); }, { passive: true }));
  function count() {
    const now = performance.now();
    const sees = shown(page) && document.visibilityState === "visible" && now - activeAt < IDLE_MS;
    if (sees) form.seconds += Math.min(now - countedAt, 2000) / 1000;
    countedAt = now;
  }
  setInterval(count, 1000);
  document.addEventListener("visibilitychange", () => { if (document.visibilityState === "hidden") keep(); });
  window.addEventListener("pagehide", () => { if (dirty && page) hold({ ...place(), filled: collect(), number: "" }); });

  new MutationObserver((records) => {
    const within = (selector) => records.some(({ target }) => (target.closest ? target : target.parentElement)?.closest(selector));
    if (within(`#${root}-page`)) {
      forgetOthers();
      const fresh = one(`#${root}-page .mc-rate`);
      if (fresh !== page || signature(fresh) !== seen) arrive(fresh);
    }
    if (within(`#${root}-kept`)) {
      confirmed();
      refused();
      ratedSince();
    }
  }).observe(document.documentElement, { subtree: true, childList: true, characterData: true, attributeFilter: ["data-kept", "data-newer", "data-refused", "data-rater", "data-answer", "data-rubric", "data-filled"] });

  const opened = () => JSON.stringify({ do: "enter", ...place() });
  return { send, keep, opened, action: (event) => outbox[event].shift() ?? "" };
};

window.medchat.rate = window.medchat.ratingForm("rate");
