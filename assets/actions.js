// What can be pressed in the transcript and the sidebar. A button says with data-do what it does; what the server is
// to do goes to it as JSON: "go" for what leads to an answer or another conversation, "act" for the rest.
(() => {
  const MAX_FILE_BYTES = 1_000_000;
  const SEARCH_AFTER_MS = 250;
  const DRAFT_AFTER_MS = 800;
  const STILL_WRITING = "Not sent: an answer is still being written. Wait for it, or stop it.";
  const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;
  const outbox = [];
  const forms = []; // open ones, put back when a frame replaces what they stand in
  const drafts = new Map();
  let menu = null;
  let leaving = null;
  let sought = null; // the answer that a search found
  let row = null; // where the keyboard is in the list
  let searching = 0;
  let asked = null; // what was sent, until its answer has ended
  let keptDraft = "";
  let keeping = 0;
  let isDraftTaken = false;

  const one = (selector, within = document) => within.querySelector(selector);
  const searchField = () => one("#chat-search-field");
  const list = () => ({ shown: document.querySelectorAll("#chat-list .mc-open").length, search: searchField()?.value ?? "" });

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name in element && typeof value !== "string") element[name] = value;
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  function send(event, action) {
    outbox.push(JSON.stringify(action));
    one(`#chat-${event}`).click();
  }

  // The words as they were written: without what only screen readers are told.
  function words(element) {
    const copy = element.cloneNode(true);
    copy.querySelectorAll(".mc-vh, .mc-tag").forEach((hidden) => hidden.remove());
    return copy.textContent.trim();
  }

  const prose = (element) => element ? [...element.querySelectorAll(":scope > p:not(.mc-note), li")].map((part) => (part.value ? `${part.value}. ` : "") + words(part)).join("\n") : "";

  function turnText(turn) {
    const context = one(".mc-context", turn);
    const parts = [
      ["Patient context", context && words(context)],
      ["Question", words(one(".mc-words", turn))],
      ["Reasoning", prose(one(".mc-reasoning .mc-body", turn))],
      ["Solution", prose(one(".mc-solution", turn))],
    ];
    return parts.filter(([, text]) => text).map(([title, text]) => `${title}\n${text}`).join("\n\n");
  }

  async function copy(text, button, told = "Copied") {
    try {
      await navigator.clipboard.writeText(text);
    } catch { // not over plain HTTP, save on this machine
      const holder = make("textarea", { value: "", class: "mc-vh", "aria-hidden": "true" });
      holder.value = text;
      document.body.append(holder);
      holder.select();
      document.execCommand("copy");
      holder.remove();
      button.focus();
    }
    const before = button.dataset.text ?? button.textContent;
    button.dataset.text = before;
    button.textContent = told;
    setTimeout(() => { button.textContent = before; }, 1000 + 60 * told.length);
  }

  // A form in a place that a frame may replace; it goes when its place does.
  function open(form, place) {
    const open = { form, place };
    forms.push(open);
    one(place).append(form);
    const first = one("[autofocus]", form) ?? one("input", form);
    first.focus();
    if (first.matches("input")) first.select();
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault(); // it would stop the answer
      close(form, true);
    });
  }

  function close(form, focusBack = false) {
    const at = forms.findIndex((open) => open.form === form);
    if (at < 0) return;
    const { place } = forms[at];
    forms.splice(at, 1);
    form.remove();
    if (focusBack) one(place)?.querySelector("[data-do=edit], [data-do=menu]")?.focus();
  }

  function keepForms() {
    for (const { form, place } of [...forms]) {
      if (form.isConnected) continue;
      const there = one(place);
      if (there) {
        const focused = form.dataset.focused;
        there.append(form);
        if (focused) form.querySelector(`[name="${focused}"]`)?.focus({ preventScroll: true });
      } else setTimeout(() => { if (!form.isConnected && !one(place)) close(form); }, 1000);
    }
  }

  function area(name, label, value, rows) {
    const text = make("textarea", { name, rows: String(rows), "aria-label": label });
    text.value = value;
    return text;
  }

  function edit(button) {
    const turn = button.closest(".mc-turn");
    const context = one(".mc-context", turn);
    const question = area("question", "Question", words(one(".mc-words", turn)), 4);
    question.setAttribute("autofocus", "");
    const told = area("context", "Patient context (optional)", context ? words(context) : "", 2);
    told.placeholder = "Patient context (optional)";
    const form = make("form", { class: "mc-form" }, told, question, make("div", { class: "mc-form-buttons" },
      make("button", { type: "submit", class: "mc-button mc-primary", "data-do": "send-edit" }, one("#chat-send").textContent.trim()),
      make("button", { type: "button", class: "mc-button", "data-do": "cancel" }, "Cancel")));
    const key = window.medchat.saveKey();
    const sendEdit = () => send("go", { do: "edit", answer: button.dataset.answer, key, question: question.value, context: told.value });
    form.addEventListener("submit", (event) => { event.preventDefault(); sendEdit(); });
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || !event.target.matches("textarea")) return;
      event.preventDefault();
      sendEdit();
    });
    open(form, `.mc-turn[data-answer="${CSS.escape(button.dataset.answer)}"] .mc-asked`);
  }

  function rename(key, title) {
    const input = make("input", { name: "title", type: "text", maxlength: "200", "aria-label": "New name of the conversation" });
    input.value = title;
    const form = make("form", { class: "mc-form mc-rename" }, input, make("div", { class: "mc-form-buttons" },
      make("button", { type: "submit", class: "mc-button mc-primary" }, "Save"),
      make("button", { type: "button", class: "mc-button", "data-do": "cancel" }, "Cancel")));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      send("act", { do: "rename", conversation: key, title: input.value, ...list() });
      if (input.value.trim()) close(form, true);
    });
    open(form, `#chat-side li:has(> [data-do=menu][data-conversation="${CSS.escape(key)}"])`);
  }

  // Asks once; resolves when the answer is yes.
  function confirmed(question, consequence, verb, otherwise = "Keep it") {
    const dialog = make("dialog", { class: "mc-dialog", "aria-label": question }, make("h2", {}, question), make("p", {}, consequence),
      make("form", { method: "dialog", class: "mc-form-buttons" },
        make("button", { value: "yes", class: "mc-button mc-danger" }, verb),
        make("button", { value: "no", class: "mc-button", autofocus: "" }, otherwise)));
    one("#tabs").append(dialog); // the style sheet reaches no further than the tabs
    dialog.addEventListener("keydown", (event) => { if (event.key === "Escape") event.stopPropagation(); });
    dialog.showModal();
    return new Promise((resolve) => dialog.addEventListener("close", () => {
      dialog.remove();
      if (dialog.returnValue === "yes") resolve();
    }));
  }

  function closeMenu(focusBack = false) {
    if (!menu) return;
    const button = menu.previousElementSibling;
    menu.remove();
    menu = null;
    button?.setAttribute("aria-expanded", "false");
    if (focusBack) button?.focus();
  }

  function openMenu(button) {
    const wasOpen = button.getAttribute("aria-expanded") === "true";
    closeMenu();
    if (wasOpen) return;
    const key = button.dataset.conversation;
    const title = one(".mc-name", button.parentElement).textContent;
    const entry = (text, run) => {
      const made = make("button", { type: "button" }, text);
      made.addEventListener("click", (event) => { event.stopPropagation(); run(made); });
      return made;
    };
    const file = (text, kind) => {
      const made = make("a", { href: `/conversations/${key}.${kind}`, download: "" }, text);
      made.addEventListener("click", () => setTimeout(() => closeMenu(true))); // after it was followed
      return made;
    };
    const told = LOOPBACK.test(location.hostname) ? "Copied. It opens on this machine only." : "Copied";
    menu = make("div", { class: "mc-menu" },
      entry("Rename", () => { closeMenu(); rename(key, title); }),
      file("Export as Markdown", "md"),
      file("Export as JSON", "json"),
      entry("Copy link", (made) => copy(`${location.origin}/?conversation=${key}`, made, told)),
      entry("Delete", () => {
        closeMenu(true);
        confirmed(`Delete “${title}”?`, "All its answers go with it. If some of them are rated, it is only hidden from your list: rated answers are kept for the evaluation.", "Delete")
          .then(() => send("act", { do: "delete-conversation", conversation: key, ...list() }));
      }));
    button.after(menu);
    button.setAttribute("aria-expanded", "true");
    one("button", menu).focus();
  }

  // Drafts: what is typed belongs to the conversation it was typed in.
  const boxes = () => ["question", "context"].map((name) => one(`#chat-${name} textarea`)).filter(Boolean);

  function write(box, text) {
    if (box.value === text) return;
    box.value = text;
    box.dispatchEvent(new Event("input", { bubbles: true }));
  }

  function leave(target) {
    if (target === window.medchat.conversation()) return;
    if (asked) asked.left = true;
    leaving = { target, from: window.medchat.conversation(), texts: boxes().map((box) => box.value) };
  }

  function arrive() {
    if (!leaving || window.medchat.conversation() !== leaving.target) return;
    const { from, target, texts } = leaving;
    leaving = null;
    drafts.set(from, texts);
    const draft = drafts.get(target) ?? [];
    boxes().forEach((box, number) => write(box, draft[number] ?? ""));
  }

  // What is sent leaves the fields at once, and what is typed from then on is another draft. Refused, or failed before
  // its first word, it comes back; not over what stands there by then.
  function sending(texts) {
    asked = { from: window.medchat.conversation(), texts, left: false, unheard: true, before: shownAnswer() };
    boxes().forEach((box) => write(box, ""));
    return texts;
  }

  function giveBack() {
    if (!asked) return;
    const { from, texts, left } = asked;
    asked = null;
    if (left) drafts.set(from, drafts.get(from)?.some(Boolean) ? drafts.get(from) : texts);
    else if (!boxes().some((box) => box.value)) boxes().forEach((box, number) => write(box, texts[number] ?? ""));
    keepDraft(); // where the line broke, the page is loaded again at once
  }

  function refuseWhileWriting(event) {
    if (!asked?.unheard && !window.medchat.isWriting()) return;
    event.preventDefault();
    event.stopPropagation();
    if (boxes()[0].value.trim()) one("#chat-told p").textContent = STILL_WRITING;
  }

  const shownAnswer = () => one("#chat-live .mc-turn")?.dataset.answer ?? "";

  // What is told and the answer itself come one after the other, on a slow machine with a pause between them.
  function heard(question) {
    if (!question) return;
    if (window.medchat.isWriting() || shownAnswer() !== question.before) question.unheard = false;
    else setTimeout(() => { question.unheard = false; }, 1000);
  }

  function tellNothing() {
    if (!asked && !window.medchat.isWriting()) one("#chat-told p").textContent = "";
  }

  function answered() {
    asked = null;
    tellNothing();
  }

  // The server keeps what stands in the fields, for a page that is loaded again.
  function keepDraft() {
    clearTimeout(keeping);
    keeping = 0;
    const [question, context = ""] = boxes().map((box) => box.value);
    const draft = { do: "draft", conversation: window.medchat.conversation(), question, context };
    const key = question || context ? JSON.stringify(draft) : "";
    if (key === keptDraft) return;
    keptDraft = key;
    send("act", draft);
  }

  function drafted() {
    clearTimeout(keeping);
    keeping = setTimeout(keepDraft, DRAFT_AFTER_MS);
  }

  function takeDraft() {
    const draft = one("#chat-draft [data-draft]");
    if (!draft || isDraftTaken) return;
    isDraftTaken = true;
    if (!boxes()[0].value) write(boxes()[0], draft.dataset.draft);
  }

  function search() {
    clearTimeout(searching);
    searching = setTimeout(() => send("act", { do: "search", text: searchField().value }), SEARCH_AFTER_MS);
  }

  function filter(input) {
    const sought = input.value.trim().toLowerCase().split(/\s+/);
    const place = document.getElementById(input.dataset.filter);
    let found = 0;
    place.querySelectorAll("section").forEach((section) => {
      const own = one("h2", section).textContent.toLowerCase();
      let any = false;
      section.querySelectorAll("li").forEach((item) => {
        const text = `${own} ${item.textContent.toLowerCase()}`;
        item.hidden = !sought.every((word) => text.includes(word));
        if (!item.hidden) { any = true; found += 1; }
      });
      section.hidden = !any;
    });
    const told = input.value.trim() ? (found ? `${found} found.` : "None of these: it does not know it.") : "";
    input.parentElement.querySelector(".mc-filtered").textContent = told;
  }

  function readCase(input) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    const { name, size } = file;
    if (size > MAX_FILE_BYTES) return send("read", { do: "read", name, size, data: "" });
    const reader = new FileReader();
    reader.addEventListener("load", () => send("read", { do: "read", name, size, data: reader.result.slice(reader.result.indexOf(",") + 1) }));
    reader.addEventListener("error", () => send("read", { do: "read", name, size: 0, data: "" }));
    reader.readAsDataURL(file);
  }

  function thumb(why, changes) {
    const reasons = [...why.querySelectorAll("[data-reason]")].filter((chip) => (chip === changes.chip) !== (chip.getAttribute("aria-pressed") === "true"));
    send("act", { do: "thumb", answer: why.dataset.answer, thumb: why.dataset.thumb, key: window.medchat.saveKey(),
      reasons: reasons.map((chip) => chip.dataset.reason), comment: one("input", why).value });
  }

  function showSide(open) {
    one("#chat-side").classList.toggle("mc-side-open", open);
    const toggle = one("#chat-side-toggle");
    toggle.setAttribute("aria-expanded", String(open));
    if (open) one("#chat-side-close").focus();
    else if (toggle.offsetParent) toggle.focus();
  }

  const isSideOpen = () => one("#chat-side")?.classList.contains("mc-side-open");

  const DO = {
    open(button) {
      leave(button.dataset.conversation);
      sought = button.dataset.answer ?? null;
      send("go", { do: "open", conversation: button.dataset.conversation, answer: button.dataset.answer ?? "" });
      if (isSideOpen()) showSide(false);
    },
    menu: openMenu,
    more: (button) => send("act", { do: "more", shown: Number(button.dataset.shown) }),
    show: (button) => send("go", { do: "show", answer: button.dataset.answer }),
    regenerate: (button) => send("go", { do: "regenerate", answer: button.dataset.answer }),
    continue: () => send("go", { do: "continue" }),
    edit,
    cancel: (button) => close(button.closest("form"), true),
    "copy-solution": (button) => copy(prose(one(".mc-solution", button.closest(".mc-turn"))), button),
    "copy-all": (button) => copy(turnText(button.closest(".mc-turn")), button),
    thumb(button) {
      const { answer, thumb } = button.dataset;
      const takesBack = button.getAttribute("aria-pressed") === "true";
      if (!takesBack) window.medchat.reveal(`why-${answer}`);
      send("act", { do: "thumb", answer, thumb: takesBack ? "none" : thumb, key: window.medchat.saveKey() });
    },
    reason: (button) => thumb(button.closest(".mc-why"), { chip: button }),
    comment: (button) => thumb(button.closest(".mc-why"), {}),
    "delete-answer": (button) => confirmed("Delete this answer?", "What was asked after it goes with it. Rated answers are only hidden: they are kept for the evaluation.", "Delete")
      .then(() => send("act", { do: "delete-answer", answer: button.dataset.answer, ...list() })),
    knows() {
      const knows = one("#chat-knows button.label-wrap");
      if (!knows.classList.contains("open")) knows.click();
      knows.scrollIntoView({ block: "start" });
      knows.focus({ preventScroll: true });
    },
    case: () => one("#chat-case-file").click(),
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (!event.target.closest(".mc-menu, [data-do=menu]")) closeMenu();
    if (event.target.closest("#chat-new button, button#chat-new")) {
      leave("");
      if (isSideOpen()) showSide(false);
    }
    if (event.target.closest("#chat-side-toggle")) showSide(!isSideOpen());
    if (event.target.closest("#chat-side-close")) showSide(false);
    if (button && DO[button.dataset.do]) DO[button.dataset.do](button);
  });
  document.addEventListener("click", (event) => { if (event.target.closest("#chat-send")) refuseWhileWriting(event); }, { capture: true });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.target === boxes()[0]) refuseWhileWriting(event);
  }, { capture: true });
  document.addEventListener("visibilitychange", () => { if (keeping && document.visibilityState === "hidden") keepDraft(); });
  document.addEventListener("input", (event) => {
    if (event.target === searchField()) search();
    if (event.target.matches("[data-filter]")) filter(event.target);
  });
  document.addEventListener("change", (event) => { if (event.target.matches("#chat-case-file")) readCase(event.target); });
  document.addEventListener("pointerdown", () => { row = null; });
  document.addEventListener("focusin", (event) => {
    row = event.target.closest("#chat-side") && event.target.dataset.conversation ? { ...event.target.dataset } : null;
    forms.forEach(({ form }) => { form.dataset.focused = form.contains(event.target) ? event.target.name ?? "" : ""; });
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches(".mc-comment input")) thumb(event.target.closest(".mc-why"), {});
    if (event.key !== "Escape") return;
    if (menu) { closeMenu(true); event.preventDefault(); }
    else if (event.target === searchField() && searchField().value) {
      searchField().value = "";
      search();
      event.preventDefault();
    } else if (isSideOpen()) { showSide(false); event.preventDefault(); }
  }, { capture: true });

  function showSought() {
    const turn = sought && one(`.mc-turn[data-answer="${CSS.escape(sought)}"]`);
    if (!turn) return;
    sought = null;
    turn.scrollIntoView({ block: "start" });
  }

  // A list that was made anew would throw the focus to the top of the page.
  function keepRow() {
    if (!row || document.activeElement !== document.body) return;
    const again = [...document.querySelectorAll(`#chat-side [data-do=${row.do}][data-conversation="${CSS.escape(row.conversation)}"]`)];
    (again.find((button) => button.offsetParent) ?? one("#chat-new")).focus();
  }

  // The list in its reader's own time, with the open conversation marked.
  function tellList() {
    const open = window.medchat.conversation();
    document.querySelectorAll("#chat-side .mc-open").forEach((row) => {
      const isOpen = row.dataset.conversation === open;
      if (isOpen && row.getAttribute("aria-current") !== "true") row.setAttribute("aria-current", "true");
      if (!isOpen && row.hasAttribute("aria-current")) row.removeAttribute("aria-current");
    });
    document.querySelectorAll("#chat-side time:not([data-told])").forEach((time) => {
      time.dataset.told = "";
      time.textContent = day(new Date(time.dateTime));
    });
  }

  function day(moment) {
    const midnight = new Date().setHours(0, 0, 0, 0);
    const hour = moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    if (moment >= midnight) return `today, ${hour}`;
    if (moment >= midnight - 24 * 3600 * 1000) return `yesterday, ${hour}`;
    return moment.toLocaleDateString([], { day: "numeric", month: "short", year: moment.getFullYear() === new Date().getFullYear() ? undefined : "numeric" });
  }

  new MutationObserver((records) => {
    const within = (selector) => records.some(({ target }) => (target.closest ? target : target.parentElement)?.closest(selector));
    if (within("#chat-status, #chat-side")) tellList();
    if (within("#chat-side")) keepRow();
    if (sought && within("#chat-history, #chat-live")) showSought();
    if (asked?.unheard && within("#chat-live")) heard(asked);
    if (within("#chat-status")) {
      heard(asked);
      setTimeout(tellNothing, 200); // the rest of the frame may come after it
      arrive();
      drafted();
    }
    if (within("#chat-draft")) takeDraft();
    if (forms.length && within("#chat-history, #chat-live, #chat-side")) keepForms();
  }).observe(document.documentElement, { subtree: true, childList: true, characterData: true });

  Object.assign(window.medchat, { sending, giveBack, drafted, answered });
  window.medchat.confirmed = confirmed;
  window.medchat.action = () => outbox.shift() ?? "";
})();
