// The NOW panel in the page: where the focus goes, what stays over a look, and what is said where an answer was lost.

import { word } from "../words.js";

export const now = () => document.getElementById("now");

/** Into an open form, or back to the actions. */
export function focusForm(what) {
  const part = now();
  if (what === "panel") return focusFirst(part);
  // The pointer stands on what is safe: a field to fill in, else the way on where it only reads, else the heading.
  const target = part.querySelector("[autofocus]") ?? part.querySelector("#now-form textarea, #now-form input:not([type=hidden]):not([name=reason])")
    ?? part.querySelector("#now-form[data-risky] input[name=reason]") ?? part.querySelector("#now-send") ?? part.querySelector("[data-back]") ?? part;
  target.focus({ preventScroll: false });
}

/** The first action that is safe, else the panel itself. */
export function focusFirst(part = now()) {
  const first = part.querySelector(".action-first .press:not(:disabled)") ?? part.querySelector("#now-send") ?? part;
  first.focus();
}

export function goToNow() {
  const part = now();
  part.scrollIntoView({ block: "nearest" });
  focusFirst(part);
}

// Why something was not taken stands there until the reader does something else; that it may not have arrived, until
// there is something newer to see.
export function keepFault(present, part) {
  const fault = present.querySelector(".now-fault");
  if (!fault || part.querySelector(".now-fault")) return;
  if (fault.dataset.lost !== undefined && present.dataset.entry !== part.dataset.entry) return;
  part.querySelector("h2").after(fault.cloneNode(true));
}

// The same press keeps its key over a look: should its first answer have been lost, it still counts once.
export function keepKeys(present, part) {
  const named = (form) => [...form.querySelectorAll("input[type=hidden]:not([name=key], [name=csrf])")].map((one) => one.value).join(" ");
  const known = new Map([...present.querySelectorAll("form")].map((form) => [named(form), form.elements.namedItem("key")]));
  for (const form of part.querySelectorAll("form")) {
    const key = known.get(named(form));
    if (key) form.querySelector("[name=key]").setAttribute("value", key.value);
  }
}

/** The answer to a press did not come. */
export function lost() {
  now().querySelector(".now-fault")?.remove();
  const said = document.createElement("div");
  said.className = "now-fault";
  said.dataset.lost = "";
  said.setAttribute("role", "alert");
  said.textContent = word("session-lost");
  now().querySelector("h2").after(said);
}

// What was typed into a form that was taken must not meet the next one.
export function leaveForm() {
  for (const form of now().querySelectorAll("form")) form.remove();
}
