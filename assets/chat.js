// The transcript: Esc stops, the page follows an answer that grows, an accordion stays as its reader left it,
// the keyboard's focus is not lost with what a new frame replaces, and the address names the conversation and the tab.
(() => {
  const openness = new Map();
  const tabPlaces = new Map();
  let following = true;
  let focusedId = null;
  let revealed = null;
  let lastY = 0;
  let linkedTab = new URLSearchParams(location.search).get("tab");
  let movedAt = -Infinity; // when its reader last moved the page: text that grows or shrinks moves it too

  const field = () => document.querySelector("#chat-question textarea");
  const shown = (element) => element && element.offsetParent !== null;
  const closest = (node, selector) => (node.closest ? node : node.parentElement)?.closest(selector);
  const RUNNING = "#chat-live .mc-turn:is([data-phase=waiting], [data-phase=reasoning], [data-phase=solution])";

  function randomKey() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  function keepOpenness() {
    document.querySelectorAll("details[data-key]").forEach((details) => {
      const wanted = openness.get(details.dataset.key);
      if (wanted !== undefined && details.open !== wanted) details.open = wanted;
      if (details.dataset.key === revealed) {
        details.scrollIntoView({ block: "nearest" });
        revealed = null;
      }
    });
  }

  // A frame that replaces what has the focus would throw it to the top of the page.
  function keepFocus() {
    if (focusedId === null || document.activeElement !== document.body) return;
    document.getElementById(focusedId)?.focus({ preventScroll: true });
  }

  // Gradio's accordions do not tell screen readers whether they are open.
  function tellOpen() {
    document.querySelectorAll("button.label-wrap").forEach((button) => {
      const open = String(button.classList.contains("open"));
      if (button.getAttribute("aria-expanded") !== open) button.setAttribute("aria-expanded", open);
    });
  }

  function follow(records) {
    const arrived = records.some((record) => record.attributeName === "data-phase" || [...record.addedNodes].some((node) => node.matches?.("#chat-live .mc-turn")));
    if (following && (document.querySelector(RUNNING) || arrived)) window.scrollTo({ top: document.documentElement.scrollHeight });
  }

  const conversation = () => document.querySelector("#chat-status [data-conversation]")?.dataset.conversation ?? "";

  const isRestored = () => Boolean(document.querySelector("#chat-status [role=status]")?.textContent);

  function nameAddress() {
    if (!isRestored()) return;
    const parts = new URLSearchParams();
    const tab = linkedTab ?? document.querySelector("#tabs [role=tab][aria-selected=true]")?.dataset.tabId ?? "chat";
    if (conversation()) parts.set("conversation", conversation());
    if (tab !== "chat") parts.set("tab", tab);
    const address = parts.size ? `/?${parts}` : "/";
    if (location.pathname + location.search !== address) history.replaceState(history.state, "", address);
  }

  // The tab of the address, as soon as it is there: some come only once the page knows who is signed in.
  function openLinkedTab() {
    const tab = linkedTab && isRestored() && document.querySelector(`#tabs [role=tab][data-tab-id="${CSS.escape(linkedTab)}"]`);
    if (tab) tab.click();
  }

  new MutationObserver((records) => {
    tellOpen();
    openLinkedTab();
    if (records.some((record) => record.attributeName === "aria-selected" || closest(record.target, "#chat-status"))) nameAddress();
    const ours = records.filter((record) => closest(record.target, "#chat-live, #chat-history"));
    if (!ours.length) return;
    keepOpenness();
    keepFocus();
    follow(ours);
  }).observe(document.documentElement, { subtree: true, childList: true, characterData: true, attributeFilter: ["open", "data-phase", "class", "aria-selected"] });

  function moveByHand() {
    movedAt = performance.now();
    if (window.scrollY > 0) following = false;
  }

  window.addEventListener("wheel", (event) => { if (event.deltaY < 0) moveByHand(); }, { passive: true });
  window.addEventListener("touchmove", moveByHand, { passive: true });
  window.addEventListener("pointerdown", (event) => { if (event.target === document.documentElement) moveByHand(); });
  window.addEventListener("scroll", () => {
    if (window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 40) following = true;
    else if (window.scrollY < lastY && performance.now() - movedAt < 1000) following = false;
    lastY = window.scrollY;
  }, { passive: true });

  document.addEventListener("focusin", (event) => {
    focusedId = closest(event.target, "#chat-live, #chat-history") ? event.target.id || null : null;
  });
  document.addEventListener("pointerdown", () => { focusedId = null; });

  document.addEventListener("click", (event) => {
    const details = event.target.closest("summary")?.parentElement;
    if (details?.dataset.key) openness.set(details.dataset.key, !details.open);
    if (event.target.closest("#chat-send, [data-do=continue], #chat-live [data-do=regenerate]")) following = true;
    const vanishes = "#chat-send, #chat-stop, #chat-new, #chat-examples button, .mc-turn :is([data-do=regenerate], [data-do=continue], [data-do=send-edit])";
    if (event.target.closest(vanishes) && matchMedia("(pointer: fine)").matches) setTimeout(() => field()?.focus({ preventScroll: true }), 50);
  });

  // Alt and an arrow lead to the version before or after, as the turn's own arrows do.
  document.addEventListener("keydown", (event) => {
    if (!event.altKey || !["ArrowLeft", "ArrowRight"].includes(event.key) || event.target.matches("textarea, input")) return;
    const turn = event.target.closest(".mc-turn[data-versions]");
    if (!turn) return;
    event.preventDefault(); // it would leave the page
    turn.querySelector(`.mc-version .mc-${event.key === "ArrowLeft" ? "previous" : "next"}`)?.click();
  });

  // Each tab is shown where its reader left it.
  document.addEventListener("click", (event) => {
    const tab = event.target.closest("#tabs [role=tab]");
    const shownTab = document.querySelector("#tabs [role=tab][aria-selected=true]");
    if (tab) linkedTab = null;
    if (!tab || tab === shownTab) return;
    tabPlaces.set(shownTab?.textContent, window.scrollY);
    setTimeout(() => window.scrollTo({ top: tabPlaces.get(tab.textContent) ?? 0 }), 50);
  }, { capture: true });

  document.addEventListener("keydown", (event) => {
    if (event.target === field() && event.key === "Enter" && !event.shiftKey) following = true;
    if (!event.target.matches("textarea, input") && ["ArrowUp", "PageUp", "Home"].includes(event.key)) moveByHand();
    const stop = document.querySelector("#chat-stop");
    const closesList = event.target.closest("[role=listbox], input[aria-expanded=true]");
    if (event.key === "Escape" && !event.defaultPrevented && !closesList && shown(stop)) stop.click();
  });

  // Gradio's lists would open again behind the focus that leaves them.
  document.addEventListener("keydown", (event) => {
    if (["Tab", "Shift"].includes(event.key) && event.target.matches("[role=combobox]")) event.stopPropagation();
  }, { capture: true });

  window.medchat = {
    saveKey: randomKey,
    pageKey: randomKey(),
    linked: () => new URLSearchParams(location.search).get("conversation") ?? "",
    conversation,
    isWriting: () => document.querySelector(RUNNING) !== null,
    reveal(key) {
      openness.set(key, true);
      revealed = key;
    },
  };
})();
