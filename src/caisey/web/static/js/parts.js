// Parts of a page that the server renders anew: <div id="now" data-part="/sessions/…/now">. At most one fetch per part is
// under way; who asks meanwhile gets one more afterwards. Focus, open rows and what is being typed survive.

import { refreshTimes } from "./times.js";

const running = new Map();
const shown = new WeakMap(); // what each part was made from
const listeners = new Set();

/** `listener(element)` is called for each part that was replaced, and once for the page itself by who registers. */
export function onPart(listener) {
  listeners.add(listener);
}

/** Fetches the part anew. `element` has `data-part` and an id. Resolves when what was asked for is shown. */
export function refresh(element) {
  const id = element.id;
  const known = running.get(id);
  if (known) {
    known.again ??= known.done.then(() => refresh(document.getElementById(id) ?? element));
    return known.again;
  }
  const work = { again: null, done: null };
  running.set(id, work);
  work.done = load(element).finally(() => running.delete(id));
  return work.done;
}

async function load(element) {
  let answer;
  try {
    answer = await fetch(element.dataset.part, { headers: { "x-caisey-part": "1" }, cache: "no-store" });
  } catch {
    return; // the live line says that we are not connected; the next event asks again
  }
  if (answer.ok) replace(element, await answer.text());
}

/** Puts `html`, which our own server rendered and escaped, in the place of the element with the same id. */
export function replace(element, html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const fresh = template.content.firstElementChild;
  const present = document.getElementById(element.id);
  if (!fresh || !present || shown.get(present) === html) return;
  shown.set(fresh, html);
  const focused = present.contains(document.activeElement) ? document.activeElement : null;
  const typed = focused && ["INPUT", "TEXTAREA", "SELECT"].includes(focused.tagName);
  // Nobody's typing is thrown away: the part waits until the field is left.
  if (typed && focused.type !== "hidden" && focused.value !== focused.defaultValue) {
    focused.addEventListener("blur", () => refresh(present), { once: true });
    return;
  }
  const open = [...present.querySelectorAll("details[id][open]")].map((one) => one.id);
  const shut = [...present.querySelectorAll("details[id]:not([open])")].map((one) => one.id);
  const path = focused && (focused.id ? `#${CSS.escape(focused.id)}` : pathOf(focused, present));
  present.replaceWith(fresh);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  for (const id of shut) document.getElementById(id)?.removeAttribute("open");
  if (path) (fresh.matches(path) ? fresh : fresh.querySelector(path))?.focus({ preventScroll: true });
  refreshTimes(fresh);
  for (const listener of listeners) listener(fresh);
}

function pathOf(element, within) {
  const steps = [];
  for (let at = element; at && at !== within; at = at.parentElement) {
    const place = [...at.parentElement.children].filter((one) => one.tagName === at.tagName).indexOf(at) + 1;
    steps.unshift(`${at.tagName.toLowerCase()}:nth-of-type(${place})`);
  }
  return steps.length ? `:scope > ${steps.join(" > ")}` : null;
}
