// The session page: what happens is shown as it happens. The server says everything in words; this script fetches the
// parts that changed (at most once a second), keeps what the reader has opened, and sends NOW's forms without a reload.

import { onEvents, onAside, advance } from "./live.js";
import { refreshTimes } from "./times.js";
import { morph, parse } from "./session/morph.js";
import { focusFirst, focusForm, goToNow, keepFault, keepKeys, leaveForm, lost, now } from "./session/now.js";
import { mount, told, viewOf } from "./session/output.js";
import { startKeys } from "./session/keys.js";

const id = document.body.dataset.session;
const here = `/sessions/${id}`;
const ONCE_MS = 1_000; // text changes at most once a second
const STRIP_MS = 10_000; // how long the computer may not have been asked about
const MANY = 20;

const state = {
  prompts: new Set(), // requests whose rows have to be looked at
  open: new Set(), // steps whose bodies have to be looked at
  callPrompt: new Map(), // step -> request
  item: new URLSearchParams(location.search).get("item"),
  act: new URLSearchParams(location.search).get("act"),
  more: {}, // what else the open form was asked with
  last: 0,
  busy: false,
  sending: false,
  again: false,
  wanted: {},
  timer: 0,
  failed: 0,
};

const transcript = document.getElementById("transcript");
for (const step of document.querySelectorAll(".step")) state.callPrompt.set(step.id, step.closest("[data-request]").id);

// -- looking again ---------------------------------------------------------------------------------------------------

/** Looks again soon: at once where nothing changed for a second, else when the second is over. */
function soon(wait = 0) {
  clearTimeout(state.timer);
  const due = Math.max(wait, state.last + ONCE_MS - performance.now(), 30);
  state.timer = setTimeout(look, due);
}

const first = (set) => [...set].slice(0, MANY); // the rest is asked for next

function query(extra = {}) {
  const asked = new URLSearchParams();
  if (state.prompts.size) asked.set("prompts", first(state.prompts).join(","));
  if (state.open.size) asked.set("open", first(state.open).join(","));
  if (state.item) asked.set("item", state.item);
  if (state.act) {
    asked.set("act", state.act);
    for (const [name, value] of Object.entries(state.more)) asked.set(name, value);
    const form = now();
    if (form?.dataset.form === state.act && form.dataset.seen && !extra.fresh) asked.set("seen", form.dataset.seen);
  }
  return asked;
}

