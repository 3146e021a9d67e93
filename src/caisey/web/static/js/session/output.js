// Output as it comes, quick at 50 MB: bytes are fetched by offset, appended once, and only the lines in sight are drawn.
// Nothing is lost or doubled: what is missing is what lies between the bytes that are here and the bytes that are known.
//
// A line is found by its bytes, so a link to one stays right: `#<step>~<try>~<stream>~<offset>`.

import { word } from "../words.js";

const LINE = 18;
const PAD = 6; // above the first and below the last line
const SPARE = 20;
const FIRST_BYTES = 64 * 1024;
const PIECE_BYTES = 1024 * 1024;
const MOST_BYTES = 64 * 1024 * 1024;
const UNWRAPPED = 4_000; // bytes of one line on one row
const LEAST_ROWS = 1;
const MOST_ROWS = 40;
const FIRST_ROWS = 12;
const RETRY_MS = 1_500;
const NEWLINE = 10;
const SEARCH_ROWS = 512;
const HIDDEN_WORD = /[\u2400-\u2421\\]/; // what stands for a hidden character is not in the bytes

const views = new Map();
const decoder = new TextDecoder("utf-8", { fatal: false });
const HIDDEN = /[^\P{C}\n\t]|[\u2028\u2029\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]/gu;

/** Control characters and direction marks are shown, not obeyed; as core/plain_text.py does. */
export function visible(text) {
  return text.replace(/\r$/, "").replace(HIDDEN, (character) => {
    const code = character.codePointAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    if (code === 0x7f) return "\u2421";
    return code <= 0xffff ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`;
  });
}

export function sizeWords(count) {
  if (count < 1000) return count === 1 ? "1 byte" : `${count} bytes`;
  let amount = count;
  for (const unit of ["kB", "MB", "GB"]) {
    amount /= 1000;
    if (amount < 999.5) return amount < 9.95 ? `${amount.toFixed(1)} ${unit}` : `${Math.round(amount)} ${unit}`;
  }
  return `${Math.round(amount / 1000)} TB`;
}

/** The view of a pane; made when it is first seen. */
export function mount(pane) {
  if (pane.dataset.mounted !== undefined) return views.get(pane.id);
  pane.dataset.mounted = "";
  const view = new View(pane);
  views.set(pane.id, view);
  return view;
}

export const viewOf = (pane) => views.get(pane?.id);

/** The pane in which a person is, else the newest that is open. */
export function currentView() {
  const inside = document.activeElement?.closest?.(".pane, .step");
  const panes = [...(inside ?? document).querySelectorAll(".pane[data-mounted]")];
  const pane = document.activeElement?.closest?.(".pane[data-mounted]") ?? panes.filter((one) => one.checkVisibility?.() ?? true).pop();
  return pane ? views.get(pane.id) : undefined;
}

/** An event of the log said that so many bytes are stored. */
export function told(call, attempt, stream, end) {
  for (const view of views.values()) {
    if (view.call === call && view.attempt === attempt && view.stream === stream) view.extend(end);
  }
}

class View {
  constructor(pane) {
    this.pane = pane;
    this.call = pane.dataset.call;
    this.attempt = Number(pane.dataset.attempt);
    this.stream = pane.dataset.stream;
    this.known = Number(pane.dataset.bytes);
    this.gaps = JSON.parse(pane.dataset.gaps || "[]");
    this.bytes = new Uint8Array(FIRST_BYTES * 2);
    this.length = 0; // bytes that are here
    this.rows = []; // places where rows begin
    this.marks = []; // {at: place in bytes, offset, text}
    this.base = 0; // the offset of the first byte
    this.next = 0; // the offset that comes next
    this.wrap = false;
    this.columns = UNWRAPPED;
    this.follow = pane.dataset.live !== undefined;
    this.pinned = true; // the end is in sight until the reader moves
    this.busy = false;
    this.unread = 0;
    this.query = "";
    this.hits = [];
    this.hit = -1;
    this.target = null;
    this.#build();
    this.#begin(Math.max(0, this.known - FIRST_BYTES));
    this.fill();
  }

  // -- bytes ----------------------------------------------------------------------------------------------------------

  #begin(offset) {
    this.life = (this.life ?? 0) + 1; // what is still on its way belongs to the former one
    this.busy = false;
    this.openLine = false;
    this.base = this.next = offset;
    this.length = 0;
    this.rows = [];
    this.marks = [];
    this.skipPartial = offset > 0;
  }

  /** More is known to be there. */
  extend(end) {
    if (end > this.known) this.known = end;
    this.#title();
    this.fill();
  }

  /** Attributes of the pane may have changed with a fresh look at the step. */
  renew() {
    this.gaps = JSON.parse(this.pane.dataset.gaps || "[]");
    if (this.pane.dataset.live === undefined) this.follow = this.follow && this.known > this.next;
    this.extend(Number(this.pane.dataset.bytes));
  }

  async fill() {
    if (this.busy) return;
    this.busy = true;
    const life = this.life;
    try {
      while (life === this.life && this.next < this.known && this.length < MOST_BYTES) {
        if (this.#skipGap()) continue;
        const piece = await this.#fetch(this.next, Math.min(PIECE_BYTES, this.known - this.next));
        if (piece === null || life !== this.life) break;
        if (!piece.length) {
          if (this.#skipGap()) continue;
          break; // a gap that is not told yet: the next look at the step names it
        }
        this.#append(piece);
        this.#progress();
      }
    } finally {
      if (life === this.life) {
        this.busy = false;
        this.#progress();
      }
    }
  }

  #skipGap() {
    const gap = this.gaps.find((one) => one.offset <= this.next && this.next < one.offset + one.length);
    if (!gap) return false;
    this.marks.push({ at: this.length, offset: this.next, text: `[… ${gap.text} …]` });
    this.rows.push(this.length);
    this.openLine = false;
    this.next = gap.offset + gap.length;
    return true;
  }

  async #fetch(offset, limit) {
    const query = new URLSearchParams({ attempt: this.attempt, stream: this.stream, offset, limit });
    try {
      const answer = await fetch(`/api/v1/tool-calls/${this.call}/output?${query}`, { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      this.#note("");
      return new Uint8Array(await answer.arrayBuffer());
    } catch {
      this.#note(word("session-not-read"));
      clearTimeout(this.retry);
      this.retry = setTimeout(() => this.fill(), RETRY_MS);
      return null;
    }
  }

  #append(piece) {
    let from = 0;
    if (this.skipPartial) {
      // The view begins in the middle: the first whole line is the first one shown.
      const newline = piece.indexOf(NEWLINE);
      from = newline >= 0 && newline < piece.length - 1 ? newline + 1 : 0;
      this.skipPartial = false;
      this.base = this.next + from;
    }
    const size = piece.length - from;
    if (this.length + size > this.bytes.length) {
      const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.length + size));
      larger.set(this.bytes.subarray(0, this.length));
      this.bytes = larger;
    }
    this.bytes.set(from ? piece.subarray(from) : piece, this.length);
    const before = this.rows.length;
    const began = this.length;
    this.length += size;
    this.next += piece.length;
    this.#lay(began);
    this.unread += Math.max(0, this.rows.length - before);
    if (this.query) this.#search(began);
    this.#draw();
  }

  // -- rows -----------------------------------------------------------------------------------------------------------

  /** Finds where rows begin in the bytes from `from` on. */
  #lay(from) {
    const { bytes, length, columns } = this;
    let at = from;
    let start = this.openLine && this.rows.length ? this.rows[this.rows.length - 1] : from;
    if (!this.openLine && from < length) this.rows.push(from);
    while (at < length) {
      let newline = bytes.indexOf(NEWLINE, at);
      if (newline < 0 || newline >= length) newline = length;
      while (newline - start > columns) {
        let cut = start + columns;
        for (let back = 0; back < 3 && (bytes[cut] & 0xc0) === 0x80; back += 1) cut -= 1;
        this.rows.push(cut);
        start = cut;
      }
      if (newline === length) {
        this.openLine = true;
        return;
      }
      at = start = newline + 1;
      if (at < length) this.rows.push(at);
      this.openLine = false;
    }
  }

  #layAgain() {
    this.rows = [];
    this.openLine = false;
    const marks = this.marks;
    let from = 0;
    const whole = this.length;
    for (const mark of marks) {
      this.length = mark.at;
      if (from < mark.at) this.#lay(from);
      this.rows.push(mark.at);
      this.openLine = false;
      from = mark.at;
    }
    this.length = whole;
    if (from < whole) this.#lay(from);
    this.hits = [];
    if (this.query) this.#search(0);
  }

  #textOf(row) {
    const start = this.rows[row];
    const mark = this.marks.find((one) => one.at === start && (row === 0 || this.rows[row - 1] !== start));
    if (mark && !(row > 0 && this.rows[row - 1] === start)) return { text: mark.text, mark: true };
    let end = row + 1 < this.rows.length ? this.rows[row + 1] : this.length;
    if (end > start && this.bytes[end - 1] === NEWLINE) end -= 1;
    return { text: visible(decoder.decode(this.bytes.subarray(start, end))), mark: false };
  }

  /** The offset in the stream of a place in the bytes. */
  #offsetOf(place) {
    let offset = this.base + place;
    for (const mark of this.marks) {
      if (mark.at > place) break;
      const gap = this.gaps.find((one) => one.offset <= mark.offset && mark.offset < one.offset + one.length);
      if (gap) offset += gap.offset + gap.length - mark.offset;
    }
    return offset;
  }

  // -- drawing --------------------------------------------------------------------------------------------------------

  #build() {
    const { pane } = this;
    pane.querySelector(".pane-text")?.remove();
    pane.querySelector(".pane-earlier")?.remove();
    const head = pane.querySelector(".pane-head");
    const tools = element("div", "pane-tools");
    this.followButton = button(word("session-follow"), () => this.setFollow(!this.follow));
    this.wrapButton = button(word("session-wrap"), () => this.setWrap(!this.wrap));
    const find = button(word("session-find"), () => this.openFind());
    const copy = button(word("session-copy"), () => this.copy(copy));
    const read = button(word("session-read-new"), () => { document.getElementById("say").textContent = this.readNew(); });
    read.className = "read-new"; // for who cannot see it: shown while it has the focus
    tools.append(read, this.followButton, this.wrapButton, find, copy);
    head.append(tools, head.querySelector(".pane-all"));
    this.load = element("div", "view-load");
    this.load.hidden = true;
    this.view = element("div", "view");
    this.view.tabIndex = 0;
    this.view.setAttribute("role", "log");
    this.view.setAttribute("aria-live", "off");
    this.view.setAttribute("aria-label", pane.dataset.title);
    this.sizer = element("div", "view-size");
    this.lines = element("div", "view-lines");
    this.sizer.append(this.lines);
    this.view.append(this.sizer);
    this.notice = element("p", "pane-note");
    this.notice.hidden = true;
    pane.append(this.load, this.view, this.notice);
    this.view.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.view.addEventListener("click", (event) => this.#clicked(event));
    new ResizeObserver(() => this.#resized()).observe(this.view);
    this.#pressed();
  }

  #title() {
    const title = this.pane.querySelector(".pane-head h3");
    const text = word("session-output-of", { title: this.pane.dataset.title, size: sizeWords(this.known) });
    if (title.textContent !== text) title.textContent = text;
    const all = this.pane.querySelector(".pane-all");
    all.textContent = word("session-all", { size: sizeWords(this.known) });
  }

  #progress() {
    const before = this.base;
    this.load.replaceChildren();
    this.load.hidden = true;
    if (this.next < this.known && this.length >= MOST_BYTES) {
      this.load.hidden = false;
      this.load.append(word("session-too-much", { size: sizeWords(MOST_BYTES) }));
    } else if (this.next < this.known && this.known - this.base > PIECE_BYTES * 2) {
      this.load.hidden = false;
      this.load.append(word("session-loading", { done: sizeWords(this.next - this.base), size: sizeWords(this.known - this.base) }));
    } else if (before > 0) {
      this.load.hidden = false;
      this.load.append(button(word("session-load-all", { size: sizeWords(before) }), () => this.loadAll()));
    }
    this.#draw();
  }

  /** Everything from the first byte on. */
  loadAll(then) {
    this.follow = this.pinned = false;
    this.#begin(0);
    this.#pressed();
    return this.fill().then(() => then?.());
  }

  #note(text) {
    this.notice.textContent = text;
    this.notice.hidden = !text;
  }

  #height() {
    const most = matchMedia("(max-width: 999px)").matches ? 6 : this.follow ? FIRST_ROWS : MOST_ROWS;
    const rows = Math.min(Math.max(this.rows.length, LEAST_ROWS), Math.max(most, Math.min(this.tallest ?? 0, MOST_ROWS)));
    this.tallest = Math.max(this.tallest ?? 0, rows);
    return rows * LINE + 2 * PAD + (this.view.offsetHeight - this.view.clientHeight);
  }

  #draw() {
    if (this.planned) return;
    this.planned = true;
    (document.hidden ? (run) => setTimeout(run, 100) : requestAnimationFrame)(() => {
      this.planned = false;
      this.#drawNow();
    });
  }

  #drawNow() {
    const height = `${this.#height()}px`;
    if (this.view.style.height !== height) {
      this.view.style.height = height;
      this.view.dispatchEvent(new CustomEvent("grew", { bubbles: true }));
    }
    this.sizer.style.height = `${Math.max(1, this.rows.length) * LINE + 2 * PAD}px`;
    if (this.follow || this.pinned) {
      const bottom = this.view.scrollHeight - this.view.clientHeight;
      this.ownScroll = Math.abs(this.view.scrollTop - bottom) > 1;
      this.view.scrollTop = bottom;
      if (this.follow) this.unread = 0;
    }
    this.#window();
  }

  #window() {
    const first = Math.max(0, Math.floor(this.view.scrollTop / LINE) - SPARE);
    const last = Math.min(this.rows.length, Math.ceil((this.view.scrollTop + this.view.clientHeight) / LINE) + SPARE);
    const found = new Set(this.hits);
    const drawn = document.createDocumentFragment();
    for (let row = first; row < last; row += 1) {
      const { text, mark } = this.#textOf(row);
      const line = element("span", mark ? "view-line view-mark" : "view-line");
      line.textContent = text || " ";
      line.dataset.row = row;
      if (found.has(row)) line.classList.add("found");
      if (this.hits[this.hit] === row) line.classList.add("current");
      if (this.target === row) line.classList.add("target");
      drawn.append(line);
    }
    if (!this.rows.length) {
      const line = element("span", "view-line view-mark");
      line.textContent = this.pane.dataset.live !== undefined ? word("session-no-output") : this.known ? "…" : word("session-empty-output");
      drawn.append(line);
    }
    this.lines.style.transform = `translateY(${first * LINE + PAD}px)`;
    this.lines.replaceChildren(drawn);
  }

  #scrolled() {
    if (this.ownScroll) {
      this.ownScroll = false;
    } else {
      this.pinned = false;
    }
    if (!this.pinned && this.follow && this.view.scrollTop + this.view.clientHeight < this.view.scrollHeight - 2 * LINE) {
      this.setFollow(false);
    }
    this.#window();
  }

  #resized() {
    if (!this.wrap) return this.#draw();
    const columns = this.#fitting();
    if (columns !== this.columns) {
      this.columns = columns;
      this.#layAgain();
    }
    this.#draw();
  }

  #fitting() {
    const probe = element("span", "view-line");
    probe.style.width = "max-content";
    probe.textContent = "0".repeat(50);
    this.lines.append(probe);
    const style = getComputedStyle(probe);
    const padding = parseFloat(style.paddingLeft) + parseFloat(style.paddingRight);
    const one = (probe.getBoundingClientRect().width - padding) / 50;
    probe.remove();
    return Math.max(20, Math.floor((this.view.clientWidth - padding) / (one || 8)));
  }

  // -- what a person does ---------------------------------------------------------------------------------------------

  setFollow(on) {
    this.follow = on;
    this.#pressed();
    if (on) this.#draw();
  }

  setWrap(on) {
    const top = this.rows[Math.floor(this.view.scrollTop / LINE)] ?? 0;
    this.wrap = on;
    this.columns = on ? this.#fitting() : UNWRAPPED;
    this.#layAgain();
    this.#pressed();
    this.#drawNow();
    if (!this.follow) this.#show(this.#rowAt(top), 0);
  }

  #pressed() {
    this.followButton.setAttribute("aria-pressed", String(this.follow));
    this.wrapButton.setAttribute("aria-pressed", String(this.wrap));
  }

  #rowAt(place) {
    let low = 0;
    let high = this.rows.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.rows[middle] <= place) low = middle;
      else high = middle - 1;
    }
    return Math.max(0, low);
  }

  #show(row, above = 3) {
    this.pinned = false;
    this.view.scrollTop = Math.max(0, (row - above) * LINE);
    this.#window();
  }

  text() {
    return Array.from(this.rows, (_, row) => this.#textOf(row).text).join("\n");
  }

  async copy(where) {
    const selected = String(getSelection());
    const inside = selected && this.view.contains(getSelection().anchorNode);
    await navigator.clipboard.writeText(inside ? selected : this.wrap ? this.#unwrapped() : this.text());
    if (!where) return;
    where.textContent = word("session-copied");
    setTimeout(() => { where.textContent = word("session-copy"); }, 1500);
  }

  #unwrapped() {
    return visible(decoder.decode(this.bytes.subarray(0, this.length)));
  }

  #clicked(event) {
    const row = event.target.closest?.("[data-row]")?.dataset.row;
    if (row === undefined || String(getSelection())) return;
    this.target = Number(row);
    history.replaceState(history.state, "", `#${this.call}~${this.attempt}~${this.stream}~${this.#offsetOf(this.rows[this.target])}`);
    this.#window();
  }

  /** The line at an offset, in sight. Loads what is needed for it. */
  async goTo(offset) {
    this.pinned = false;
    this.setFollow(false);
    if (offset < this.base) await this.loadAll();
    for (let tries = 0; tries < 200 && this.busy && this.next <= offset; tries += 1) await new Promise((go) => setTimeout(go, 50));
    let low = 0;
    let high = this.rows.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#offsetOf(this.rows[middle]) <= offset) low = middle;
      else high = middle - 1;
    }
    this.target = low;
    this.#drawNow();
    this.#show(low);
  }

  // -- finding --------------------------------------------------------------------------------------------------------

  openFind() {
    if (!this.finder) {
      this.finder = element("div", "view-find");
      this.finder.setAttribute("role", "search");
      this.field = element("input");
      this.field.type = "text";
      this.field.setAttribute("aria-label", word("session-find"));
      this.field.placeholder = word("session-find");
      this.count = element("span");
      this.count.setAttribute("aria-live", "polite");
      this.partly = element("span");
      const close = button(word("session-find-close"), () => this.closeFind());
      this.finder.append(
        this.field,
        button(word("session-find-previous"), () => this.#step(-1)),
        button(word("session-find-next"), () => this.#step(1)),
        this.count,
        this.partly,
        close,
      );
      this.field.addEventListener("input", () => this.#find(this.field.value));
      this.field.addEventListener("keydown", (event) => {
        if (event.key === "Enter") this.#step(event.shiftKey ? -1 : 1);
        else if (event.key === "Escape") this.closeFind();
        else return;
        event.preventDefault();
        event.stopPropagation();
      });
      this.pane.append(this.finder);
    }
    this.finder.hidden = false;
    this.field.focus();
    this.field.select();
  }

  closeFind() {
    this.finder.hidden = true;
    this.#find("");
    this.view.focus();
  }

  #find(text) {
    this.query = text.toLowerCase();
    this.hits = [];
    this.hit = -1;
    if (this.query) this.#search(0);
    if (this.hits.length) this.#step(1);
    else this.#counted();
    this.#window();
  }

  #search(from) {
    const first = from ? this.#rowAt(from) : 0;
    this.hits = this.hits.filter((row) => row < first);
    // Whole blocks first: most of them hold nothing, and one look at a block is quicker than one at each of its lines.
    for (let row = first; row < this.rows.length; row += SEARCH_ROWS) {
      const last = Math.min(this.rows.length, row + SEARCH_ROWS);
      const end = last < this.rows.length ? this.rows[last] : this.length;
      const block = decoder.decode(this.bytes.subarray(this.rows[row], end)).toLowerCase();
      if (!block.includes(this.query) && !HIDDEN_WORD.test(this.query)) continue;
      for (let one = row; one < last; one += 1) {
        if (this.#textOf(one).text.toLowerCase().includes(this.query)) this.hits.push(one);
      }
    }
    this.#counted();
  }

  #step(by) {
    if (!this.hits.length) return;
    this.setFollow(false);
    this.hit = (this.hit + by + this.hits.length) % this.hits.length;
    this.#counted();
    this.#show(this.hits[this.hit]);
  }

  #counted() {
    if (!this.finder) return;
    if (!this.query) this.count.textContent = "";
    else if (!this.hits.length) this.count.textContent = word("session-find-none");
    else this.count.textContent = word("session-find-count", { n: this.hit + 1 || 1, total: this.hits.length });
    this.partly.textContent = this.base > 0 || this.next < this.known ? word("session-find-part", { size: sizeWords(this.length) }) : "";
  }

  /** For screen readers that ask: how much has come since. */
  readNew() {
    const lines = [];
    for (let row = Math.max(0, this.rows.length - Math.min(this.unread || 5, 20)); row < this.rows.length; row += 1) lines.push(this.#textOf(row).text);
    this.unread = 0;
    return lines.join("\n");
  }
}

function element(name, kind = "") {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  return made;
}

function button(text, run) {
  const made = element("button");
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", run);
  return made;
}
