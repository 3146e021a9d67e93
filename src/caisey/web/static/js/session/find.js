// The search in one output: a field below it, hits that are stepped through, and a word where not all of it is here.

import { word } from "../words.js";
import { button, element, sizeWords } from "./making.js";

export class Finder {
  #view;
  #query = "";
  #bar = null;
  hits = [];
  hit = -1;

  /** `view` has `rows`, `known` and `pane`, and can `show` a row and `redraw`. */
  constructor(view) {
    this.#view = view;
  }

  /** The row that was stepped to. */
  get current() {
    return this.hits[this.hit];
  }

  open() {
    if (!this.#bar) this.#build();
    this.#bar.hidden = false;
    this.field.focus();
    this.field.select();
  }

  close() {
    this.#bar.hidden = true;
    this.#look("");
    this.#view.focus();
  }

  /** Rows from `first` on are new, or others. */
  again(first = 0) {
    if (!this.#query) return;
    this.hits = [...this.hits.filter((row) => row < first), ...this.#view.rows.find(this.#query, first)];
    this.#count();
  }

  #build() {
    this.#bar = element("div", "view-find");
    this.#bar.setAttribute("role", "search");
    this.field = element("input");
    this.field.type = "text";
    this.field.setAttribute("aria-label", word("session-find"));
    this.field.placeholder = word("session-find");
    this.counted = element("span");
    this.counted.setAttribute("aria-live", "polite");
    this.partly = element("span");
    this.#bar.append(
      this.field,
      button(word("session-find-previous"), () => this.#step(-1)),
      button(word("session-find-next"), () => this.#step(1)),
      this.counted,
      this.partly,
      button(word("session-find-close"), () => this.close()),
    );
    this.field.addEventListener("input", () => this.#look(this.field.value));
    this.field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.#step(event.shiftKey ? -1 : 1);
      else if (event.key === "Escape") this.close();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    this.#view.pane.append(this.#bar);
  }

  #look(text) {
    this.#query = text.toLowerCase();
    this.hits = [];
    this.hit = -1;
    this.again();
    if (this.hits.length) this.#step(1);
    else this.#count();
    this.#view.redraw();
  }

  #step(by) {
    if (!this.hits.length) return;
    this.hit = (this.hit + by + this.hits.length) % this.hits.length;
    this.#count();
    this.#view.setFollow(false);
    this.#view.show(this.current);
  }

  #count() {
    if (!this.#bar) return;
    const { rows, known } = this.#view;
    if (!this.#query) this.counted.textContent = "";
    else if (!this.hits.length) this.counted.textContent = word("session-find-none");
    else this.counted.textContent = word("session-find-count", { n: this.hit + 1 || 1, total: this.hits.length });
    const whole = rows.base === 0 && rows.next >= known;
    this.partly.textContent = whole ? "" : word("session-find-part", { size: sizeWords(rows.length) });
  }
}