async function look(extra = {}) {
  if (state.busy || state.sending) {
    state.again = true;
    state.wanted = { ...state.wanted, ...extra };
    return;
  }
  extra = { ...state.wanted, ...extra };
  state.wanted = {};
  state.busy = true;
  clearTimeout(state.timer);
  const asked = query(extra);
  const taken = { prompts: first(state.prompts), open: first(state.open) };
  for (const one of taken.prompts) state.prompts.delete(one);
  for (const one of taken.open) state.open.delete(one);
  try {
    const answer = await fetch(`${here}/parts?${asked}`, { headers: { "x-caisey-part": "1" }, cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    show(await answer.text(), extra);
    state.failed = 0;
  } catch {
    // What could not be fetched is asked for again; the live line says that we are behind.
    for (const one of taken.prompts) state.prompts.add(one);
    for (const one of taken.open) state.open.add(one);
    state.failed += 1;
  } finally {
    state.busy = false;
    state.last = performance.now();
    if (state.again || state.prompts.size || state.open.size) {
      state.again = false;
      if (state.wanted.fresh) state.last = 0; // somebody pressed something: that does not wait
      soon(state.failed ? Math.min(10_000, 500 * 2 ** state.failed) : 0);
    } else {
      rest();
    }
  }
}

/** When to look again though nothing happens: words have an age in them, and the computer's proof too. */
function rest() {
  const part = now();
  const wait = document.hidden ? 30_000 : Math.min(Number(part?.dataset.again || STRIP_MS), STRIP_MS);
  clearTimeout(state.timer);
  state.timer = setTimeout(() => {
    const prompt = now()?.dataset.prompt;
    if (prompt && Number(now().dataset.again) < STRIP_MS) state.prompts.add(prompt);
    look();
  }, Math.max(wait, ONCE_MS));
}

// -- showing ---------------------------------------------------------------------------------------------------------

function show(html, { focus, fresh: anew } = {}) {
  const fresh = parse(html);
  const root = fresh.getElementById("parts");
  if (!root) return;
  const before = { entry: now()?.dataset.entry, item: now()?.dataset.item };
  for (const part of [...root.children]) {
    const present = document.getElementById(part.id);
    if (part.id === "now" && present && !anew) {
      keepFault(present, part);
      keepKeys(present, part);
    }
    if (present) morph(present, part);
    else if (part.dataset.request !== undefined) add(part);
    else if (part.dataset.steps !== undefined) document.querySelector(".steps-sheet").append(document.importNode(part, true));
  }
  for (const step of root.querySelectorAll(".step")) state.callPrompt.set(step.id, step.closest("[data-request]").id);
  openNewest();
  ready(document);
  announce(before);
  if (focus) focusForm(focus);
  if (stays) toBottom();
  for (const view of document.querySelectorAll(".pane[data-mounted]")) viewOf(view)?.renew();
}

// A request that is new here, in its place.
function add(part) {
  if (transcript.dataset.older !== undefined) return; // the newest ones are on another page
  const number = Number(part.dataset.number);
  const shown = [...transcript.querySelectorAll("[data-request]")];
  if (shown.length && number < Number(shown[0].dataset.number)) return; // among the earlier ones, which are not shown
  const made = document.importNode(part, true);
  const next = shown.find((one) => Number(one.dataset.number) > number) ?? document.getElementById("end-of-transcript");
  transcript.insertBefore(made, next);
  document.getElementById("no-requests")?.remove();
}

// The newest step that was sent is open, once: whoever closes it has closed it.
function openNewest() {
  const requests = transcript.querySelectorAll("[data-request]");
  const sent = requests[requests.length - 1]?.querySelectorAll('.step:not([data-state="pending"])') ?? [];
  const step = sent[sent.length - 1];
  if (!step || step.dataset.touched !== undefined || transcript.dataset.older !== undefined) return;
  step.dataset.touched = "";
  if (step.open) return;
  step.open = true;
  loadBody(step);
}

function ready(within) {
  refreshTimes(within);
  for (const step of within.querySelectorAll(".step[open]")) for (const pane of step.querySelectorAll(".pane:not([data-mounted])")) {
    if (pane.closest("details:not([open])") === null) mount(pane);
  }
}

function loadBody(step) {
  const body = step.querySelector(".body");
  if (body?.dataset.empty === undefined) return ready(step.parentElement);
  state.open.add(step.id);
  state.prompts.add(step.closest("[data-request]").id);
  state.last = 0;
  soon();
}

// Who reads at the end stays at the end; who has scrolled up is left alone, until they ask for something themselves.
const atBottom = () => transcript.scrollHeight - transcript.scrollTop - transcript.clientHeight < 80;
const toBottom = () => {
  transcript.scrollTop = transcript.scrollHeight;
  const steps = document.getElementById("steps");
  steps.scrollTop = steps.scrollHeight;
};
let stays = true;
transcript.addEventListener("scroll", () => { stays = atBottom(); }, { passive: true });
transcript.addEventListener("grew", () => { if (stays) toBottom(); });

const say = document.getElementById("say");
const sayNow = document.getElementById("say-now");

// Only changes of the label are spoken, each once; what needs somebody is spoken at once.
function announce(before) {
  const part = now();
  const label = part?.querySelector("#now-title")?.textContent.trim() ?? "";
  const bar = document.getElementById("now-bar");
  bar.textContent = part?.dataset.entry ? `${label} ▸` : "";
  bar.className = `now-bar ${[...(part?.classList ?? [])].filter((one) => one.startsWith("tone-")).join(" ")}`;
  if (part?.dataset.entry !== before.entry || part?.dataset.item !== before.item) {
    (part?.dataset.tone === "ask" || part?.dataset.tone === "alarm" ? sayNow : say).textContent = label;
    document.title = part?.dataset.entry ? `${label} · ${titleRest}` : titleRest;
  }
}
const titleRest = document.title.split(" · ").slice(now()?.dataset.entry ? 1 : 0).join(" · ");

// -- events ----------------------------------------------------------------------------------------------------------

onEvents((events) => {
  let work = false;
  for (const event of events) {
    const { type, payload } = event;
    if (type === "attempt.output") {
      told(payload.tool_call_id, payload.number, payload.stream, payload.offset + payload.length);
      continue;
    }
    work = true;
    if (type === "prompt.accepted") {
      for (const call of payload.calls) state.callPrompt.set(call.id, payload.prompt_id);
      if (event.actor.id === document.body.dataset.member) stays = true;
    }
    if (type === "tool_call.replaced") state.callPrompt.set(payload.call.id, state.callPrompt.get(payload.tool_call_id));
    const prompt = payload.prompt_id ?? state.callPrompt.get(payload.tool_call_id);
    if (prompt) touch(prompt);
  }
  if (work) soon();
});

function touch(prompt) {
  state.prompts.add(prompt);
  const section = document.getElementById(prompt);
  for (const step of section?.querySelectorAll(".step[open]") ?? []) state.open.add(step.id);
}

onAside((event) => {
  if (event.type === "presence") soon();
});

// -- what the reader does --------------------------------------------------------------------------------------------

document.addEventListener("toggle", (event) => {
  const details = event.target;
  if (details.classList?.contains("step")) details.dataset.touched = "";
  if (!(details instanceof HTMLDetailsElement) || !details.open) return;
  if (details.classList.contains("step")) loadBody(details);
  else ready(details.parentElement);
}, true);

document.addEventListener("click", (event) => {
  if (event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const link = event.target.closest?.("a");
  if (!link) return;
  if (link.matches("[data-open-form], [data-go]")) {
    event.preventDefault();
    openForm(new URL(link.href).searchParams, link);
  } else if (link.getAttribute("href")?.startsWith("#")) {
    const target = document.getElementById(link.getAttribute("href").slice(1));
    if (target?.classList.contains("step")) reveal(target);
    if (target?.id === "now") { event.preventDefault(); goToNow(); }
  } else if (link.matches("[data-older]")) {
    event.preventDefault();
    older(link);
  }
});

/** Opens, changes or closes a form in NOW. */
export function openForm(parameters, from = null) {
  state.item = parameters.get("item");
  state.act = parameters.get("act");
  state.more = {};
  for (const name of ["from", "secret"]) if (parameters.get(name)) state.more[name] = parameters.get(name);
  const shown = new URLSearchParams();
  if (state.item) shown.set("item", state.item);
  if (state.act) shown.set("act", state.act);
  history.replaceState(history.state, "", `${here}${shown.size ? `?${shown}` : ""}`);
  look({ fresh: true, focus: state.act ? "form" : from?.dataset.back !== undefined ? "panel" : null });
}

/** A step in sight, opened. */
export function reveal(step, { focus = true } = {}) {
  step.open = true;
  loadBody(step);
  for (const other of document.querySelectorAll(".step.here")) other.classList.remove("here");
  step.classList.add("here");
  step.scrollIntoView({ block: "nearest" });
  if (focus) step.querySelector("summary").focus({ preventScroll: true });
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches?.("[data-act]")) return;
  event.preventDefault();
  if (state.sending) return; // pressed twice: sent once
  state.sending = true; // nothing is exchanged under the hand
  const button = event.submitter ?? form.querySelector("[type=submit]");
  button?.setAttribute("aria-disabled", "true");
  const asked = query();
  try {
    const answer = await fetch(`${form.getAttribute("action")}?${asked}`, {
      method: "POST",
      headers: { "x-caisey-part": "1" },
      body: new URLSearchParams(new FormData(form)),
    });
    const html = await answer.text();
    if (answer.status === 401) return location.assign(`/sign-in?next=${encodeURIComponent(here)}`);
    if (answer.ok) {
      state.act = null;
      state.item = null;
      state.more = {};
      history.replaceState(history.state, "", here);
      leaveForm();
    }
    state.sending = false;
    show(html, { focus: answer.ok ? "panel" : "form", fresh: true });
    now().scrollIntoView({ block: "nearest" });
    soon();
  } catch {
    // Not known if it came there: the same key makes the next press the same request.
    state.sending = false;
    button?.removeAttribute("aria-disabled");
    lost();
  }
});

async function older(link) {
  const answer = await fetch(link.href, { cache: "no-store" });
  if (!answer.ok) return location.assign(link.href);
  const fresh = parse(await answer.text());
  const place = link.closest(".older");
  const height = transcript.scrollHeight;
  const more = fresh.querySelector("[data-older]")?.closest(".older");
  const made = [...fresh.querySelectorAll("[data-request]")].map((one) => document.importNode(one, true));
  for (const one of made) for (const step of one.querySelectorAll(".step")) {
    state.callPrompt.set(step.id, one.id);
    step.open = false;
  }
  place.after(...made);
  if (more) place.replaceChildren(...document.importNode(more, true).childNodes);
  else place.remove();
  refreshTimes(transcript);
  transcript.scrollTop += transcript.scrollHeight - height;
}

// -- the bar that leads back to NOW on a phone -----------------------------------------------------------------------

const bar = document.getElementById("now-bar");
const strip = document.getElementById("strip");
new ResizeObserver(() => { bar.style.top = `${strip.offsetHeight}px`; }).observe(strip);
new IntersectionObserver(([seen]) => { bar.hidden = seen.isIntersecting || !now()?.dataset.entry; }, { threshold: 0.05 }).observe(now());

// -- links to a step or a line ---------------------------------------------------------------------------------------

async function followLink() {
  const [call, attempt, stream, offset] = decodeURIComponent(location.hash.slice(1)).split("~");
  const step = document.getElementById(call);
  if (!step && call.startsWith("tcl_") && !new URLSearchParams(location.search).has("step")) {
    // Among the earlier requests: the server knows where.
    return location.replace(`${here}?step=${encodeURIComponent(call)}${location.hash}`);
  }
  if (!step?.classList.contains("step")) return false;
  reveal(step, { focus: false });
  if (offset === undefined || !/^\d+$/.test(offset)) return true;
  for (let tries = 0; tries < 100; tries += 1) {
    const pane = document.getElementById(`pane-${call}-${attempt}-${stream}`);
    if (pane) {
      mount(pane).goTo(Number(offset));
      return true;
    }
    await new Promise((go) => setTimeout(go, 50));
  }
  return true;
}
addEventListener("hashchange", followLink);

// -- begin -----------------------------------------------------------------------------------------------------------

try {
  localStorage.setItem("caisey.last-session", here);
} catch { /* storage may be closed to us */ }
if (matchMedia("(max-width: 999px)").matches) document.querySelector(".steps-sheet")?.removeAttribute("open");
ready(document);
announce({ entry: now()?.dataset.entry, item: now()?.dataset.item });
startKeys({ openForm, focusFirst, goToNow, reveal });
if (location.hash && location.hash !== "#now") followLink();
else if (!new URLSearchParams(location.search).get("before")) toBottom();
if (state.act) focusForm("form");
document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
rest();
document.body.dataset.ready = "";
performance.mark("ready");
export { advance };
