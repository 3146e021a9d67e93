// Output as it comes, quick at 50 MB: bytes are fetched by offset, appended once, and only the lines in sight are drawn.
// Nothing is lost or doubled: what is missing is what lies between the bytes that are here and the bytes that are known.
//
// A line is found by its bytes, so a link to one stays right: `#<step>~<try>~<stream>~<offset>`.

import { word } from "../words.js";
import { Finder } from "./find.js";
import { button, element, sizeWords } from "./making.js";
import { Rows, UNWRAPPED } from "./rows.js";

const LINE = 18;
const PAD = 6; // above the first and below the last line
const SPARE = 20;
const FIRST_BYTES = 64 * 1024;
const PIECE_BYTES = 1024 * 1024;
const MOST_BYTES = 64 * 1024 * 1024;
const LEAST_ROWS = 1;
const MOST_ROWS = 40;
const FIRST_ROWS = 12;
const RETRY_MS = 1_500;

const views = new Map();
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
    this.wrap = false;
    this.follow = pane.dataset.live !== undefined;
    this.pinned = true; // the end is in sight until the reader moves
    this.busy = false;
    this.unread = 0;
    this.finder = new Finder(this);
    this.target = null;
    this.#build();
    this.#begin(Math.max(0, this.known - FIRST_BYTES));
    this.fill();
  }

  // -- bytes ----------------------------------------------------------------------------------------------------------

  #begin(offset) {
    this.busy = false; // what is still on its way belongs to the former rows
    this.rows = new Rows(offset);
    if (this.wrap) this.rows.wrapAt(this.#fitting());
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
    if (this.pane.dataset.live === undefined) this.follow = this.follow && this.known > this.rows.next;
    this.extend(Number(this.pane.dataset.bytes));
  }

  async fill() {
    if (this.busy) return;
    this.busy = true;
    const { rows } = this;
    try {
      while (rows === this.rows && rows.next < this.known && rows.length < MOST_BYTES) {
        if (this.#skipGap()) continue;
        const piece = await this.#fetch(rows.next, Math.min(PIECE_BYTES, this.known - rows.next));
        if (piece === null || rows !== this.rows) break;
        if (!piece.length) {
          if (this.#skipGap()) continue;
          break; // a gap that is not told yet: the next look at the step names it
        }
        this.#append(piece);
        this.#progress();
      }
    } finally {
      if (rows === this.rows) {
        this.busy = false;
        this.#progress();
      }
    }
  }

  #skipGap() {
    const { next } = this.rows;
    const gap = this.gaps.find((one) => one.offset <= next && next < one.offset + one.length);
    if (gap) this.rows.skip(gap.offset + gap.length, `[… ${gap.text} …]`);
    return Boolean(gap);
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
    const before = this.rows.count;
    const began = this.rows.append(piece);
    this.unread += Math.max(0, this.rows.count - before);
    this.finder.again(this.rows.at(began));
    this.#draw();
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
    const find = button(word("session-find"), () => this.finder.open());
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
    const missing = this.gaps.reduce((sum, gap) => sum + gap.length, 0);
    all.textContent = word("session-all", { size: sizeWords(Math.max(this.known - missing, 0)) });
  }

  #progress() {
    const { base: before, next, length } = this.rows;
    this.load.replaceChildren();
    this.load.hidden = true;
    if (next < this.known && length >= MOST_BYTES) {
      this.load.hidden = false;
      this.load.append(word("session-too-much", { size: sizeWords(MOST_BYTES) }));
    } else if (next < this.known && this.known - before > PIECE_BYTES * 2) {
      this.load.hidden = false;
      this.load.append(word("session-loading", { done: sizeWords(next - before), size: sizeWords(this.known - before) }));
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
    const rows = Math.min(Math.max(this.rows.count, LEAST_ROWS), Math.max(most, Math.min(this.tallest ?? 0, MOST_ROWS)));
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
    this.sizer.style.height = `${Math.max(1, this.rows.count) * LINE + 2 * PAD}px`;
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
    const last = Math.min(this.rows.count, Math.ceil((this.view.scrollTop + this.view.clientHeight) / LINE) + SPARE);
    const found = new Set(this.finder.hits);
    const drawn = document.createDocumentFragment();
    for (let row = first; row < last; row += 1) {
      const { text, mark } = this.rows.row(row);
      const line = element("span", mark ? "view-line view-mark" : "view-line");
      line.textContent = text || " ";
      line.dataset.row = row;
      if (found.has(row)) line.classList.add("found");
      if (this.finder.current === row) line.classList.add("current");
      if (this.target === row) line.classList.add("target");
      drawn.append(line);
    }
    if (!this.rows.count) {
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
    if (columns !== this.rows.columns) this.#wrapAt(columns);
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
    const top = this.rows.placeOf(Math.floor(this.view.scrollTop / LINE));
    this.wrap = on;
    this.#wrapAt(on ? this.#fitting() : UNWRAPPED);
    this.#pressed();
    this.#drawNow();
    if (!this.follow) this.show(this.rows.at(top), 0);
  }

  #wrapAt(columns) {
    this.rows.wrapAt(columns);
    this.finder.again();
  }

  #pressed() {
    this.followButton.setAttribute("aria-pressed", String(this.follow));
    this.wrapButton.setAttribute("aria-pressed", String(this.wrap));
  }

  /** The row in sight, with some above it. */
  show(row, above = 3) {
    this.pinned = false;
    this.view.scrollTop = Math.max(0, (row - above) * LINE);
    this.#window();
  }

  redraw() {
    this.#window();
  }

  focus() {
    this.view.focus();
  }

  text() {
    return this.rows.text();
  }

  async copy(where) {
    const selected = String(getSelection());
    const inside = selected && this.view.contains(getSelection().anchorNode);
    await navigator.clipboard.writeText(inside ? selected : this.wrap ? this.rows.lines() : this.rows.text());
    if (!where) return;
    where.textContent = word("session-copied");
    setTimeout(() => { where.textContent = word("session-copy"); }, 1500);
  }

  #clicked(event) {
    const row = event.target.closest?.("[data-row]")?.dataset.row;
    if (row === undefined || String(getSelection())) return;
    this.target = Number(row);
    history.replaceState(history.state, "", `#${this.call}~${this.attempt}~${this.stream}~${this.rows.offsetOf(this.target)}`);
    this.#window();
  }

  /** The line at an offset, in sight. Loads what is needed for it. */
  async goTo(offset) {
    this.pinned = false;
    this.setFollow(false);
    if (offset < this.rows.base) await this.loadAll();
    for (let tries = 0; tries < 200 && this.busy && this.rows.next <= offset; tries += 1) await new Promise((go) => setTimeout(go, 50));
    this.target = this.rows.atOffset(offset);
    this.#drawNow();
    this.show(this.target);
  }

  /** For screen readers that ask: how much has come since. */
  readNew() {
    const lines = [];
    for (let row = Math.max(0, this.rows.count - Math.min(this.unread || 5, 20)); row < this.rows.count; row += 1) lines.push(this.rows.row(row).text);
    this.unread = 0;
    return lines.join("\n");
  }
}
