// What the Chat tab needs beside Gradio: Esc stops, the page follows an answer that grows, an
// accordion stays as its reader left it, and the keyboard's focus is not lost with a button.
(() => {
  const openness = new Map();
  let following = true;

  const field = () => document.querySelector("#chat-question textarea");
  const shown = (element) => element && element.offsetParent !== null;
  const inTranscript = (node) => (node.closest ? node : node.parentElement)?.closest("#chat-live, #chat-history");

  function saveKey() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  function keepOpenness() {
    document.querySelectorAll("details.mc-reasoning").forEach((details) => {
      const wanted = openness.get(details.dataset.key);
      if (wanted !== undefined && details.open !== wanted) details.open = wanted;
    });
  }

  // Gradio's accordions do not tell screen readers whether they are open.
  function tellOpen() {
    document.querySelectorAll("button.label-wrap").forEach((button) => {
      const open = String(button.classList.contains("open"));
      if (button.getAttribute("aria-expanded") !== open) button.setAttribute("aria-expanded", open);
    });
  }

  function follow(records) {
    const running = document.querySelector("#chat-live .mc-turn:is([data-phase=waiting], [data-phase=reasoning], [data-phase=solution])");
    const arrived = records.some((record) => [...record.addedNodes].some((node) => node.matches?.(".mc-turn")));
    if (following && (running || arrived)) window.scrollTo({ top: document.documentElement.scrollHeight });
  }

  new MutationObserver((records) => {
    tellOpen();
    const ours = records.filter((record) => inTranscript(record.target));
    if (!ours.length) return;
    keepOpenness();
    follow(ours);
  }).observe(document.documentElement, { subtree: true, childList: true, characterData: true, attributeFilter: ["open", "data-phase", "class"] });

  window.addEventListener("scroll", () => {
    following = window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 80;
  }, { passive: true });

  document.addEventListener("click", (event) => {
    const summary = event.target.closest(".mc-reasoning > summary");
    if (summary) openness.set(summary.parentElement.dataset.key, !summary.parentElement.open);
    if (event.target.closest("#chat-send, #chat-regenerate, #chat-continue")) following = true;
    const vanishes = "#chat-send, #chat-stop, #chat-regenerate, #chat-continue, #chat-new, #chat-examples button";
    if (event.target.closest(vanishes) && matchMedia("(pointer: fine)").matches) setTimeout(() => field()?.focus(), 50);
  });

  document.addEventListener("keydown", (event) => {
    if (event.target === field() && event.key === "Enter" && !event.shiftKey) following = true;
    const stop = document.querySelector("#chat-stop");
    if (event.key === "Escape" && !event.defaultPrevented && shown(stop)) stop.click();
  });

  window.medchat = { saveKey };
})();
