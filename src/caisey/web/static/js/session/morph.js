// Makes present elements like fresh ones that the server rendered, in place: focus, scroll, what is being typed, open rows
// and output panes stay. The fresh ones come from our own server, with everything foreign escaped.

/** Elements of a page from the text of an answer. Scripts in it would not run, and there are none. */
export function parse(html) {
  return new DOMParser().parseFromString(html, "text/html");
}

/** `present` becomes like `fresh`. */
export function morph(present, fresh) {
  if (present.nodeType !== fresh.nodeType || present.nodeName !== fresh.nodeName) {
    present.replaceWith(document.importNode(fresh, true));
    return;
  }
  if (present.nodeType === Node.TEXT_NODE) {
    if (present.data !== fresh.data) present.data = fresh.data;
    return;
  }
  if (present.nodeType !== Node.ELEMENT_NODE) return;
  if (present.nodeName === "NOSCRIPT") return; // read without script it is elements, here it is nothing
  if (present.dataset?.keep !== undefined && fresh.dataset?.keep !== undefined) {
    copyAttributes(present, fresh, (name) => name.startsWith("data-"));
    return; // its own script looks after what is in it
  }
  copyAttributes(present, fresh, () => true);
  // A row that was loaded on demand is not emptied by a list of closed rows.
  if (fresh.dataset?.empty !== undefined && present.dataset?.empty === undefined) return;
  if (present.nodeName === "TIME" && present.dateTime === fresh.dateTime) return; // kept fresh by times.js
  children(present, fresh);
}

function copyAttributes(present, fresh, wanted) {
  const emptyBody = fresh.dataset?.empty !== undefined && present.dataset?.empty === undefined;
  for (const { name, value } of fresh.attributes) {
    if (!wanted(name) || isTheReaders(present, name) || (emptyBody && name === "data-empty")) continue;
    if (present.getAttribute(name) !== value) present.setAttribute(name, value);
  }
  for (const { name } of [...present.attributes]) {
    if (wanted(name) && !fresh.hasAttribute(name) && !isTheReaders(present, name)) present.removeAttribute(name);
  }
}

// What the reader has opened stays open, and what they type stays typed.
function isTheReaders(element, name) {
  return (name === "open" && element.nodeName === "DETAILS") || (name === "data-mounted" || name === "data-touched") || (name === "class" && element.classList.contains("here"));
}

function keyOf(node) {
  return node.nodeType === Node.ELEMENT_NODE ? node.id || node.dataset?.action || "" : "";
}

function children(present, fresh) {
  const keyed = new Map();
  for (const child of present.childNodes) if (keyOf(child)) keyed.set(keyOf(child), child);
  let at = present.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const key = keyOf(wanted);
    const known = key ? keyed.get(key) : null;
    if (known) {
      if (known !== at) present.insertBefore(known, at);
      else at = at.nextSibling;
      keyed.delete(key);
      morph(known, wanted);
    } else if (at && !keyOf(at) && !key && at.nodeName === wanted.nodeName) {
      const next = at.nextSibling;
      morph(at, wanted);
      at = next;
    } else {
      present.insertBefore(document.importNode(wanted, true), at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}
