// The page: which of the pages it is, what stands on top of each, and when they are told. Drawn at most once a frame of the
// screen, however much comes in.

import { act, say } from "./acts.js";
import { AlertsPage, counts } from "./alerts.js";
import { BedPage } from "./bed.js";
import { el, text } from "./dom.js";
import { keep, kept } from "./keep.js";
import { signOut } from "./session.js";
import { allow, audible, sound } from "./sound.js";
import { connect, current, now, onChange, store, watched } from "./store.js";
import { themed } from "./theme.js";
import { measureAgain } from "./tile.js";
import { WardPage } from "./ward.js";
import { clock, MARKS, span } from "./words.js";

const PAGES = { "/": WardPage, "/alerts": AlertsPage, "/bed": BedPage };
const TITLES = { "/": "Ward", "/alerts": "Alerts", "/bed": "Bed" };
const TICK = 500; // milliseconds between two looks at what time alone changes

const root = document.documentElement;
const part = (id) => document.getElementById(id);
let page = null;
let pending = null;
let soundWanted = kept("sound", "off") === "on";

// --- pages ---

function open() {
  page?.close();
  part("page").replaceChildren();
  part("tools").replaceChildren();
  const path = PAGES[location.pathname] ? location.pathname : "/";
  root.dataset.page = path === "/" ? "ward" : path.slice(1);
  page = new PAGES[path](part("tools"), part("page"), new URLSearchParams(location.search));
  for (const link of document.querySelectorAll("[data-page]")) {
    if (link.dataset.page === path) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${TITLES[path]} – VitalFlow`;
  if (store.hello) page.update({ whole: true, beds: new Set(store.beds.keys()), gone: [], alerts: true, state: true });
}

export function go(address) {
  history.pushState(null, "", address);
  open();
  window.scrollTo(0, 0);
  part("page").focus({ preventScroll: true });
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const address = new URL(link.href);
  if (address.origin !== location.origin || !PAGES[address.pathname] || address.hash) return;
  event.preventDefault();
  go(address.pathname + address.search);
});
addEventListener("popstate", open);

// --- being told ---

onChange((changed) => {
  if (!pending) {
    pending = { whole: false, beds: new Set(), gone: [], alerts: false, state: false };
    requestAnimationFrame(draw);
  }
  pending.whole ||= changed.whole;
  pending.alerts ||= changed.alerts;
  pending.state ||= changed.state;
  pending.gone.push(...changed.gone);
  for (const device of changed.beds) pending.beds.add(device);
});

function draw() {
  const changed = pending;
  pending = null;
  page.update(changed);
  if (changed.alerts || changed.whole) {
    showCounts();
    signal();
  }
  if (changed.state || changed.whole) showState();
}

setInterval(() => {
  const at = now();
  text(part("clock"), clock(at));
  if (store.hello) page.tick(at);
  showState();
  signal();
}, TICK);

// --- on top ---

function showCounts() {
  const alerts = [...store.alerts.values()];
  part("counts").replaceChildren(...counts(alerts).map(([priority, of]) => {
    const loud = of.some((alert) => alert.state === "active");
    return el("span", { class: "count", data: { priority, loud: String(loud) } }, `${MARKS[priority]} ${of.length}`, el("span", { class: "unseen" }, ` ${priority}`));
  }));
}

function showState() {
  const at = now();
  root.dataset.link = store.link;
  root.dataset.stale = String(!current() && store.link !== "connecting");
  root.dataset.watched = String(watched());
  const told = { connecting: "Connecting", live: "Live", behind: "Behind", lost: "Lost" }[store.link];
  const away = store.away.some((one) => one.name === "broker");
  text(part("link"), away && store.link === "live" ? "Broker away" : told);
  part("link").dataset.well = String(current());
  const sentences = [];
  if (store.link === "lost") sentences.push(["bad", `This page has lost the station: nothing on it is current. ${since(store.lostAt, at)}`]);
  if (store.link === "behind") sentences.push(["bad", "This browser cannot keep up: what it shows is several seconds old"]);
  for (const one of store.link === "lost" ? [] : store.away) {
    const grave = one.name === "broker" || one.name.startsWith("alerts");
    sentences.push([grave ? "bad" : "odd", `${one.text}. ${since(one.since, at)}`]);
  }
  const banner = part("banner");
  while (banner.children.length > sentences.length) banner.lastChild.remove();
  sentences.forEach(([how, sentence], place) => {
    const line = banner.children[place] ?? banner.appendChild(el("p"));
    line.dataset.how = how;
    text(line, sentence);
  });
  showSound();
  showPerson();
}

function since(milliseconds, at) {
  return `Since ${clock(milliseconds)} (${span((at - milliseconds) / 1000)})`;
}

// IEC 60601-1-8: high blinks about twice a second, medium once in two; well below what harms anybody. By the clock and not
// by an animation, which would have the browser draw sixty times a second for it.
let beats = 0;
setInterval(() => {
  beats += 1;
  root.dataset.quick = String(beats % 2);
  if (beats % 3 === 0) root.dataset.slow = String((beats / 3) % 2);
}, 300);

// --- sound ---

function signal() {
  const concerned = [...store.alerts.values()].filter((alert) => page.concerns?.(alert) ?? true);
  const worst = soundWanted && current() ? sound(concerned) : null;
  root.dataset.sounding = worst && audible() ? worst : "none";
}

function showSound() {
  const button = part("sound");
  const heard = soundWanted && audible();
  button.setAttribute("aria-pressed", String(soundWanted));
  button.dataset.blocked = String(soundWanted && !heard);
  text(button, !soundWanted ? "Sound off" : heard ? "Sound on" : "Sound blocked, press");
}

async function setSound(on) {
  soundWanted = on;
  keep("sound", on ? "on" : "off");
  await allow(on);
  signal();
  showSound();
}

part("sound").addEventListener("click", () => setSound(!soundWanted || !audible()));
// A browser forgets at every load that it may sound; the first touch of the page reminds it.
for (const touch of ["pointerdown", "keydown"]) {
  addEventListener(touch, () => { if (soundWanted && !audible()) allow(true).then(showSound); });
}

// --- who is signed in ---

function showPerson() {
  const person = store.hello?.person;
  part("person").hidden = !person;
  if (!person) return;
  text(part("person-name"), person.name);
  part("person").setAttribute("aria-label", `Signed in as ${person.name}`);
  part("person").title = person.name;
}

function showLogin() {
  const person = store.hello?.person;
  if (!person) return;
  const wards = (of) => (of === null ? "all wards" : of.length ? of.join(", ") : "no ward yet");
  const acts = person.acts !== null && person.acts.length === 0
    ? "You may look, and change nothing."
    : `You may acknowledge, pause and set limits in ${wards(person.acts)}. Your name stands beside what you acknowledge.`;
  const close = el("button", { type: "button" }, "Close");
  const out = el("button", { type: "button", class: "primary" }, "Sign out");
  const dialog = el("dialog", { "aria-labelledby": "login-title" },
    el("h2", { id: "login-title" }, "Signed in as ", el("bdi", {}, person.name)),
    el("p", {}, "You see ", el("bdi", {}, wards(person.sees)), ". ", person.sees?.length === 0 ? "" : acts),
    el("div", { class: "buttons" }, close, out));
  document.body.append(dialog);
  close.addEventListener("click", () => dialog.close());
  out.addEventListener("click", () => signOut().catch(() => {
    dialog.close();
    say("You are not signed out: the station does not answer", true);
  }));
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
}

part("person").addEventListener("click", showLogin);

// --- day and night ---

function redraw() {
  measureAgain();
  if (page && store.hello) page.update({ whole: true, beds: new Set(), gone: [], alerts: true, state: false });
}

// --- keys ---

const KEYS = [
  ["w", "Ward"], ["l", "Alerts"], ["← ↑ ↓ →", "From bed to bed"], ["Enter", "Open the bed"],
  ["a", "Acknowledge the alert that has the focus, or the worst of that bed"], ["p", "Pause its audio for two minutes"],
  ["s", "Sound on or off"], ["t", "Day or night"], ["n", "Who is signed in; sign out"], ["?", "This list"],
];

function help() {
  const close = el("button", { type: "button", class: "primary" }, "Close");
  const dialog = el("dialog", { "aria-labelledby": "help-title" },
    el("h2", { id: "help-title" }, "Keys"),
    el("dl", { class: "keys" }, ...KEYS.flatMap(([key, what]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, what)])),
    el("p", {}, "!!! high: at once. !! medium: promptly. ! low: be aware. Marks in brackets are about the equipment. ▲ and ▼ stand before a value beyond its critical limit; a paler value was measured earlier."),
    el("p", {}, "VitalFlow is not a medical device. Do not rely on it to watch a patient."),
    el("div", { class: "buttons" }, close));
  document.body.append(dialog);
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
}

part("help").addEventListener("click", help);

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, select, textarea, dialog")) return;
  const does = {
    w: () => go("/"),
    l: () => go("/alerts"),
    s: () => setSound(!soundWanted || !audible()),
    t: () => part("theme").click(),
    n: showLogin,
    "?": help,
    a: () => onSelected("acknowledge"),
    p: () => onSelected("pause_audio"),
  }[event.key];
  if (does) {
    event.preventDefault();
    does();
  }
});

function onSelected(action) {
  const alert = page.selected?.();
  if (alert) act(alert, action);
  else say("Select a bed or an alert first, with Tab or the arrows", true);
}

themed(part("theme"), redraw);
open();
connect();
