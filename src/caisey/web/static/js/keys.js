// Single-key shortcuts: one registry for the page. They count only outside of fields, and the person chooses in their
// account: on, off, or together with Alt (WCAG 2.1.4). No shortcut ever sends anything by itself.

import { word } from "./words.js";

const mode = document.documentElement.dataset.keys || "on";
const LETTER_WITHIN_MS = 1_200;
const shortcuts = [];
let first = null;
let firstAt = 0;

/** `keys`: "g a", "/", "?", "Escape"; `run(event)` returns false where it does not apply now. */
export function shortcut(keys, label, run, { inFields = false } = {}) {
  shortcuts.push({ keys: keys.split(" "), label, run, inFields });
}

/** Whether the person is typing. */
export function inField(target = document.activeElement) {
  return Boolean(target?.closest?.("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]"));
}

function pressed(event) {
  if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey) return;
  if (["Alt", "Shift", "AltGraph"].includes(event.key)) return; // held for the next key, not a key of its own
  const typing = inField(event.target);
  const key = event.key.length === 1 && event.altKey ? letterOf(event) : event.key;
  if (key === "Escape") return escape(event);
  const rightMode = mode === "on" ? !event.altKey : mode === "alt" && event.altKey;
  const now = performance.now();
  const prefix = first && now - firstAt < LETTER_WITHIN_MS ? first : null;
  first = null;
  for (const one of shortcuts) {
    if (typing && !one.inFields) continue;
    if (!one.inFields && !rightMode) continue;
    const fits = one.keys.length === 2 ? prefix === one.keys[0] && key === one.keys[1] : !prefix && key === one.keys[0];
    if (fits && one.run(event) !== false) {
      event.preventDefault();
      return;
    }
  }
  if (!typing && rightMode && shortcuts.some((one) => one.keys.length === 2 && one.keys[0] === key)) {
    [first, firstAt] = [key, now];
    event.preventDefault();
  }
}

// With Alt a keyboard may give another character; the place of the key says which letter is meant.
function letterOf(event) {
  const code = event.code;
  if (code.startsWith("Key")) return event.shiftKey ? code.slice(3) : code.slice(3).toLowerCase();
  if (code.startsWith("Digit")) return code.slice(5);
  return event.key;
}

function escape(event) {
  for (const one of shortcuts) if (one.keys[0] === "Escape" && one.run(event) !== false) return event.preventDefault();
  if (inField(event.target)) {
    event.target.blur();
    event.preventDefault();
  }
}

const go = (path) => () => { location.assign(path); };

// -- what every page has ---------------------------------------------------------------------------------------------

shortcut("/", word("keys-search"), () => {
  const field = [...document.querySelectorAll("[data-search]")].find((one) => one.checkVisibility());
  if (!field) return false;
  field.focus();
  field.select?.();
});
shortcut("g a", word("keys-attention"), go("/attention"));
shortcut("g e", word("keys-endpoints"), go("/endpoints"));
shortcut("g s", word("keys-last-session"), () => {
  let path = null;
  try {
    path = localStorage.getItem("caisey.last-session");
  } catch { /* storage may be closed to us */ }
  if (!path || !/^\/sessions\/[\w-]+$/.test(path)) return false;
  location.assign(path);
});
shortcut("?", word("keys-help"), toggleHelp);
shortcut("Escape", word("keys-leave"), () => {
  const panel = document.querySelector("#keys-help");
  if (!panel || panel.hidden) return false;
  toggleHelp();
});

function toggleHelp() {
  const panel = document.querySelector("#keys-help");
  if (!panel) return false;
  const list = panel.querySelector(".keys-list");
  if (!list.childElementCount) {
    const listed = new Set();
    for (const one of shortcuts) {
      // One without words of its own belongs to the one before it: j k, 1 … 5, y Y.
      const name = one.keys.join(" ");
      const keys = one.label ? document.createElement("dt") : list.querySelector("dt:last-of-type");
      if (listed.has(name) || !keys) continue;
      listed.add(name);
      for (const key of one.keys) {
        const cap = document.createElement("kbd");
        cap.textContent = key === "Escape" ? "Esc" : key === " " ? "Space" : key;
        keys.append(keys.childNodes.length ? " " : "", cap);
      }
      if (!one.label) continue;
      const meaning = document.createElement("dd");
      meaning.textContent = one.label;
      list.append(keys, meaning);
    }
  }
  panel.hidden = !panel.hidden;
  if (!panel.hidden) panel.querySelector("button")?.focus();
}

document.querySelector("#keys-help button")?.addEventListener("click", toggleHelp);
document.querySelector("[data-keys-help]")?.addEventListener("click", (event) => {
  event.preventDefault();
  toggleHelp();
});
if (mode !== "off") document.addEventListener("keydown", pressed);
else document.addEventListener("keydown", (event) => { if (event.key === "Escape") escape(event); });
