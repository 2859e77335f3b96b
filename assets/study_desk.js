// A rater's desk in a study: its rating form is that of the Rate tab, its vote that of the Compare tab. Here is what
// goes round them: from one task to the next, and which study everything belongs to.
(() => {
  const one = (selector, within = document) => within.querySelector(selector);
  const form = window.medchat.ratingForm("desk");
  const ballot = window.medchat.ballot("pair");
  const place = () => one("#desk-place")?.dataset ?? {};
  const at = () => ({ study: place().study ?? "", item: place().item ?? "" });
  const shown = (element) => Boolean(element?.offsetParent);
  const isTyping = (element) => element.matches("textarea, select, input:not([type=radio], [type=checkbox]), [contenteditable=true]");
  let last = "";

  const inStudy = (sent) => sent && JSON.stringify({ ...at(), ...JSON.parse(sent) });
  const act = (verb, more = {}) => form.send("act", { do: verb, ...more });

  // What is entered is on its way to the server before the page shows something else.
  function leave(verb, more = {}) {
    form.keep();
    ballot.keep();
    act(verb, more);
  }

  const DO = {
    "desk-open": ({ dataset }) => act("open", { study: dataset.study }),
    "desk-list": () => leave("list"),
    "desk-agree": () => act("agree"),
    "desk-go": () => act("go"),
    "desk-cannot"() {
      const reason = one("#pair-cannot");
      if (!reason.value.trim()) return reason.focus();
      act("cannot compare", { answer: place().at, reason: reason.value });
    },
    "desk-back": () => leave("back", { answer: place().at }),
  };

  document.addEventListener("click", (event) => {
    // What was done elsewhere in the tab may have changed the list.
    if (event.target.closest("[data-do=studies-part][data-part=desk]") && !place().study) act("list");
    const button = event.target.closest("#desk-tab [data-do]");
    if (button && DO[button.dataset.do]) DO[button.dataset.do](button);
  });

  // The vote has n of its own.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "n" || event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.defaultPrevented) return;
    if (!shown(one("#desk-tab")) || one("dialog[open]") || isTyping(event.target)) return;
    const button = one("#desk-page :is([data-do=desk-go], [data-do=rate-skip])");
    if (!button) return;
    event.preventDefault();
    button.click();
  });

  // Another task begins at its top; where there is one way on alone, Enter goes it.
  function arrive() {
    const now = `${place().study} ${place().at} ${one("#desk-go, #desk-agree")?.id}`;
    if (now === last) return;
    last = now;
    const head = one("#desk-place");
    if (!shown(head)) return;
    if (head.getBoundingClientRect().top < 0) head.scrollIntoView({ block: "start" });
    one("#desk-go")?.focus({ preventScroll: true });
  }

  new MutationObserver((records) => {
    if (records.some(({ target }) => target.closest?.("#desk-head, #desk-page"))) setTimeout(arrive);
  }).observe(document.documentElement, { subtree: true, childList: true });

  window.medchat.desk = {
    action: (event) => inStudy(form.action(event)),
    vote: () => inStudy(ballot.action()),
    next: () => JSON.stringify({ do: "go", ...at() }),
    opened: () => JSON.stringify({ do: "enter", ...at() }),
  };
})();
