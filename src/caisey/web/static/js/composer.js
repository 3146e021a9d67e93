// The composer: a terminal first. The server renders it and decides; this only spares a page load, keeps the keyboard
// where it belongs, and remembers what was sent before (↑). Everything here works as an ordinary form without it.

import { inField, shortcut } from "./keys.js";
import { word } from "./words.js";

const HINT_AFTER_MS = 600;
const FILE_BYTES = 128 * 1024;
const slot = document.getElementById("composer") ?? document.querySelector("[data-composer-slot]");
const entries = { list: null, place: -1, typed: "" };
let hinting = 0;
let sending = false;

const part = () => document.getElementById("composer-part");
const form = () => document.querySelector("form[data-composer]");
const command = () => form()?.querySelector("textarea[data-command]");

document.documentElement.classList.add("scripted");

// -- sending ---------------------------------------------------------------------------------------------------------

document.addEventListener("submit", async (event) => {
  if (event.target !== form() || event.target.action.includes("/open")) return;
  event.preventDefault();
  const button = event.submitter;
  await press(button?.name === "do" ? button.value : "send");
});

async function press(what, { quiet = false } = {}) {
  const present = form();
  if (!present || sending) return;
  const body = new URLSearchParams(new FormData(present));
  body.set("do", what);
  sending = !quiet;
  part().setAttribute("aria-busy", "true");
  const typed = command()?.value;
  try {
    const answer = await fetch(present.action, { method: "POST", body, headers: { "x-caisey-part": "1" } });
    const html = await answer.text();
    // Somebody who goes on typing while a hint is looked for keeps what they type.
    if (quiet && command()?.value !== typed) return;
    if (!html.includes("composer-part")) return quiet || location.reload();
    if (quiet) hint(html);
    else put(html, what);
  } catch {
    present.querySelector("button.primary")?.focus(); // the live line says that we are not connected; nothing is lost
  } finally {
    sending = false;
    part()?.removeAttribute("aria-busy");
  }
}

function put(html, what) {
  const open = document.getElementById("composer-more")?.open;
  const template = document.createElement("template");
  template.innerHTML = html; // rendered and escaped by our own server
  part().replaceWith(template.content.querySelector("#composer-part"));
  if (open && ["tool", "use", "keep", "forget"].includes(what.split(":")[0])) document.getElementById("composer-more").open = true;
  if (what === "send" || what === "add") entries.list = null;
  entries.place = -1;
  prepare();
  const field = command() ?? form()?.querySelector(".composer-fields input, .composer-fields textarea, .composer-fields select");
  field?.focus({ preventScroll: true });
}

/** Only the hint and what belongs to it: the field, its undo history and the caret stay as they are. */
function hint(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const fresh = template.content.querySelector("form[data-composer]");
  const present = form();
  present.querySelector(":scope > .note[role=status]")?.remove();
  const note = fresh?.querySelector(":scope > .note[role=status]");
  if (note) present.querySelector(".composer-send").before(note);
  for (const selector of ['input[name="warned"]', 'button[value="send"]']) {
    const [from, to] = [fresh?.querySelector(selector), present.querySelector(selector)];
    if (!from || !to) continue;
    if (to.matches("input")) to.value = from.value;
    else to.replaceChildren(...from.childNodes);
  }
}

// -- the command line ------------------------------------------------------------------------------------------------

function prepare() {
  const field = command();
  if (!field) return;
  grow(field);
  field.addEventListener("input", () => {
    grow(field);
    entries.place = -1;
    clearTimeout(hinting);
    hinting = setTimeout(() => look(field), HINT_AFTER_MS);
  });
  field.addEventListener("keydown", keyed);
}

/** Asks the server for a hint only where its list could have one: a word at the beginning of a piece. */
function look(field) {
  if (field !== document.activeElement || !field.value.trim() || field.value.length > 20_000) return;
  press("look", { quiet: true });
}

