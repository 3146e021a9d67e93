// One computer, live: its part is fetched anew when something about it happened, and now and then for its proof.

import { onEvents } from "./live.js";
import { refresh } from "./parts.js";

const ASKED_MS = 500; // somebody waits for an answer on this page
const PAUSE_MS = 3_000;
const FRESH_MS = 10_000;
const endpoint = document.body.dataset.endpoint;
const part = () => document.getElementById("endpoint");

let planned = null;
function soon() {
  planned ??= setTimeout(again, part().querySelector("[data-reload]") ? ASKED_MS : PAUSE_MS);
}
let pressed = false;
addEventListener("pointerdown", () => { pressed = true; });
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => { pressed = false; });

function again() {
  planned = null;
  if (pressed || document.hidden || part().querySelector(".pop[open], form:focus-within")) return; // nobody is disturbed
  refresh(part());
}
onEvents((events) => {
  if (events.some((one) => one.session_id || one.payload?.endpoint_id === endpoint)) soon();
});
setInterval(again, FRESH_MS);

document.addEventListener("toggle", (event) => {
  if (!event.target.matches?.(".pop") || !event.target.open) return;
  for (const other of document.querySelectorAll(".pop[open]")) if (other !== event.target) other.open = false;
}, true);
document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll(".pop[open]")) if (!open.contains(event.target)) open.open = false;
});
