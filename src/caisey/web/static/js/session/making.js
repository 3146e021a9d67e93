// Small elements that the scripts of a session make, and sizes as core/spoken.py says them.

export function sizeWords(count) {
  if (count < 1000) return count === 1 ? "1 byte" : `${count} bytes`;
  let amount = count;
  for (const unit of ["kB", "MB", "GB"]) {
    amount /= 1000;
    if (amount < 999.5) return amount < 9.95 ? `${amount.toFixed(1)} ${unit}` : `${Math.round(amount)} ${unit}`;
  }
  return `${Math.round(amount / 1000)} TB`;
}

export function element(name, kind = "") {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  return made;
}

export function button(text, run) {
  const made = element("button");
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", run);
  return made;
}
