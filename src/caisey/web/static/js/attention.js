// The attention list, live: its part is fetched anew when something happened, the title, the badge and the icon say how
// much needs somebody, and the keyboard walks the lines. No key sends anything that may change a computer.

import { shortcut } from "./keys.js";
import { onEvents } from "./live.js";
import { onPart, refresh } from "./parts.js";
import { word } from "./words.js";

const PAUSE_MS = 800;
const MOVING_MS = 1_500;
const HELD_MS = 6_000;
const LOOK_AGAIN_MS = 60_000;
const body = document.body;
const part = () => document.getElementById("attention");
const ROWS = "[data-line], .line-group > details > summary";
const rows = () => [...part().querySelectorAll(ROWS)].filter((row) => row.offsetParent !== null);

// -- live ------------------------------------------------------------------------------------------------------------

let planned = null;
function soon(ms = PAUSE_MS) {
  planned ??= setTimeout(async () => {
    planned = null;
    if (busy()) return soon(2 * PAUSE_MS);
    await refresh(part());
  }, ms);
}

// A person who writes a reason, presses a button or is about to keeps the list as it is: nothing jumps under a hand.
let pressed = false;
let movedAt = 0;
let heldSince = 0;
addEventListener("pointerdown", () => { pressed = true; });
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => { pressed = false; });
addEventListener("pointermove", (event) => { if (event.target.closest?.("[data-lines]")) movedAt = performance.now(); });

function busy() {
  if (pressed || part().querySelector(".pop[open]")) return true;
  const now = performance.now();
  const moving = movedAt && now - movedAt < MOVING_MS;
  if (!moving) heldSince = 0;
  else heldSince ||= now;
  return Boolean(moving && now - heldSince < HELD_MS);
}

onEvents(() => soon());
setInterval(() => { if (!document.hidden) soon(0); }, LOOK_AGAIN_MS);

let waking = null;
function wakeUp() {
  clearTimeout(waking);
  const at = Date.parse(part().dataset.backAt);
  if (!Number.isNaN(at)) waking = setTimeout(() => soon(0), Math.min(Math.max(at - Date.now(), 0) + 500, 2 ** 31 - 1));
}

// -- what says how much there is -------------------------------------------------------------------------------------

const known = new Set(ids());
function ids() {
  return [...(part().querySelectorAll("#needs-head, [data-line]") ?? [])].map((line) => line.dataset.line).filter(Boolean);
}

function say() {
  const count = Number(part().dataset.count);
  document.title = count ? `(${count}) ${word("title")}` : word("title");
  for (const badge of document.querySelectorAll("[data-attention-count]")) badge.textContent = count > 99 ? "99+" : count || "";
  const icon = document.querySelector('link[rel="icon"]');
  const wanted = count ? body.dataset.faviconAsk : body.dataset.favicon;
  if (icon && icon.getAttribute("href") !== wanted) icon.setAttribute("href", wanted);
  if (navigator.setAppBadge) (count ? navigator.setAppBadge(count) : navigator.clearAppBadge()).catch(() => {});
}

let selected = new Set();
onPart((fresh) => {
  if (fresh.id !== "attention") return;
  for (const box of fresh.querySelectorAll("input[name=item][type=checkbox]")) box.checked = selected.has(box.value);
  say();
  tell();
  wakeUp();
});
document.addEventListener("change", (event) => {
  if (!event.target.matches?.("input[name=item][type=checkbox]")) return;
  event.target.checked ? selected.add(event.target.value) : selected.delete(event.target.value);
});

// -- notices of the browser: a label and a place, never output -------------------------------------------------------

const button = document.querySelector("#notify");
const words = document.querySelector("#notify-words");

function showPermission() {
  if (!("Notification" in window) || !button) return;
  button.hidden = Notification.permission !== "default";
  words.hidden = Notification.permission === "default";
  words.textContent = Notification.permission === "granted" ? word("notify-on") : word("notify-off");
}
button?.addEventListener("click", async () => {
  await Notification.requestPermission();
  showPermission();
});

function tell() {
  const fresh = [...part().querySelectorAll("section [data-line]")].filter((line) => !known.has(line.dataset.line));
  for (const line of fresh) known.add(line.dataset.line);
  if (!fresh.length || !document.hidden || !("Notification" in window) || Notification.permission !== "granted") return;
  const text = (line, place) => line.querySelector(place)?.textContent.trim().replace(/\s+/g, " ") ?? "";
  const one = fresh.length === 1;
  const title = one ? word("notice-one", { label: text(fresh[0], ".line-link") }) : word("notice-many", { n: fresh.length });
  const notice = new Notification(title, { body: one ? text(fresh[0], ".c-where") : "", tag: "caisey-attention" });
  notice.onclick = () => {
    window.focus();
    notice.close();
  };
}

// -- keyboard --------------------------------------------------------------------------------------------------------

// A row is a line, or the head of a group.
const current = () => document.activeElement?.closest?.(ROWS);
const isGroup = (row) => row?.tagName === "SUMMARY";
const handleOf = (row) => (isGroup(row) ? row : row.querySelector(".line-link"));

function step(by) {
  const all = rows();
  if (!all.length) return false;
  const at = all.indexOf(current());
  const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)];
  handleOf(next).focus();
  next.scrollIntoView({ block: "nearest" });
}

function boxes(row) {
  return row ? [...(isGroup(row) ? row.parentElement : row).querySelectorAll("input[name=item][type=checkbox]")] : [];
}
function check(found, checked) {
  for (const box of found) if (box.checked !== checked) box.click();
}
const chosen = () => [...part().querySelectorAll("input[form=bulk]:checked")];

shortcut("j", word("key-next"), () => step(1));
shortcut("k", word("key-previous"), () => step(-1));
shortcut("o", word("key-open"), () => {
  const row = current() ?? rows()[0];
  if (!row) return false;
  handleOf(row).click();
});
shortcut("1", word("key-first"), () => {
  const first = (current() ?? rows()[0])?.querySelector("[data-first]");
  if (!first) return false;
  first.focus();
});
shortcut("x", word("key-select"), () => {
  const found = boxes(current());
  if (!found.length) return false;
  check(found, !found.every((box) => box.checked));
});
shortcut("a", word("key-take"), () => {
  if (isGroup(current()) && !chosen().length) check(boxes(current()), true);
  if (chosen().length) return void part().querySelector('#bulk [value="take"]').click();
  const take = current()?.querySelector("[data-take]");
  if (!take) return false;
  take.click();
});
shortcut("s", word("key-snooze"), () => {
  if (isGroup(current()) && !chosen().length) check(boxes(current()), true);
  const place = chosen().length ? part().querySelector("#bulk-snooze") : current()?.querySelector(".pop");
  if (!place) return false;
  place.open = true;
  place.querySelector("select").focus();
});

// One box is open at a time; Esc and a press elsewhere close it.
document.addEventListener("toggle", (event) => {
  if (!event.target.matches?.(".pop") || !event.target.open) return;
  for (const other of document.querySelectorAll(".pop[open]")) if (other !== event.target) other.open = false;
}, true);
shortcut("Escape", word("keys-leave"), () => {
  const open = document.querySelector(".pop[open]");
  if (!open) return false;
  open.open = false;
  open.querySelector("summary").focus();
}, { inFields: true });
document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll(".pop[open]")) if (!open.contains(event.target)) open.open = false;
});

say();
wakeUp();
showPermission();
