// The Train tab: its form as an order, what is pressed on runs, the laboratory, and what stays as its reader left it.
(() => {
  const CHECK_AFTER_MS = 600;
  const NEWS_AFTER_MS = 2000;
  const MAX_FILE_BYTES = 5_000_000;
  const outbox = { act: [], look: [], upload: [], chat: [], pair: [], models: [], score: [] };
  const openness = new Map(); // what can be folded, as its reader left it
  let checking = 0;
  let asking = 0;
  let focusedId = null;
  let left = null; // the run that was shown when another one was asked for
  let looked = null; // the preview that was there last
  let sought = ""; // the model that the Models tab is to show
  let goTo = ""; // where the page goes once it is there

  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const form = () => one("#train-order");
  const lab = () => one("#train-lab-fields");

  function send(event, action) {
    outbox[event].push(JSON.stringify(action));
    one(`#train-send-${event}`).click();
  }

  const sameText = (field) => field.value.trim() === field.dataset.default.trim();

  const isNumber = (text) => text !== "" && Number.isFinite(Number(text));

  // The options of a reward that are not as it has them anyway; what is no number is left for MedChat to refuse.
  function optionsOf(row) {
    const typed = all("[data-option]", row).map(({ value, dataset }) => ({ text: value.trim(), ...dataset }));
    const same = (field) => field.text === "" || field.text === field.default || (field.kind === "number" && Number(field.text) === Number(field.default));
    const read = ({ kind, text }) => (kind === "switch" ? text === "true" : kind === "number" && isNumber(text) ? Number(text) : text);
    return Object.fromEntries(typed.filter((field) => !same(field)).map((field) => [field.option, read(field)]));
  }

  function rewardsOf(box) {
    const rows = all(".mc-reward", box).filter((row) => one("[type=checkbox]", row).checked);
    return JSON.stringify(rows.map((row) => {
      const weight = one(":scope > [type=text]", row).value.trim();
      return { name: row.dataset.reward, weight: isNumber(weight) ? Number(weight) : weight, options: optionsOf(row) };
    }));
  }

  const sameRewards = (box) => rewardsOf(box) === JSON.stringify(JSON.parse(box.dataset.default).map(({ name, weight, options }) => ({ name, weight, options })));

  function order() {
    const value = (name) => one(`[name=${name}]`, form()).value;
    const typed = Object.fromEntries([
      ...all("[data-set]", form()).filter((field) => !sameText(field)).map((field) => [field.dataset.set, field.value]),
      ...all("[data-rewards]", form()).filter((box) => !sameRewards(box)).map((box) => [box.dataset.rewards, rewardsOf(box)]),
    ]);
    return { recipe: value("recipe"), base: value("other_base").trim() || value("base"), data: value("data"), name: value("name"), typed };
  }

  const preview = () => one("#train-data-part .mc-preview");
  const shown = () => ({ place: preview()?.dataset.place ?? "", digest: preview()?.dataset.digest ?? "", shown_for: preview()?.dataset.for ?? order().data });

  const machine = () => one("#train-machine")?.value ?? "this";

  function check() {
    clearTimeout(checking);
    checking = 0;
    if (form()) send("act", { do: "check", order: order(), machine: machine(), ...shown() });
  }

  function markChanges() {
    let changes = 0;
    const mark = (box, same) => { box.classList.toggle("mc-changed", !same); if (!same) changes += 1; };
    all("[data-set]", form()).forEach((field) => mark(field.closest(".mc-setting"), sameText(field)));
    all("[data-rewards]", form()).forEach((box) => mark(box, sameRewards(box)));
    one("#train-changed").textContent = changes === 0 ? "as the recipe has them" : changes === 1 ? "1 change" : `${changes} changes`;
  }

  function changed() {
    markChanges();
    clearTimeout(checking);
    checking = setTimeout(check, CHECK_AFTER_MS);
  }

  function choose(part) {
    clearTimeout(checking);
    send("act", { do: "choose", part, order: order(), machine: machine() });
  }

  function toRun() {
    goTo = ".mc-job-head";
    left = one(goTo);
  }

  function start(button) {
    if (button.getAttribute("aria-disabled") === "true") return (one("#train-to-models") ?? one("#train-preview-button"))?.focus();
    button.dataset.key ||= window.medchat.saveKey(); // pressed twice it becomes one run; what comes of it is a new button
    toRun();
    send("act", { do: "start", key: button.dataset.key, order: order(), ...shown() });
  }

  function upload(input) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    const { name, size } = file;
    const sent = (data) => send("upload", { do: "upload", name, size, data, order: order() });
    if (size > MAX_FILE_BYTES) return sent("");
    const reader = new FileReader();
    reader.addEventListener("load", () => sent(reader.result.slice(reader.result.indexOf(",") + 1)));
    reader.addEventListener("error", () => sent(""));
    reader.readAsDataURL(file);
  }

  const picked = () => all("[data-do=train-pick]:checked").map(({ dataset }) => dataset.run);
  const nameOf = (run) => one(`#train-run-${CSS.escape(run)} .mc-name`)?.textContent ?? one(".mc-job-head h2 span")?.textContent ?? "this run";

  async function copy(button) {
    const text = one("pre", button.parentElement).textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch { // not over plain HTTP, save on this machine
      getSelection().selectAllChildren(one("pre", button.parentElement));
      button.textContent = "Press Ctrl+C";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }

  function filled() {
    const values = Object.fromEntries(all("[data-lab]:not([data-lab=completion])", lab()).map((field) => [field.dataset.lab, field.value]));
    return { ...values, completions: all("[data-lab=completion]", lab()).map((field) => field.value) };
  }

  const laboratory = (verb, more = {}) => send("score", { do: verb, filled: filled(), ...(form() ? { order: order() } : {}), ...more });

  const DO = {
    "train-start": start,
    "train-preview": () => { goTo = "#train-data-part .mc-preview"; send("look", { do: "look", order: order() }); },
    "train-upload": () => one("#train-file").click(),
    "train-reset": () => choose("reset"),
    "train-copy": copy,
    "train-watch": ({ dataset }) => { toRun(); send("act", { do: "watch", run: dataset.run }); },
    "train-stop": ({ dataset }) => send("act", { do: "stop", run: dataset.run }),
    "train-resume": ({ dataset }) => send("act", { do: "resume", run: dataset.run }),
    "train-clone": ({ dataset }) => { goTo = "#train-order"; send("act", { do: "clone", run: dataset.run }); },
    "train-delete": ({ dataset }) => window.medchat.confirmed(`Delete “${nameOf(dataset.run)}”?`, "Its curves, its log, its checkpoints and what came out of it go for good.", "Delete")
      .then(() => send("act", { do: "delete", run: dataset.run })),
    "train-pick": () => send("act", { do: "pick", runs: picked() }),
    "train-unpick": () => send("act", { do: "pick", runs: [] }),
    "train-chat": ({ dataset }) => send("chat", { do: "chat", model: dataset.model }),
    "train-pair": ({ dataset }) => send("pair", { do: "pair", model: dataset.model, base: dataset.base }),
    "train-models": ({ dataset }) => { sought = dataset.model; send("models", { do: "models" }); },
    "lab-list": () => laboratory("list"),
    "lab-add": () => laboratory("add"),
    "lab-score": () => laboratory("score"),
    "lab-job": () => laboratory("job"),
  };

  document.addEventListener("click", (event) => {
    const within = event.target.closest("#train-page");
    if (!within) return;
    const details = event.target.closest("summary")?.parentElement;
    if (details?.dataset.key) openness.set(details.dataset.key, !details.open);
    const button = event.target.closest("[data-do]");
    if (button && !button.matches("select") && DO[button.dataset.do]) DO[button.dataset.do](button);
  });
  document.addEventListener("submit", (event) => { if (event.target.closest("#train-page")) event.preventDefault(); });
  document.addEventListener("input", (event) => {
    if (!event.target.closest("#train-order") || event.target.matches("select[name], [type=file]")) return;
    changed();
  });
  document.addEventListener("change", (event) => {
    const { target } = event;
    if (target.matches("#train-file")) upload(target);
    else if (target.matches("#train-recipe")) choose("recipe");
    else if (target.matches("#train-base, #train-other-base")) {
      if (target.matches("#train-base")) one("#train-other-base").value = "";
      choose("base");
    } else if (target.matches("#train-data")) changed();
    else if (target.matches("#train-machine")) check();
    else if (target.matches("#lab-pick") && target.value) laboratory("pick", { question: target.value });
  });
  document.addEventListener("focusin", ({ target }) => { focusedId = target.closest("#train-page") ? target.id || null : null; });
  document.addEventListener("pointerdown", (event) => { if (!event.target.closest("#train-page")) focusedId = null; });

  // Parts that came anew: folded as they were, the focus where it was, and the log can be reached by keyboard.
  function settle() {
    all("#train-page details[data-key]").forEach((details) => {
      const wanted = openness.get(details.dataset.key);
      if (wanted !== undefined && details.open !== wanted) details.open = wanted;
    });
    if (focusedId && document.activeElement === document.body) document.getElementById(focusedId)?.focus({ preventScroll: true });
    const place = goTo && one(goTo);
    if (place && (goTo !== ".mc-job-head" || place !== left)) {
      goTo = "";
      place.scrollIntoView({ block: "start" });
      place.focus?.({ preventScroll: true });
    }
    const log = one("#train-log");
    if (log && log.getAttribute("tabindex") !== "0") {
      const attributes = { tabindex: "0", role: "region", "aria-label": "Log of the run" };
      Object.entries(attributes).forEach(([name, value]) => log.setAttribute(name, value));
    }
  }

  // What is wrong is shown at its field too.
  function showFault() {
    all("#train-order [aria-invalid]").forEach((field) => field.removeAttribute("aria-invalid"));
    const key = one("#train-check-part .mc-fault[data-key]")?.dataset.key;
    const field = key && one(`[data-set="${CSS.escape(key)}"], [data-rewards="${CSS.escape(key)}"]`, form());
    if (!field) return;
    field.setAttribute("aria-invalid", "true");
    for (let box = field.closest("details"); box; box = box.parentElement.closest("details")) {
      if (box.dataset.key) openness.set(box.dataset.key, true);
      box.open = true;
    }
  }

  function askAgain() {
    clearTimeout(asking);
    if (one("#train-lab-scores [data-waiting]")) asking = setTimeout(() => laboratory("news"), NEWS_AFTER_MS);
  }

  function seek() {
    const search = one("#models-search");
    if (!sought || !search?.offsetParent) return;
    search.value = sought;
    sought = "";
    search.dispatchEvent(new Event("input", { bubbles: true }));
    search.focus();
  }

  new MutationObserver((records) => {
    seek();
    const within = (selector) => records.some(({ target }) => (target.closest ? target : target.parentElement)?.closest(selector));
    if (!within("#train-page")) return;
    settle();
    if (within("#train-check-part")) showFault();
    if (preview() !== looked) {
      looked = preview();
      if (looked?.dataset.digest) check();
    }
    if (within("#train-lab-scores")) askAgain();
  }).observe(document.documentElement, { subtree: true, childList: true, characterData: true });

  window.medchat.trainAction = (event) => (event === "enter" ? JSON.stringify({ do: "enter", form: form() ? "there" : "" }) : outbox[event].shift() ?? "");
})();
