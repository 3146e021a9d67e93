// The list of computers: searched as one types, fresh while one looks. Without this script the form and the links do it.

import { shortcut } from "./keys.js";
import { onEvents } from "./live.js";
import { refresh } from "./parts.js";
import { word } from "./words.js";

const TYPING_MS = 120;
const FRESH_MS = 10_000;
const PAUSE_MS = 1_000;
const form = document.querySelector("#filters");
const fields = [form.querySelector("[name=q]"), document.querySelector("[data-search]")].filter(Boolean);
const part = () => document.getElementById("computers");

// -- search ----------------------------------------------------------------------------------------------------------

let typing = null;
function search() {
  const wanted = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value.trim()) wanted.set(name, value.trim());
  const path = wanted.size ? `/endpoints?${wanted}` : "/endpoints";
  part().dataset.part = path;
  history.replaceState(null, "", path);
  return refresh(part());
}

for (const field of fields) {
  field.addEventListener("input", () => {
    for (const other of fields) if (other !== field) other.value = field.value;
    clearTimeout(typing);
    typing = setTimeout(search, TYPING_MS);
  });
  field.addEventListener("keydown", async (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    clearTimeout(typing);
    await search();
    const found = part().querySelectorAll("[data-row] .name");
    if (found.length === 1) found[0].click(); // the one that was meant
  });
}
for (const choice of form.querySelectorAll("select")) choice.addEventListener("change", search);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
form.querySelector("button").hidden = true;
if (document.activeElement === document.body && new URLSearchParams(location.search).has("q")) fields[0].focus();

// -- fresh -----------------------------------------------------------------------------------------------------------

let planned = null;
onEvents((events) => {
  if (events.some((one) => /^(endpoint|runtime|session)\./.test(one.type))) planned ??= setTimeout(again, PAUSE_MS);
});
function again() {
  planned = null;
  if (!document.hidden) refresh(part());
}
setInterval(again, FRESH_MS);

// -- keyboard --------------------------------------------------------------------------------------------------------

function step(by) {
  const rows = [...part().querySelectorAll("[data-row] .name")];
  if (!rows.length) return false;
  const at = rows.indexOf(document.activeElement);
  rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + by, 0), rows.length - 1)].focus();
}
shortcut("j", word("key-next"), () => step(1));
shortcut("k", word("key-previous"), () => step(-1));
