// Buttons that copy: `data-copy-from="#id"` takes the text of an element, `data-copy-url` what an address answers as text.
// What was done is said on the button itself, and to a screen reader.

const SAID_MS = 2_000;

/** Puts text on the clipboard. Resolves to whether it is there. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { /* no permission, or an older browser: the old way */ }
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "visually-hidden";
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}

async function textOf(button) {
  if (button.dataset.copyUrl) {
    const answer = await fetch(button.dataset.copyUrl, { headers: { "x-caisey-part": "1" }, cache: "no-store" });
    return answer.ok ? answer.text() : null;
  }
  const source = document.querySelector(button.dataset.copyFrom);
  return source ? source.value ?? source.textContent : null;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy-from], [data-copy-url]");
  if (!button) return;
  event.preventDefault();
  const text = await textOf(button);
  if (text === null || !(await copyText(text))) {
    if (button.href) location.assign(button.href); // the page with the text to select by hand
    return;
  }
  const words = button.textContent;
  button.textContent = button.dataset.copied;
  button.setAttribute("aria-live", "polite");
  setTimeout(() => { button.textContent = words; }, SAID_MS);
});
