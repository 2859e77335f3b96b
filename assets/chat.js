// What the Chat tab needs beside Gradio: Esc stops, the page follows an answer that grows, an
// accordion stays as its reader left it, and the keyboard's focus is not lost with a button.
(() => {
  const openness = new Map();
  let following = true;
  let focusedKey = null;
  let lastY = 0;
  let height = 0;
  let movedAt = -Infinity; // when its reader last moved the page: text that grows or shrinks moves it too

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

  // A frame that replaces the accordion would take the focus from its summary.
  function keepFocus() {
    if (focusedKey === null || document.activeElement !== document.body) return;
    document.querySelector(`details.mc-reasoning[data-key="${CSS.escape(focusedKey)}"] > summary`)?.focus({ preventScroll: true });
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
    const arrived = records.some((record) => record.attributeName === "data-phase" || [...record.addedNodes].some((node) => node.matches?.(".mc-turn")));
    if (following && (running || arrived)) window.scrollTo({ top: document.documentElement.scrollHeight });
  }

  new MutationObserver((records) => {
    tellOpen();
    const ours = records.filter((record) => inTranscript(record.target));
    if (!ours.length) return;
    keepOpenness();
    keepFocus();
    follow(ours);
  }).observe(document.documentElement, { subtree: true, childList: true, characterData: true, attributeFilter: ["open", "data-phase", "class"] });

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
    focusedKey = event.target.closest(".mc-reasoning > summary")?.parentElement.dataset.key ?? null;
  });
  document.addEventListener("pointerdown", () => { focusedKey = null; });

  document.addEventListener("click", (event) => {
    const summary = event.target.closest(".mc-reasoning > summary");
    if (summary) openness.set(summary.parentElement.dataset.key, !summary.parentElement.open);
    if (event.target.closest("#chat-send, #chat-regenerate, #chat-continue")) following = true;
    const vanishes = "#chat-send, #chat-stop, #chat-regenerate, #chat-continue, #chat-new, #chat-examples button";
    if (event.target.closest(vanishes) && matchMedia("(pointer: fine)").matches) setTimeout(() => field()?.focus(), 50);
  });

  document.addEventListener("keydown", (event) => {
    if (event.target === field() && event.key === "Enter" && !event.shiftKey) following = true;
    if (event.target !== field() && ["ArrowUp", "PageUp", "Home"].includes(event.key)) moveByHand();
    const stop = document.querySelector("#chat-stop");
    const closesList = event.target.closest("[role=listbox], input[aria-expanded=true]");
    if (event.key === "Escape" && !event.defaultPrevented && !closesList && shown(stop)) stop.click();
  });

  // Gradio's lists would open again behind the focus that leaves them.
  document.addEventListener("keydown", (event) => {
    if (["Tab", "Shift"].includes(event.key) && event.target.matches("[role=combobox]")) event.stopPropagation();
  }, { capture: true });

  window.medchat = { saveKey };
})();

// Gradio's page believes its stream of events open until it has read that the server closed it; what it sends
// meanwhile is done, and never shown. Here a closed stream is continued as long as such an event waits to be heard of.
(() => {
  const load = window.fetch.bind(window);
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const sent = new Set();
  const heard = new Set();
  let sending = 0;
  let closing = Promise.resolve();

  async function send(...request) {
    sending += 1;
    try {
      const response = await load(...request);
      const { event_id } = await response.clone().json().catch(() => ({}));
      if (response.ok && event_id) sent.add(event_id);
      await closing;
      return response;
    } finally {
      sending -= 1;
    }
  }

  // Passes the messages on; whether the stream is to be continued.
  async function pass(response, controller) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const messages = (text + part.value).split("\n\n");
      text = messages.pop();
      for (const message of messages) {
        const { msg, event_id } = JSON.parse(message.replace(/^data: /, ""));
        heard.add(event_id);
        if (msg === "close_stream") {
          while (sending) await pause(10);
          if ([...sent].some((id) => !heard.has(id))) return true;
          sent.clear();
          heard.clear();
          closing = pause(100); // what is sent from here on must find it closed
        }
        controller.enqueue(new TextEncoder().encode(`${message}\n\n`));
      }
    }
    return false;
  }

  async function listen(...request) {
    let response = await load(...request);
    if (!response.ok) return response;
    const { status, headers } = response;
    const start = async (controller) => {
      try {
        while (await pass(response, controller)) response = await load(...request);
        controller.close();
      } catch (error) {
        controller.error(error);
      }
    };
    return new Response(new ReadableStream({ start }), { status, headers });
  }

  window.fetch = (...request) => {
    const { pathname } = new URL(request[0].url ?? request[0], location.href);
    const wrapped = pathname.endsWith("/queue/join") ? send : pathname.endsWith("/queue/data") ? listen : load;
    return wrapped(...request);
  };
})();