function grow(field) {
  if (CSS.supports("field-sizing", "content")) return;
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight + 2}px`;
}

function keyed(event) {
  if (event.isComposing) return;
  const field = event.target;
  const oneLine = !field.value.includes("\n");
  // Enter sends one line. A paste with line breaks never sends: it makes more than one.
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey || (oneLine && !event.shiftKey && !event.altKey))) {
    event.preventDefault();
    clearTimeout(hinting);
    form().requestSubmit(form().querySelector('button[value="send"]'));
  } else if (event.key === "ArrowUp" && (field.value === "" || entries.place >= 0) && oneLine) {
    event.preventDefault();
    recall(1);
  } else if (event.key === "ArrowDown" && entries.place >= 0) {
    event.preventDefault();
    recall(-1);
  }
}

// -- earlier commands ------------------------------------------------------------------------------------------------

async function recall(step) {
  if (entries.list === null) {
    const address = form()?.dataset.history;
    if (!address) return;
    const answer = await fetch(address, { headers: { "x-caisey-part": "1" } }).catch(() => null);
    if (!answer?.ok) return;
    const template = document.createElement("template");
    template.innerHTML = await answer.text();
    entries.list = [...template.content.querySelectorAll("li")].map((one) => ({
      tool: one.dataset.tool, effect: one.dataset.effect, text: one.textContent,
    }));
  }
  const field = command();
  const mine = entries.list.filter((one) => one.tool === form().querySelector("[data-tool]").value);
  const place = entries.place + step;
  if (!field || place < -1 || place >= mine.length) return;
  if (entries.place === -1) entries.typed = field.value;
  entries.place = place;
  const entry = mine[place];
  field.value = entry ? entry.text : entries.typed;
  choose(entry?.effect);
  grow(field);
  field.setSelectionRange(field.value.length, field.value.length);
  field.title = entry
    ? form().dataset.wordHistory.replace("{n}", place + 1).replace("{total}", mine.length)
    : "";
}

function choose(effect) {
  if (!effect) return;
  const radio = form().querySelector(`input[name="effect"][value="${effect === "read_only" ? "read_only" : "mutating"}"]`);
  if (radio) radio.checked = true;
}

// -- choosing a tool, editing a step ---------------------------------------------------------------------------------

document.addEventListener("change", (event) => {
  if (event.target.matches?.("[data-composer] [data-tool]")) press("tool");
});

/** Nothing of an earlier command is lost: what has no field here, or is not offered any more, goes with it all the same. */
function fill(field, name, value) {
  if (!field) {
    field = Object.assign(document.createElement("input"), { type: "hidden", name: `arg.${name}` });
    form().append(field);
  } else if (field.tagName === "SELECT" && ![...field.options].some((option) => option.value === value)) {
    field.add(new Option(value, value));
  }
  field.value = value;
}

/** `caisey:compose` with {tool, arguments, effect}: what the page puts into the composer (edit this command). */
document.addEventListener("caisey:compose", async ({ detail }) => {
  const select = form()?.querySelector("[data-tool]");
  if (!select) return;
  if (select.value !== detail.tool) {
    select.value = detail.tool;
    await press("tool");
  }
  for (const [name, value] of Object.entries(detail.arguments ?? {})) {
    fill(form().elements.namedItem(`arg.${name}`), name, typeof value === "string" ? value : JSON.stringify(value));
  }
  choose(detail.effect);
  const field = command() ?? form().querySelector(".composer-fields input");
  if (field) {
    if (field.matches("[data-command]")) grow(field);
    field.focus();
  }
});

// -- files -----------------------------------------------------------------------------------------------------------

const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

document.addEventListener("dragover", (event) => {
  if (!form() || !holdsFiles(event)) return;
  event.preventDefault();
  part().classList.add("drop-here");
});
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) part()?.classList.remove("drop-here"); });
document.addEventListener("drop", async (event) => {
  if (!form() || !holdsFiles(event)) return;
  event.preventDefault();
  part().classList.remove("drop-here");
  const [file] = event.dataTransfer.files;
  if (file) await take(file);
});

async function take(file) {
  if (file.size > FILE_BYTES) return say(form().dataset.wordTooLarge, file);
  const bytes = new Uint8Array(await file.arrayBuffer());
  form().querySelector("[data-tool]").value = "file_write";
  await press("tool");
  const data = form().elements.namedItem("arg.data");
  if (!data) return;
  data.value = base64(bytes);
  say(form().dataset.wordFile, file);
  const path = form().elements.namedItem("arg.path");
  if (!path.value) path.value = file.name;
  path.focus();
  path.setSelectionRange(0, 0);
}

function base64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

function say(words, file) {
  const place = form().querySelector("[data-drop]") ?? form().querySelector(".composer-consequence");
  if (place) {
    place.textContent = words
      .replace("{name}", file.name)
      .replace("{size}", size(file.size))
      .replace("{most}", size(FILE_BYTES));
    place.setAttribute("role", "status");
  }
}

const size = (bytes) => (bytes < 1024 ? `${bytes} B` : `${Math.ceil(bytes / 1024)} KB`);

// -- keys ------------------------------------------------------------------------------------------------------------

const toComposer = () => {
  const field = command() ?? form()?.querySelector("input:not([type=hidden]), textarea");
  if (!field) return false;
  field.focus();
};
for (const key of ["i", "c"]) shortcut(key, word("keys-composer"), toComposer);
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && part()?.contains(event.target) && !event.defaultPrevented) {
    event.preventDefault();
    form().requestSubmit(form().querySelector('button[value="send"]'));
  }
  // One open pane of the strip at a time; Esc closes it. Esc never stops a command.
  if (event.key === "Escape") {
    const pane = document.querySelector(".strip-menu > details[open]");
    if (pane && (!inField() || pane.contains(document.activeElement))) {
      pane.open = false;
      pane.querySelector("summary").focus();
    }
  }
});
document.addEventListener("toggle", (event) => {
  if (!event.target.matches?.(".strip-menu > details") || !event.target.open) return;
  for (const other of document.querySelectorAll(".strip-menu > details[open]")) if (other !== event.target) other.open = false;
  event.target.querySelector("input:not([type=hidden]), textarea, select")?.focus();
}, true);

if (slot) prepare();
