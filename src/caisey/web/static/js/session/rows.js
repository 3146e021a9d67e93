// The bytes of one stream, and where its rows begin: appended by offset, found in the bytes, decoded only when they are seen.
// Knows no page. What is missing stands as a row of its own, in its place.

const FIRST_BYTES = 128 * 1024;
const SEARCH_ROWS = 512;
const NEWLINE = 10;
const HIDDEN = /[^\P{C}\n\t]|[\u2028\u2029\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]/gu;
const HIDDEN_WORD = /[\u2400-\u2421\\]/; // what stands for a hidden character is not in the bytes
const decoder = new TextDecoder("utf-8", { fatal: false });

/** Bytes of one line on one row, where lines are not wrapped. */
export const UNWRAPPED = 4_000;

/** Control characters and direction marks are shown, not obeyed; as core/plain_text.py does. */
export function visible(text) {
  return text.replace(/\r$/, "").replace(HIDDEN, (character) => {
    const code = character.codePointAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    if (code === 0x7f) return "\u2421";
    return code <= 0xffff ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`;
  });
}

export class Rows {
  #bytes = new Uint8Array(FIRST_BYTES);
  #starts = []; // places in the bytes where rows begin
  #marks = []; // {at: place in the bytes, skipped: bytes that are missing, text}
  #open = false; // the last row has no line end yet
  #skips = false; // begins in the middle of a line

  /** Rows of a stream from `offset` on. */
  constructor(offset) {
    this.base = this.next = offset; // the offset of the first byte, and of the one that comes next
    this.length = 0; // bytes that are here
    this.columns = UNWRAPPED;
    this.#skips = offset > 0;
  }

  get count() {
    return this.#starts.length;
  }

  /** The bytes that come next in the stream. */
  append(piece) {
    let from = 0;
    if (this.#skips) {
      // The first whole line is the first one shown.
      const newline = piece.indexOf(NEWLINE);
      from = newline >= 0 && newline < piece.length - 1 ? newline + 1 : 0;
      this.#skips = false;
      this.base = this.next + from;
    }
    const size = piece.length - from;
    if (this.length + size > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.length + size));
      larger.set(this.#bytes.subarray(0, this.length));
      this.#bytes = larger;
    }
    this.#bytes.set(from ? piece.subarray(from) : piece, this.length);
    const began = this.length;
    this.length += size;
    this.next += piece.length;
    this.#lay(began, this.length);
    return began;
  }

  /** What comes next in the stream is missing up to `end`; `text` says so in its place. */
  skip(end, text) {
    this.#marks.push({ at: this.length, skipped: end - this.next, text });
    this.#starts.push(this.length);
    this.#open = false;
    this.next = end;
  }

  /** Rows of at most so many bytes from now on. */
  wrapAt(columns) {
    this.columns = columns;
    this.#starts = [];
    this.#open = false;
    let from = 0;
    for (const { at } of this.#marks) {
      if (from < at) this.#lay(from, at);
      this.#starts.push(at);
      this.#open = false;
      from = at;
    }
    if (from < this.length) this.#lay(from, this.length);
  }

  /** Finds where rows begin in the bytes between two places. */
  #lay(from, end) {
    const { columns } = this;
    const starts = this.#starts;
    let at = from;
    let start = this.#open && starts.length ? starts[starts.length - 1] : from;
    if (!this.#open && from < end) starts.push(from);
    while (at < end) {
      let newline = this.#bytes.indexOf(NEWLINE, at);
      if (newline < 0 || newline >= end) newline = end;
      while (newline - start > columns) {
        let cut = start + columns;
        for (let back = 0; back < 3 && (this.#bytes[cut] & 0xc0) === 0x80; back += 1) cut -= 1;
        starts.push(cut);
        start = cut;
      }
      if (newline === end) {
        this.#open = true;
        return;
      }
      at = start = newline + 1;
      if (at < end) starts.push(at);
      this.#open = false;
    }
  }

  /** The row's text, and whether it is ours: a mark for what is missing. */
  row(number) {
    const start = this.#starts[number];
    const mark = number > 0 && this.#starts[number - 1] === start ? null : this.#marks.find((one) => one.at === start);
    if (mark) return { text: mark.text, mark: true };
    let end = number + 1 < this.#starts.length ? this.#starts[number + 1] : this.length;
    if (end > start && this.#bytes[end - 1] === NEWLINE) end -= 1;
    return { text: visible(decoder.decode(this.#bytes.subarray(start, end))), mark: false };
  }

  text() {
    return Array.from(this.#starts, (_, number) => this.row(number).text).join("\n");
  }

  /** Lines as they came, without what wrapping made of them. */
  lines() {
    return visible(decoder.decode(this.#bytes.subarray(0, this.length)));
  }

  placeOf(number) {
    return this.#starts[number] ?? 0;
  }

  /** Where the row begins in the stream. */
  offsetOf(number) {
    const place = this.placeOf(number);
    let offset = this.base + place;
    for (const { at, skipped } of this.#marks) if (at <= place) offset += skipped;
    return offset;
  }

  /** The last row that begins at or before a place in the bytes. */
  at(place) {
    return this.#last((number) => this.#starts[number] <= place);
  }

  /** The last row that begins at or before an offset of the stream. */
  atOffset(offset) {
    return this.#last((number) => this.offsetOf(number) <= offset);
  }

  #last(fits) {
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (fits(middle)) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Rows from `first` on that hold the text, which is in lower case. */
  find(text, first = 0) {
    const hits = [];
    // Whole blocks first: most of them hold nothing, and one look at a block is quicker than one at each of its lines.
    for (let from = first; from < this.count; from += SEARCH_ROWS) {
      const to = Math.min(this.count, from + SEARCH_ROWS);
      const end = to < this.count ? this.#starts[to] : this.length;
      const block = decoder.decode(this.#bytes.subarray(this.#starts[from], end)).toLowerCase();
      if (!block.includes(text) && !HIDDEN_WORD.test(text)) continue;
      for (let number = from; number < to; number += 1) if (this.row(number).text.toLowerCase().includes(text)) hits.push(number);
    }
    return hits;
  }
}
