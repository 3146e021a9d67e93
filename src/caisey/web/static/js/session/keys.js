// The keyboard of the session page (CONSOLE.md, Keyboard). A single key never sends: it moves the focus, opens or copies.

import { copyText } from "../copy.js";
import { shortcut } from "../keys.js";
import { word } from "../words.js";
import { currentView } from "./output.js";

const steps = () => [...document.querySelectorAll(".transcript .step")].filter((one) => one.checkVisibility?.() ?? true);

function present() {
  const inside = document.activeElement?.closest?.(".step");
  return inside ?? document.querySelector(".step.here");
}

// The step that a key is about: the one with the focus, else the open item's, else the newest.
function meant() {
  const item = document.getElementById("now")?.dataset.item;
  return present() ?? (item ? document.getElementById(item) : null) ?? steps().pop();
}

function move(by) {
  const all = steps();
  if (!all.length) return false;
  const at = all.indexOf(present());
  const to = at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by));
  for (const other of document.querySelectorAll(".step.here")) other.classList.remove("here");
  all[to].classList.add("here");
  all[to].querySelector("summary").focus({ preventScroll: true });
  all[to].scrollIntoView({ block: "nearest" });
}

function press(number) {
  const actions = [...document.querySelectorAll("#now .action .press, #now .form-buttons .press")].filter((one) => one.checkVisibility?.() ?? true);
  const found = actions[number - 1];
  if (!found) return false;
  found.focus();
}

async function copy(text) {
  if (await copyText(text)) document.getElementById("say").textContent = word("session-copied");
}

// The note as text, from the page that shows it.
async function copyNote() {
  const answer = await fetch(`/sessions/${document.body.dataset.session}/note?audience=technician`, {
    headers: { "x-caisey-part": "1" },
    cache: "no-store",
  });
  if (answer.ok) await copy(await answer.text());
}

// The command of a step, into the composer: nothing is sent.
async function edit(step) {
  const prompt = step.closest("[data-request]").id;
  const answer = await fetch(`/api/v1/prompts/${prompt}?output_bytes=1`, { cache: "no-store" });
  if (!answer.ok) return;
  const call = (await answer.json()).tool_calls.find((one) => one.id === step.id);
  const detail = { tool: call.tool, arguments: call.arguments, effect: call.effect };
  document.dispatchEvent(new CustomEvent("caisey:compose", { detail }));
}

export function startKeys({ openForm, goToNow, reveal }) {
  const item = () => document.getElementById("now")?.dataset.item;

  shortcut("n", word("keys-now"), () => goToNow());
  for (let number = 1; number <= 5; number += 1) shortcut(String(number), number === 1 ? word("keys-nth-action") : "", () => press(number));
  shortcut("w", word("keys-awareness"), () => {
    if (!document.querySelector("[data-aware]") || !item()) return false;
    openForm(new URLSearchParams({ item: item(), act: "aware" }));
  });
  shortcut("j", word("keys-rows"), () => move(1));
  shortcut("k", "", () => move(-1));
  shortcut("o", word("keys-open-row"), () => {
    const step = present();
    if (!step) return false;
    if (step.open) step.open = false;
    else reveal(step);
  });
  shortcut("h", word("keys-how-we-know"), () => {
    const step = meant();
    if (!step) return false;
    reveal(step);
    open(step, ".know");
  });
  shortcut("f", word("keys-find-output"), () => {
    const view = currentView();
    if (!view) return false;
    view.finder.open();
  });
  shortcut("l", word("keys-follow"), () => {
    const view = currentView();
    if (!view) return false;
    view.setFollow(!view.follow);
  });
  shortcut("y", word("keys-copy"), () => {
    const command = meant()?.querySelector("[data-command]")?.textContent;
    if (!command) return false;
    copy(command);
  });
  shortcut("Y", "", () => {
    const view = currentView();
    if (!view) return false;
    view.copy();
  });
  shortcut("e", word("keys-edit"), () => {
    const step = meant();
    if (!step || !document.querySelector("[data-composer]")) return false;
    edit(step);
  });
  shortcut("t", word("keys-ticket"), () => { copyNote(); });
  shortcut(".", word("keys-stop"), () => {
    const stop = document.querySelector('#now [data-action="stop"] .press');
    if (!stop) return false;
    stop.closest("details")?.setAttribute("open", "");
    stop.focus();
  });
  shortcut("r", word("session-read-new"), () => {
    const view = currentView();
    if (!view) return false;
    document.getElementById("say").textContent = view.readNew();
  });
  shortcut("Escape", "", () => {
    const back = document.querySelector("#now [data-back]");
    if (!back || !document.getElementById("now").contains(document.activeElement)) return false;
    back.click();
  });
}

// A link that is named a button is pressed by the space bar, as every button is.
document.addEventListener("keydown", (event) => {
  if (event.key !== " " || !event.target.matches?.('a[role="button"]')) return;
  event.preventDefault();
  event.target.click();
});

// The body may still be on its way.
function open(step, what, tries = 40) {
  const found = step.querySelector(what);
  if (!found) {
    if (tries) setTimeout(() => open(step, what, tries - 1), 50);
    return;
  }
  found.open = true;
  found.querySelector("summary").focus();
  found.scrollIntoView({ block: "nearest" });
}
