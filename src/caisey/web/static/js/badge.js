// The number beside Attention, kept right: by what happens, and where a page follows one session only, by the minute.

import { onEvents } from "./live.js";

const PAUSE_MS = 1_500;
const LOOK_EVERY_MS = 60_000;
const SAYS_SOMETHING = /^(attention|tool_call|prompt|endpoint|runtime)\.|^attempt\.(held|noticed|approval|ended|verdict)/;
let planned = null;

async function count() {
  planned = null;
  let answer;
  try {
    answer = await fetch("/api/v1/attention?limit=1", { cache: "no-store" });
  } catch {
    return; // the live line says that we are not connected
  }
  if (!answer.ok) return;
  const found = await answer.json();
  const number = found.total - found.aside;
  for (const badge of document.querySelectorAll("[data-attention-count]")) badge.textContent = number > 99 ? "99+" : number || "";
}

onEvents((events) => {
  if (events.some((one) => SAYS_SOMETHING.test(one.type))) planned ??= setTimeout(count, PAUSE_MS);
});
setInterval(() => {
  if (!document.hidden) planned ??= setTimeout(count, PAUSE_MS);
}, LOOK_EVERY_MS);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) planned ??= setTimeout(count, PAUSE_MS);
});
