// The one event stream of a page: nothing lost, nothing doubled, over reconnects, sleep and restarts of the server.
//
// The stream is read with fetch instead of EventSource: that tells a 401 from a cut, hears every type of event, and sees
// the server's beat, so that a half-open connection is noticed. Events carry the log's sequence; after a cut the stream
// goes on after the last one that was handled.
//
// A page has <body data-stream="/api/v1/…/stream" data-sequence="123">; its scripts call `onEvents(handler)`.

import { word } from "./words.js";
import { clock } from "./times.js";

const BEAT_MS = 15_000;
const SILENCE_MS = 2.5 * BEAT_MS;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
const SAY_AFTER_MS = 1_500;
const CAUGHT_UP_SHOWN_MS = 4_000;

const handlers = new Set();
const states = new Set();
const asides = new Set();
const source = document.body.dataset.stream;
let last = Number(document.body.dataset.sequence || 0);
let failures = 0;
let since = null;
let heard = performance.now();
let cut = null;
let waiting = null;

/** `handler(events)` is called with what came in, in order, at most once per animation frame. Returns how to leave. */
export function onEvents(handler) {
  handlers.add(handler);
  return () => handlers.delete(handler);
}

/** `handler(event)` is called with what stands beside the log: it has a type and no sequence, and is not kept. */
export function onAside(handler) {
  asides.add(handler);
  return () => asides.delete(handler);
}

/** `handler({connected, since})` is called when the connection changes. */
export function onConnection(handler) {
  states.add(handler);
  return () => states.delete(handler);
}

/** The sequence of the last event that was handled. */
export const sequence = () => last;

/** Go on after `value`, where a page has loaded something newer than its stream. */
export function advance(value) {
  if (value > last) last = value;
}

// -- handing out -----------------------------------------------------------------------------------------------------

let batch = [];
let planned = false;

function hand(event) {
  if (typeof event.sequence !== "number") {
    for (const handler of asides) handler(event);
    return;
  }
  if (event.sequence <= last) return; // told twice, shown once
  last = event.sequence;
  batch.push(event);
  if (planned) return;
  planned = true;
  // A hidden page gets no animation frames; it must still keep its title and badge right.
  (document.hidden ? (run) => setTimeout(run, 50) : requestAnimationFrame)(flush);
}

function flush() {
  planned = false;
  const events = batch;
  batch = [];
  for (const handler of handlers) {
    try {
      handler(events);
    } catch (error) {
      console.error(error); // one handler's defect must not stop the others
    }
  }
}

// -- the line that says how the connection is ------------------------------------------------------------------------

const line = document.querySelector("#live-line");
let hiding = null;

function say(text, kind = "") {
  if (!line) return;
  clearTimeout(hiding);
  line.textContent = text;
  line.className = `live-line ${kind}`;
  line.hidden = !text;
}

function connected() {
  failures = 0;
  if (since !== null) {
    since = null;
    if (!line?.hidden) {
      say(word("live-caught-up"), "caught-up");
      hiding = setTimeout(() => say(""), CAUGHT_UP_SHOWN_MS);
    }
  }
  for (const handler of states) handler({ connected: true, since: null });
}

function behind() {
  since ??= Date.now();
  setTimeout(() => {
    if (since !== null) say(word("live-behind", { time: clock(since) }));
  }, SAY_AFTER_MS);
  for (const handler of states) handler({ connected: false, since });
}

function signedOut() {
  say(word("live-signed-out"));
  const link = document.createElement("a");
  link.href = `/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`;
  link.textContent = word("live-sign-in");
  line?.append(" ", link);
}

// -- reading ---------------------------------------------------------------------------------------------------------

async function follow() {
  for (;;) {
    const ended = await once();
    if (ended === "signed out") return signedOut();
    behind();
    const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** failures++);
    await new Promise((go) => {
      waiting = go;
      setTimeout(go, longest * (0.5 + Math.random() / 2));
    });
    waiting = null;
  }
}

async function once() {
  cut = new AbortController();
  heard = performance.now();
  try {
    const url = `${source}${source.includes("?") ? "&" : "?"}after=${last}`;
    const headers = { accept: "text/event-stream", "last-event-id": String(last) };
    const answer = await fetch(url, { headers, signal: cut.signal, cache: "no-store" });
    if (answer.status === 401 || answer.status === 403) return "signed out";
    if (!answer.ok) return "refused";
    connected();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return "ended";
      heard = performance.now();
      text += value;
      const parts = text.split("\n\n");
      text = parts.pop();
      for (const part of parts) {
        const data = part.split("\n").filter((one) => one.startsWith("data: ")).map((one) => one.slice(6)).join("\n");
        if (data) hand(JSON.parse(data));
      }
    }
  } catch {
    return "cut";
  }
}

// A laptop that wakes up, or a network that is back, need not wait for the next try.
function look() {
  if (performance.now() - heard > SILENCE_MS) cut?.abort();
  failures = 0;
  waiting?.();
}

if (source) {
  follow();
  setInterval(() => { if (performance.now() - heard > SILENCE_MS) cut?.abort(); }, BEAT_MS / 3);
  addEventListener("online", look);
  addEventListener("offline", () => cut?.abort());
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  addEventListener("pageshow", (event) => { if (event.persisted) look(); });
}
