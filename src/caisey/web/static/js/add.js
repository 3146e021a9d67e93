// Adding a computer: the command is copied with one press, the steps keep themselves up to date.

import { onEvents } from "./live.js";
import { refresh } from "./parts.js";
import { word } from "./words.js";

const LOOK_MS = 2_000;
const COPIED_MS = 2_000;
const part = () => document.getElementById("add-steps");

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue; // only where the page came safely; the text can be selected with one click
  button.hidden = false;
  const label = button.querySelector("span");
  const said = label.textContent;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    label.textContent = word("copied");
    setTimeout(() => { label.textContent = said; }, COPIED_MS);
  });
}

function look() {
  const element = part();
  if (element && !document.hidden && element.dataset.finished === undefined) refresh(element);
}
if (part()) {
  onEvents(look);
  setInterval(look, LOOK_MS); // a proof is no event: it is seen by looking
}
