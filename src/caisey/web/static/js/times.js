// Keeps relative times fresh and says exact ones in the reader's zone. The server has already written both; without this
// script a page shows them as they were when it was made.

import { word } from "./words.js";

const root = document.documentElement;
// What the server's clock is ahead of ours: ages are measured by the server's.
const ahead = Number(root.dataset.now || Date.now()) - Date.now();
const chosenZone = root.dataset.zone || undefined;

/** Now, in milliseconds, as the server sees it. */
export const now = () => Date.now() + ahead;

let format;
try {
  format = new Intl.DateTimeFormat("en-GB", {
    day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
    timeZone: chosenZone, timeZoneName: "short",
  });
} catch {
  format = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "long" });
}

/** `14:02` in the reader's zone. */
export function clock(ms) {
  const options = { hour: "2-digit", minute: "2-digit" };
  try {
    return new Date(ms).toLocaleTimeString("en-GB", { ...options, timeZone: chosenZone });
  } catch {
    return new Date(ms).toLocaleTimeString("en-GB", options);
  }
}

/** `14:02:07` in the reader's zone. */
function clockOf(ms) {
  const options = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
  try {
    return new Date(ms).toLocaleTimeString("en-GB", { ...options, timeZone: chosenZone });
  } catch {
    return new Date(ms).toLocaleTimeString("en-GB", options);
  }
}

/** `25 Nov 2026, 14:02:07 CET`. */
export const exact = (ms) => format.format(new Date(ms));

// As core/spoken.py says spans: one number and its unit.
function span(ms) {
  if (ms < 99_500) return `${Math.floor(ms / 1000)} s`;
  if (ms < 99 * 60_000) return `${Math.round(ms / 60_000)} min`;
  if (ms < 48 * 3_600_000) return `${Math.round(ms / 3_600_000)} h`;
  return `${Math.round(ms / 86_400_000)} days`;
}

/** `40 s ago`, `in 5 min`, `now`. */
export function ago(ms) {
  const away = now() - ms;
  if (Math.abs(away) < 1000) return word("time-now");
  return word(away > 0 ? "time-ago" : "time-in", { span: span(Math.abs(away)) });
}

/** Writes every <time> below `within` anew, where its text has changed. */
export function refreshTimes(within = document) {
  for (const element of within.querySelectorAll("time[datetime]")) {
    const ms = Date.parse(element.dateTime);
    if (Number.isNaN(ms)) continue;
    const full = exact(ms);
    if (element.dataset.exact !== undefined) {
      if (element.textContent !== full) element.textContent = full;
      continue;
    }
    if (element.title !== full) element.title = full;
    const text = element.dataset.clock === undefined ? ago(ms) : clockOf(ms);
    if (element.textContent !== text) element.textContent = text;
  }
}

// Sentences of the server hold times too; this is how it learns of the zone to say them in. It says nothing else.
if (!chosenZone) {
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
  if (/^[A-Za-z][\w+/-]*$/.test(here)) document.cookie = `caisey-zone=${here}; path=/; max-age=31536000; secure; samesite=lax`;
}

refreshTimes();
setInterval(() => { if (!document.hidden) refreshTimes(); }, 1000);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refreshTimes(); });
