// A vote on two answers: by keys and buttons, the form beside it and its draft, and the time that it took.
// The server has the draft; what it has not confirmed yet stays in this tab of the browser, and is sent again.
// The Compare tab has one, and a rater's desk in a study another; root: what the ids of its elements begin with.
window.medchat.ballot = (root) => {
  const DRAFT_AFTER_MS = 500;
  const RETRY_MS = 4000;
  const MOST_RETRIES = 5;
  const DRAW_MS = 10_000;
  const KEPT = `medchat-ballot-${root}`; // what the server has not confirmed yet
  const MAX_FILE_BYTES = 5_000_000;
  const ASK_FIRST = "Choose first: A better, B better, tie or both bad.";
  const VOTE_OF_KEY = { a: "a", b: "b", t: "tie", x: "both_bad" };
  const outbox = [];
  const open = new Map(); // frames leave what can be folded as its reader left it
  let focusedId = null;
  let drafting = 0;
  let saveKey = ""; // of what stands in the form: the same words are saved once
  let comparison = "";
  let spentMs = 0;
  let since = null; // when the page was last seen
  let number = 0; // of what was sent last to be kept
  let retry = 0;
  let retries = 0;
  let isFresh = true; // no comparison was shown yet since the page was loaded
  let unsaved = null; // a vote that was lost, until its draft is there again
  let isWarned = false;
  let drawingUntil = 0; // how long Enter belongs to the case that is on its way
  let wantsAnswers = false;

  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const bar = () => one(`#${root}-vote`);
  const state = () => bar()?.dataset.state ?? "";
  const shown = () => one(`#${root}-page`)?.offsetParent != null;
  const isText = (element) => element.matches("textarea, select, input:not([type=radio], [type=checkbox]), [contenteditable=true], [role=combobox], [role=listbox], [role=option]");
  const chosen = () => one("[data-vote][aria-pressed=true]", bar())?.dataset.vote ?? "";

  function send(event, action) {
    outbox.push(JSON.stringify(action));
    one(`#${root}-${event}`).click();
  }

  const act = (verb, more = {}) => send("act", { do: verb, comparison: bar().dataset.comparison, ...more });

  function tell(words) {
    const line = one(".mc-vote-line", bar());
    line.setAttribute("role", "status");
    line.textContent = words;
  }

  // Time on task, without that when the page or the tab was hidden.
  function tick() {
    const now = performance.now();
    if (since !== null) spentMs += now - since;
    since = document.visibilityState === "visible" && shown() && ["waiting", "open"].includes(state()) ? now : null;
  }

  function ballot() {
    tick();
    const form = one(`#${root}-form`);
    return {
      vote: chosen(),
      axes: all("[data-axis]:checked", form).filter(({ value }) => value).map(({ dataset, value }) => `${dataset.axis}=${value}`),
      reason: one(`#${root}-reason`)?.value ?? "",
      flags: all("[data-flag]:checked", form).map(({ dataset }) => dataset.flag),
      ms: Math.round(spentMs),
      of: bar().dataset.of,
    };
  }

  const waiting = () => JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
  const asSent = (verb, more = {}) => ({ do: verb, comparison: bar().dataset.comparison, ...ballot(), ...more });

  function hold(sent) {
    number += 1;
    const held = { ...sent, rater: bar().dataset.rater, number: String(number) };
    sessionStorage.setItem(KEPT, JSON.stringify(held));
    return held;
  }

  function forget() {
    clearTimeout(drafting);
    clearTimeout(retry);
    drafting = 0;
    sessionStorage.removeItem(KEPT);
  }

  function sendDraft(draft) {
    clearTimeout(retry);
    const held = hold(draft);
    send("act", held);
    retry = setTimeout(() => {
      retries += 1;
      if (bar() && waiting()?.number === held.number && retries <= MOST_RETRIES) sendDraft(draft);
    }, RETRY_MS);
  }

  function keepDraft() {
    clearTimeout(drafting);
    drafting = 0;
    if (state() === "open") sendDraft(asSent("draft"));
  }

  function changed() {
    saveKey = "";
    retries = 0;
    clearTimeout(retry);
    clearTimeout(drafting);
    hold(asSent("draft"));
    drafting = setTimeout(keepDraft, DRAFT_AFTER_MS);
  }

  function confirmed() {
    const lost = waiting();
    if (!lost || one(`#${root}-kept [data-kept]`)?.dataset.kept !== lost.number) return;
    clearTimeout(retry);
    sessionStorage.removeItem(KEPT);
    if (unsaved && bar()) send("act", hold(unsaved));
    unsaved = null;
  }

  // Why a vote was not taken; it stays as a draft.
  function refused() {
    const told = one(`#${root}-kept [data-refused]`);
    if (!told || state() !== "open" || waiting()?.do !== "vote") return;
    keepDraft();
    tell(told.textContent);
  }

  // What the page before this one could not bring to the server.
  function recover() {
    const lost = waiting();
    const { comparison, rater, of } = bar().dataset;
    if (!lost) return;
    const draft = { ...lost, do: "draft" };
    if (lost.rater !== rater || (lost.comparison === comparison && lost.of !== of)) return forget();
    if (lost.comparison !== comparison) return sendDraft(draft);
    spentMs = lost.ms;
    unsaved = lost.do === "vote" ? lost : null;
    sendDraft({ ...draft, show: "yes" });
  }

  function choose(vote) {
    if (state() !== "open") return;
    isWarned = false;
    all("[data-vote]", bar()).forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.vote === vote)));
    changed();
  }

  function save() {
    if (state() !== "open") return;
    if (!chosen()) return tell(ASK_FIRST);
    clearTimeout(drafting);
    clearTimeout(retry);
    drafting = 0;
    saveKey ||= window.medchat.saveKey();
    send("act", hold(asSent("vote", { key: saveKey })));
  }

  function next(byKey) {
    if (byKey && state() === "open" && chosen()) return tell("Your vote is not saved yet: Enter saves it.");
    if (byKey && state() === "open" && !one("[data-do=compare-next]", bar())) return tell(ASK_FIRST);
    if (byKey && state() === "waiting") return tell("Both are still being written. The button Next case leaves them.");
    if (byKey && state() === "open" && !isWarned) {
      isWarned = true;
      return tell("Not voted yet: press n again to leave it.");
    }
    if (drafting) keepDraft();
    drawingUntil = performance.now() + DRAW_MS;
    wantsAnswers = false;
    one(`#${root}-draw`).click();
  }

  function openOld({ dataset }) {
    if (drafting) keepDraft();
    one(`#${root}-mine details`).open = false;
    send("open", { do: "open", comparison: dataset.comparison });
  }

  const DO = {
    "compare-choose": (button) => choose(button.dataset.vote),
    "compare-save": save,
    "compare-next": () => next(false),
    "compare-change": () => act("change"),
    "compare-keep": () => { forget(); act("keep"); },
    "compare-mine": (summary) => { if (!summary.parentElement.open) send("act", { do: "mine" }); },
    "compare-open": openOld,
    "compare-send": () => act("send"),
    "compare-stop": (button) => act("stop", { side: button.dataset.side }),
    "compare-file": () => one(`#${root}-file`).click(),
  };

  function readFile(input) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    const { name, size } = file;
    if (size > MAX_FILE_BYTES) return send("upload", { do: "file", name, size, data: "" });
    const reader = new FileReader();
    reader.addEventListener("load", () => send("upload", { do: "file", name, size, data: reader.result.slice(reader.result.indexOf(",") + 1) }));
    reader.addEventListener("error", () => send("upload", { do: "file", name, size: 0, data: "" }));
    reader.readAsDataURL(file);
  }

  document.addEventListener("click", (event) => {
    const details = event.target.closest(`#${root}-page summary`)?.parentElement;
    if (details?.dataset.fold) open.set(details.dataset.fold, !details.open);
    const button = event.target.closest(`#${root}-page [data-do]`);
    if (button && !button.ariaDisabled && DO[button.dataset.do]) DO[button.dataset.do](button);
  });
  document.addEventListener("input", (event) => { if (event.target.closest(`#${root}-form`)) changed(); });
  document.addEventListener("change", (event) => { if (event.target.matches(`#${root}-file`)) readFile(event.target); });
  document.addEventListener("visibilitychange", () => {
    tick();
    if (drafting && document.visibilityState === "hidden") keepDraft();
  });

  function enter(event) {
    const { target } = event;
    const isFree = target.matches("[data-vote][aria-pressed=true], [role=tab]") || (target.matches(`#${root}-reason`) && !event.shiftKey);
    if (!isFree && (isText(target) || target.closest("button, a, summary"))) return;
    event.preventDefault();
    save();
  }

  document.addEventListener("keydown", (event) => {
    if (!shown() || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
    if (event.defaultPrevented || one("dialog[open]")) return;
    if (event.key === "Enter" && performance.now() < drawingUntil && !isText(event.target)) {
      wantsAnswers = true;
      return event.preventDefault();
    }
    drawingUntil = 0;
    if (event.key === "Enter" && state() === "open") return enter(event);
    if (isText(event.target)) return;
    const vote = VOTE_OF_KEY[event.key.toLowerCase()];
    if (vote) choose(vote);
    // Enter is to save then, not to press what had the focus.
    if (vote && bar() && event.target.closest("button, a, summary")) one(`[data-vote=${vote}]`, bar())?.focus({ preventScroll: true });
    if (event.key.toLowerCase() === "n") next(true);
    if (vote || event.key.toLowerCase() === "n") event.preventDefault();
  });

  document.addEventListener("focusin", (event) => { focusedId = event.target.closest(`#${root}-sides`)?.contains(event.target) ? event.target.id || null : null; });
  document.addEventListener("pointerdown", () => { focusedId = null; drawingUntil = 0; });

  function keepFolds() {
    all(`#${root}-page details[data-fold]`).forEach((details) => {
      const wanted = open.get(details.dataset.fold);
      if (wanted !== undefined && details.open !== wanted) details.open = wanted;
    });
  }

  function keepFocus() {
    if (focusedId === null || document.activeElement !== document.body) return;
    document.getElementById(focusedId)?.focus({ preventScroll: true });
  }

  // Another comparison, or another vote on it, has its own time.
  function arrive() {
    const now = bar() ? `${bar().dataset.comparison} ${bar().dataset.of}` : "";
    if (now !== comparison) {
      comparison = now;
      spentMs = Number(bar()?.dataset.ms ?? 0);
      since = null;
      saveKey = "";
      isWarned = false;
    }
    if (bar() && isFresh) {
      isFresh = false;
      recover();
    }
    tick();
    const told = one(`#${root}-status [data-focus]`);
    if (!told) return;
    const place = document.getElementById(told.dataset.focus);
    delete told.dataset.focus;
    (one("textarea", place) ?? place).focus();
    const isWanted = wantsAnswers && performance.now() < drawingUntil && place.id === `${root}-ask`;
    drawingUntil = 0;
    if (isWanted) place.click();
  }

  new MutationObserver((records) => {
    const within = (selector) => records.some(({ target }) => (target.closest ? target : target.parentElement)?.closest(selector));
    if (within(`#${root}-sides, #${root}-form, #${root}-diff`)) keepFolds();
    if (within(`#${root}-sides`)) keepFocus();
    if (within(`#${root}-kept`)) setTimeout(() => { confirmed(); refused(); });
    if (within(`#${root}-bar, #${root}-status`)) setTimeout(arrive); // once the fields of the same frame are filled
  }).observe(document.documentElement, { subtree: true, childList: true, characterData: true });

  return { keep: () => { if (drafting) keepDraft(); }, action: () => outbox.shift() ?? "" };
};

window.medchat.compare = window.medchat.ballot("compare");
