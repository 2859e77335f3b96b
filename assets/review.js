// The review desk in the Data tab: one row after the other by keyboard. What is typed is kept as a draft; a decision that
// was not heard is sent again under the same key, so that it is saved once.
(() => {
  const DRAFT_AFTER_MS = 700;
  const RETRY_MS = 4000;
  const MOST_RETRY_MS = 60_000;
  const MOST_SECONDS = 24 * 3600;
  const IDLE_MS = 120_000;
  const KEPT = "medchat-review"; // what the server has not confirmed yet, and whose; in this tab alone
  const outbox = { act: [], keep: [], run: [] };
  let page = null; // the row that is shown
  let seen = ""; // and as what: another row comes into the same elements
  let was = null; // the page without a row that stands there
  let seconds = 0;
  let base = "";
  let key = null; // of a save; another one after each change
  let dirty = false;
  let saving = false; // sent, and neither answered nor changed since
  let number = 0;
  let retries = 0;
  let timer = 0;
  let retry = 0;
  let activeAt = performance.now();
  let countedAt = performance.now();

  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const shown = (element) => Boolean(element?.offsetParent);
  const tab = () => one("#review-tab");
  const place = () => ({ folder: page?.dataset.folder ?? one("#review-place")?.dataset.folder ?? "", row: page?.dataset.row ?? "" });
  const reviewer = () => one("#review-tab [data-reviewer]")?.dataset.reviewer;
  const field = (name) => one(`[name=${name}]`, page);
  const isTyping = (element) => element.matches("textarea, select, input:not([type=radio], [type=checkbox])");

  function send(event, action) {
    outbox[event].push(JSON.stringify(action));
    one(`#review-send-${event}`).click();
  }

  // The form: what is entered, and back into it.
  const decision = () => one("[name=decision]:checked", page)?.value ?? "";
  const reason = () => one(`[data-of=reason][data-for="${decision()}"] :checked`, page)?.value ?? "";

  function collect() {
    count();
    const texts = Object.fromEntries(all("[data-text]", page).filter((box) => box.value !== box.dataset.was.replace(/\r\n?/g, "\n")).map((box) => [box.dataset.text, box.value]));
    return { decision: decision(), reason: reason(), words: field("words").value, texts, checked: field("checked").value, seconds: Math.min(Math.round(seconds * 10) / 10, MOST_SECONDS), base };
  }

  function fill(entered) {
    seconds = entered.seconds;
    base = entered.base;
    all("input[type=radio]", page).forEach((input) => { input.checked = input.name === "decision" ? input.value === entered.decision : input.name === `reason-${entered.decision}` && input.value === entered.reason; });
    fillTexts(entered.texts);
    field("words").value = entered.words;
    field("checked").value = entered.checked;
    askFollowing();
  }

  function fillTexts(texts) {
    all("[data-text]", page).forEach((box) => { box.value = texts[box.dataset.text] ?? box.dataset.was; });
  }

  // What is asked hangs on the decision.
  function askFollowing() {
    all("[data-for]", page).forEach((set) => { set.hidden = set.dataset.for !== decision(); });
    one(".mc-review-fix", page).hidden = decision() !== "fix";
  }

  function choose(name) {
    const input = one(`[name=decision][value=${name}]`, page);
    if (!input.checked) {
      input.checked = true;
      input.dispatchEvent(new Event("change", { bubbles: true }));
    }
    const next = { keep: input, fix: one(".mc-review-fix [data-text]", page), drop: one("[data-of=reason][data-for=drop] input", page) }[name];
    next.focus();
  }

  function giveReason(digit) {
    const input = one(`[data-of=reason]:not([hidden]) [data-digit="${digit}"]`, page);
    if (!input) return;
    input.checked = true;
    input.focus();
    changed();
  }

  // Empty, it takes over the source of the row before; selected, so that what is typed replaces it.
  function enterSource() {
    const box = field("checked");
    if (!box.value && box.dataset.last) {
      box.value = box.dataset.last;
      changed();
    }
    box.focus();
    box.select();
  }

  function take(button) {
    choose("fix");
    fillTexts(JSON.parse(button.dataset.texts));
    changed();
  }

  // Drafts: kept shortly after the last change, again until the server has said so.
  const waiting = () => JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
  const hold = (sent) => sessionStorage.setItem(KEPT, JSON.stringify({ ...sent, reviewer: reviewer() }));
  const tellKept = (text) => { if (page) one(".mc-kept", page).textContent = text; };
  const tellWrong = (text) => { if (page) one(".mc-wrong", page).textContent = text; };

  function changed() {
    tellKept("");
    tellWrong("");
    [key, dirty, saving, retries] = [null, true, false, 0];
    clearTimeout(retry);
    clearTimeout(timer);
    timer = setTimeout(keep, DRAFT_AFTER_MS);
  }

  function keep() {
    clearTimeout(timer);
    if (!page || !dirty) return;
    dirty = false;
    deliver({ ...place(), entered: collect() });
  }

  // A draft, or a decision where it has a key; again and again until it was heard.
  function deliver(sent) {
    clearTimeout(retry);
    number += 1;
    const numbered = { ...sent, number: String(number) };
    hold(numbered);
    send(sent.key ? "act" : "keep", { do: sent.key ? "save" : "draft", ...numbered });
    retry = setTimeout(() => {
      if (waiting()?.number !== numbered.number) return;
      retries += 1;
      tellKept(sent.key ? "Not saved yet, trying again." : "Not kept yet, trying again.");
      deliver(sent);
    }, Math.min(RETRY_MS * 2 ** retries, MOST_RETRY_MS));
  }

  function heard() {
    sessionStorage.removeItem(KEPT);
    clearTimeout(retry);
    [retries, saving] = [0, false];
  }

  function answered() {
    const told = one("#review-kept :is([data-kept], [data-refused])");
    if (!told) return;
    const { kept, refused, newer } = told.dataset;
    if (refused === "") return tellWrong(told.textContent); // a way that leads nowhere
    if ((kept ?? refused) !== waiting()?.number) return;
    const wasSave = Boolean(waiting().key);
    heard();
    if (kept !== undefined) return dirty ? undefined : tellKept(told.textContent);
    if (newer) base = newer;
    if (wasSave) key = null;
    tellKept("");
    tellWrong(told.textContent);
  }

  function save() {
    if (!page || saving) return;
    const missing = !decision() ? "Choose first what becomes of the row: k keep, f fix, d drop." : decision() !== "keep" && !reason() && !field("words").value.trim() ? "Say why: choose a reason by its number, or write one." : "";
    tellWrong(missing);
    if (missing) return (one("[data-of=reason]:not([hidden]) input", page) ?? one("[name=decision]", page)).focus();
    clearTimeout(timer);
    [dirty, saving, retries] = [false, true, 0];
    key ??= window.medchat.saveKey();
    tellKept("Saving…");
    deliver({ ...place(), entered: collect(), key });
  }

  function go(way) {
    if (saving) return;
    keep();
    tellWrong("");
    send("act", { do: "go", way, ...place() });
  }

  function leave(action) {
    keep();
    send("act", action);
  }

  function arrive(fresh) {
    page = fresh;
    seen = signature(page);
    [dirty, key] = [false, null];
    clearTimeout(timer);
    if (saving) heard();
    if (page) {
      const lost = waiting();
      const filled = JSON.parse(page.dataset.filled);
      const isMine = lost && lost.row === page.dataset.row && lost.entered.base === page.dataset.base;
      fill(isMine ? lost.entered : filled);
      if (isMine && lost.key) [saving, key] = [true, lost.key];
      tellWrong("");
      tellKept("");
    }
    if (waiting()) deliver(unnumbered(waiting())); // what the page before this one did not hear of
    activeAt = countedAt = performance.now();
    lookAt("#review-row-title");
  }

  const unnumbered = ({ reviewer: _, number: __, ...sent }) => sent;

  // A row begins at its top, with the keys at work.
  function lookAt(selector) {
    const title = one(selector);
    if (!shown(title) || (document.activeElement !== document.body && !tab().contains(document.activeElement))) return;
    title.focus({ preventScroll: true });
    const top = one("#review-place") ?? title;
    if (top.getBoundingClientRect().top < 0) top.scrollIntoView({ block: "start" });
  }

  function forgetOthers() {
    if (reviewer() !== undefined && waiting() && waiting().reviewer !== reviewer()) heard();
  }

  const finish = (verb) => ({ dataset }) => send("run", { do: verb, folder: dataset.folder });

  const DO = {
    "review-open": ({ dataset }) => send("act", { do: "open", folder: dataset.folder }),
    "review-list": () => leave({ do: "list" }),
    "review-go": ({ dataset }) => go(dataset.way),
    "review-save": save,
    "review-take": take,
    "review-help": () => one("#review-help").showModal(),
    "review-apply": finish("apply"),
    "review-freeze": finish("freeze"),
    "review-stop": () => send("act", { do: "stop" }),
  };
  const KEYS = {
    k: () => choose("keep"),
    f: () => choose("fix"),
    d: () => choose("drop"),
    s: enterSource,
    n: () => go("next"),
    p: () => go("back"),
  };

  // What a key does here; null for nothing.
  function meant({ target, key: pressed, ctrlKey, metaKey, altKey, repeat, isComposing }) {
    if (repeat || isComposing || altKey) return null;
    if (pressed === "Enter" && (ctrlKey || metaKey)) return page && save;
    if (ctrlKey || metaKey) return null;
    if (pressed === "Escape") return page?.contains(target) && isTyping(target) ? () => one("#review-row-title").focus() : null;
    if (pressed === "Enter") return page && !target.matches("button, a, summary, textarea, select") ? save : null;
    if (isTyping(target)) return null;
    if (pressed === "?") return DO["review-help"];
    if (!page) return pressed === "p" && one("#review-back") ? KEYS.p : null;
    if (/^[1-9]$/.test(pressed)) return () => giveReason(pressed);
    return KEYS[pressed] ?? null;
  }

  document.addEventListener("keydown", (event) => {
    activeAt = performance.now();
    if (!shown(tab()) || one("dialog[open]") || event.defaultPrevented) return;
    if (!event.target.matches("body, #tabs [role=tab]") && !one("#data-page").contains(event.target)) return;
    const act = meant(event);
    if (!act) return;
    event.preventDefault();
    if (!saving || retries) act(); // what is pressed too early is not for the row that is on its way out
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("#review-tab [data-do]");
    if (button && DO[button.dataset.do]) DO[button.dataset.do](button);
  });
  document.addEventListener("submit", (event) => {
    if (event.target.matches(".mc-review-form")) event.preventDefault();
    if (!event.target.matches('form[action="/sign-out"]')) return;
    keep();
    heard(); // who comes next may be somebody else
  });
  document.addEventListener("input", ({ target }) => { if (page?.contains(target) && isTyping(target)) changed(); });
  document.addEventListener("change", ({ target }) => {
    if (target.matches("#review-tab [name=reviewers]")) return send("act", { do: "reviewers", n: Number(target.value), ...place() });
    if (!page?.contains(target) || !target.matches("[type=radio], select")) return undefined;
    askFollowing();
    return changed();
  });
  document.addEventListener("medchat:review", () => send("act", { do: "enter", ...place() }));

  // Time on task: while the page is seen and somebody does something on it.
  ["pointermove", "pointerdown", "wheel", "touchmove"].forEach((name) => document.addEventListener(name, () => { activeAt = performance.now(); }, { passive: true }));
  function count() {
    const now = performance.now();
    if (shown(page) && document.visibilityState === "visible" && now - activeAt < IDLE_MS) seconds += Math.min(now - countedAt, 2000) / 1000;
    countedAt = now;
  }
  setInterval(count, 1000);
  document.addEventListener("visibilitychange", () => { if (document.visibilityState === "hidden") keep(); });
  window.addEventListener("pagehide", () => { if (dirty && page) hold({ ...place(), entered: collect(), number: "" }); });

  const signature = (element) => element ? [element.dataset.row, element.dataset.base, element.dataset.filled].join() : "";

  // What the server made anew: a row, no row, or an answer to what was sent.
  new MutationObserver((records) => {
    const within = (selector) => records.some(({ target }) => (target.closest ? target : target.parentElement)?.closest(selector));
    if (within("#review-page, #review-head, #review-list")) {
      forgetOthers();
      const fresh = one("#review-page .mc-review");
      if (fresh !== page || signature(fresh) !== seen) arrive(fresh);
      const none = one("#review-page .mc-review-none, #review-list #review-title");
      if (none !== was && none) lookAt("#review-page #review-row-title, #review-list #review-title");
      was = none;
    }
    if (within("#review-kept")) answered();
    if (within("#review-done")) one("#review-done-title")?.focus();
  }).observe(document.documentElement, { subtree: true, childList: true, characterData: true, attributeFilter: ["data-row", "data-base", "data-filled", "data-kept", "data-refused", "data-reviewer"] });

  window.medchat.review = { action: (event) => outbox[event].shift() ?? "" };
})();
