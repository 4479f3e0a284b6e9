// The application: which page is shown, the bar on top of it, keys and sound. Drawn at most once per animation frame,
// however many messages arrive.

import { AlertsPage, groupByPriority } from "./alerts.js";
import { sendAlertCommand } from "./api.js";
import { BedPage } from "./bed.js";
import { byId, el, openDialog, setText } from "./dom.js";
import { formatDuration, formatTime, PRIORITY_MARKS } from "./format.js";
import { showNotice } from "./notice.js";
import { openPasswordForm } from "./password.js";
import { ReportPage } from "./report.js";
import { ReviewPage } from "./review.js";
import { signOut } from "./session.js";
import { enableAudio, isAudible, playSound, ScreenPause, soundCauses } from "./sound.js";
import { load, save } from "./storage.js";
import {
  alertsAreMonitored, isCurrent, losses, mayModify, noChanges, now, onChange, preventsAlarms, STACK_WARD, store,
} from "./store.js";
import { connect } from "./stream.js";
import { setTabAlerts, setTabName } from "./tab.js";
import { initTheme } from "./theme.js";
import { invalidateLayout } from "./tile.js";
import { WardPage } from "./ward.js";

/** @type {Record<string, any>} */
const PAGES = { "/": WardPage, "/alerts": AlertsPage, "/review": ReviewPage, "/bed": BedPage, "/report": ReportPage };
/** @type {Record<string, string>} */
const TITLES = { "/": "Ward", "/alerts": "Alerts", "/review": "Review", "/bed": "Bed", "/report": "Report" };
const TICK_MS = 500; // between two updates of what depends on the clock alone

const root = document.documentElement;
/** @type {any} */
let page = null;
/** @type {import("./types.js").Changes | null} */
let pending = null;
let soundWanted = load("sound", "off") === "on";
let screenPause = new ScreenPause();

// --- pages ---

function openPage() {
  page?.close();
  byId("page").replaceChildren();
  byId("tools").replaceChildren();
  const path = PAGES[location.pathname] ? location.pathname : "/";
  root.dataset.page = path === "/" ? "ward" : path.slice(1);
  page = new PAGES[path](byId("tools"), byId("page"), new URLSearchParams(location.search));
  for (const link of document.querySelectorAll("[data-page]")) {
    if (/** @type {HTMLElement} */ (link).dataset.page === path) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  setTabName(TITLES[path]);
  redraw();
}

/** @param {string} url */
function navigate(url) {
  history.pushState(null, "", url);
  openPage();
  window.scrollTo(0, 0);
  byId("page").focus({ preventScroll: true });
}

document.addEventListener("click", (event) => {
  const link = /** @type {HTMLAnchorElement | null} */ (/** @type {Element} */ (event.target).closest?.("a[href]"));
  if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const url = new URL(link.href);
  if (url.origin !== location.origin || !PAGES[url.pathname] || url.hash) return;
  event.preventDefault();
  navigate(url.pathname + url.search);
});
addEventListener("popstate", openPage);

// --- changes ---

onChange((changes) => {
  if (!pending) {
    pending = noChanges();
    requestAnimationFrame(draw);
  }
  pending.snapshot ||= changes.snapshot;
  pending.alerts ||= changes.alerts;
  pending.state ||= changes.state;
  pending.removed.push(...changes.removed);
  for (const device of changes.beds) pending.beds.add(device);
});

function draw() {
  const changes = pending ?? noChanges();
  pending = null;
  page.update(changes);
  if (changes.alerts || changes.snapshot) {
    showCounts();
    updateSound();
  }
  if (changes.state || changes.snapshot) showState();
}

function redraw() {
  invalidateLayout();
  if (page && store.hello) page.update({ ...noChanges(), snapshot: true, beds: new Set(store.beds.keys()), alerts: true });
}

setInterval(() => {
  const at = now();
  setText(byId("clock"), formatTime(at));
  if (store.hello) page.tick(at);
  showState();
  updateSound();
}, TICK_MS);

// --- the bar on top ---

function showCounts() {
  const groups = groupByPriority([...store.alerts.values()]);
  byId("counts").replaceChildren(...groups.map(([priority, group]) => {
    const active = group.some((alert) => alert.state === "active");
    return el("span", { class: "count", data: { priority, active: String(active) } }, `${PRIORITY_MARKS[priority]} ${group.length}`, el("span", { class: "visually-hidden" }, ` ${priority}`));
  }));
}

function showState() {
  const at = now();
  root.dataset.link = store.link;
  root.dataset.stale = String(!isCurrent() && store.link !== "connecting");
  root.dataset.monitored = String(alertsAreMonitored());
  const text = { connecting: "Connecting", live: "Live", behind: "Delayed", lost: "Disconnected" }[store.link];
  const noBroker = store.outages.some((outage) => outage.name === "broker");
  setText(byId("link"), noBroker && store.link === "live" ? "No data" : text);
  byId("link").dataset.current = String(isCurrent());
  const messages = [];
  if (store.link === "lost") {
    messages.push(["severe", `No connection to the station. Nothing on this page is current. Watch the patients directly. ${since(store.lostAt, at)}`]);
  } else {
    if (store.link === "behind") messages.push(["severe", "This computer is too slow: the values on this page are several seconds old. Watch the patients directly."]);
    for (const outage of store.outages) {
      messages.push([preventsAlarms(outage) ? "severe" : "minor", `${outage.text} ${since(outage.since, at)}`]);
    }
  }
  const banner = byId("banner");
  while (banner.children.length > messages.length) banner.lastChild.remove();
  messages.forEach(([severity, message], index) => {
    const line = banner.children[index] ?? banner.appendChild(el("p"));
    line.dataset.severity = severity;
    setText(line, message);
  });
  setTabAlerts(groupByPriority([...store.alerts.values()]), isCurrent() || store.link === "connecting");
  showSound();
  showUser();
}

/**
 * @param {number} milliseconds unix time
 * @param {number} at unix time in milliseconds
 */
function since(milliseconds, at) {
  return `Since ${formatTime(milliseconds)} (${formatDuration((at - milliseconds) / 1000)}).`;
}

// IEC 60601-1-8: high priority flashes at 1.4 to 2.8 Hz, medium at 0.4 to 0.8 Hz. A timer and not an animation, for which
// the browser would draw sixty times a second.
let beats = 0;
setInterval(() => {
  beats += 1;
  root.dataset.quick = String(beats % 2);
  if (beats % 3 === 0) root.dataset.slow = String((beats / 3) % 2);
}, 300);

// --- sound ---

function causesOfSound() {
  const alerts = [...store.alerts.values()].filter((alert) => page.includes?.(alert) ?? true);
  return soundCauses(alerts, losses(), now(), mayModify, STACK_WARD);
}

function updateSound() {
  const causes = screenPause.filter(causesOfSound(), now());
  const priority = soundWanted ? playSound(causes) : null;
  root.dataset.sounding = priority && isAudible() ? priority : "none";
}

function showSound() {
  const button = byId("sound");
  const audible = soundWanted && isAudible();
  button.setAttribute("aria-pressed", String(soundWanted));
  button.dataset.blocked = String(soundWanted && !audible);
  setText(button, !soundWanted ? "Sound off" : audible ? "Sound on" : "Sound blocked");
  showSoundNote(audible);
}

/**
 * Say beside the alarms that they are not heard, or offer to pause what cannot be acknowledged here.
 * @param {boolean} audible
 */
function showSoundNote(audible) {
  const causes = causesOfSound().filter((cause) => cause.onScreen);
  const left = (screenPause.until - now()) / 1000;
  const paused = left > 0 && screenPause.filter(causes, now()).length < causes.length;
  byId("sound-note").hidden = audible && causes.length === 0;
  const text = !audible ? "Sound is off: alarms are shown, not heard."
    : paused ? `The sound of these alarms is paused on this screen for ${formatDuration(left)}.` : "The alarm is sounding on this screen.";
  setText(byId("sound-note-text"), text);
  setText(byId("sound-note-button"), !audible ? "Turn sound on" : paused ? "Resume sound" : "Pause sound for 2 min");
}

function pressSoundNote() {
  if (!soundWanted || !isAudible()) {
    setSound(true);
    return;
  }
  const causes = causesOfSound();
  if (screenPause.filter(causes, now()).length < causes.length) screenPause = new ScreenPause();
  else screenPause.start(causes, now());
  updateSound();
  showSound();
}

/** @param {boolean} on */
async function setSound(on) {
  soundWanted = on;
  save("sound", on ? "on" : "off");
  await enableAudio(on);
  updateSound();
  showSound();
}

const toggleSound = () => setSound(!soundWanted || !isAudible());
byId("sound").addEventListener("click", toggleSound);
byId("sound-note-button").addEventListener("click", pressSoundNote);
// A browser forgets at every load that the page may play sound, unless the user has just signed in; the first input
// allows it again.
if (soundWanted) enableAudio(true).then(showSound);
for (const input of ["pointerdown", "keydown"]) {
  addEventListener(input, () => { if (soundWanted && !isAudible()) enableAudio(true).then(showSound); });
}

// --- the user ---

function showUser() {
  const user = store.hello?.user;
  const button = byId("user");
  button.hidden = !user;
  if (!user) return;
  setText(byId("user-name"), user.name);
  button.setAttribute("aria-label", `Signed in as ${user.name}`);
  button.title = user.name;
}

function openUserDialog() {
  const user = store.hello?.user;
  if (!user) return;
  /** @param {string[] | null} names */
  const wards = (names) => {
    const ofPatients = names?.filter((name) => name !== STACK_WARD);
    return !ofPatients ? "all wards" : ofPatients.length ? ofPatients.join(", ") : "no wards";
  };
  const rights = user.actionable?.length === 0
    ? "You have read-only access."
    : `You can acknowledge alerts, pause the audio and set limits in ${wards(user.actionable)}. Your name is recorded with each acknowledgement.`;
  const close = el("button", { type: "button" }, "Close");
  const change = el("button", { type: "button" }, "Change password");
  const out = el("button", { type: "button", class: "primary" }, "Sign out");
  const dialog = el("dialog", { "aria-labelledby": "user-title" },
    el("h2", { id: "user-title" }, "Signed in as ", el("bdi", {}, user.name)),
    el("p", {}, "You can see ", el("bdi", {}, wards(user.viewable)), ". ", user.viewable?.length === 0 ? "" : rights),
    el("div", { class: "buttons" }, close, change, out));
  close.addEventListener("click", () => dialog.close());
  change.addEventListener("click", () => {
    dialog.close();
    openPasswordForm(user.name);
  });
  out.addEventListener("click", () => signOut().catch(() => {
    dialog.close();
    showNotice("You are still signed in, because the station does not respond. Try again.", true);
  }));
  openDialog(dialog);
}

byId("user").addEventListener("click", openUserDialog);

// --- keys ---

const KEYS = [
  ["w", "Ward"], ["l", "Alerts"], ["r", "Review of past alerts"], ["← ↑ ↓ →", "Move between beds, and between alerts"], ["Enter", "Open the bed"],
  ["a", "Acknowledge the selected alert, or the most urgent of the selected bed"], ["p", "Pause its audio for two minutes"],
  ["s", "Sound on or off"], ["t", "Day or night"], ["n", "Your account; sign out"], ["?", "This list"],
  ["← → + - Home", "On the charts of a bed: earlier, later, zoom in, zoom out, live"], ["Ctrl, wheel", "On a chart: zoom. With Shift, or by dragging: move. Dragging with Shift: zoom to the part"],
];

function openHelp() {
  const close = el("button", { type: "button", class: "primary" }, "Close");
  const dialog = el("dialog", { "aria-labelledby": "help-title" },
    el("h2", { id: "help-title" }, "Keys"),
    el("dl", { class: "keys" }, ...KEYS.flatMap(([key, action]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, action)])),
    el("p", {}, "!!! high priority: respond immediately. !! medium: respond promptly. ! low: be aware. Marks in brackets are technical alerts, about the equipment. ▲ and ▼ mark a value beyond its critical limit; a thinner value was measured earlier."),
    el("p", {}, "VitalFlow is not a medical device. Do not rely on it to watch a patient."),
    el("div", { class: "buttons" }, close));
  close.addEventListener("click", () => dialog.close());
  openDialog(dialog);
}

byId("help").addEventListener("click", openHelp);

/** @param {"acknowledge" | "pause_audio"} action */
function commandSelected(action) {
  const alert = page.selected?.();
  if (alert) sendAlertCommand(alert, action);
  else showNotice("Select a bed or an alert first, with Tab or the arrow keys.", true);
}

/** @type {Record<string, () => void>} */
const ACTIONS = {
  w: () => navigate("/"),
  l: () => navigate("/alerts"),
  r: () => navigate("/review"),
  s: toggleSound,
  t: () => byId("theme").click(),
  n: openUserDialog,
  "?": openHelp,
  a: () => commandSelected("acknowledge"),
  p: () => commandSelected("pause_audio"),
};

addEventListener("keydown", (event) => {
  // A dialog that Escape has closed has the focus for a few milliseconds more.
  if (event.ctrlKey || event.altKey || event.metaKey || /** @type {Element} */ (event.target).closest("input, select, textarea, dialog[open]")) return;
  if (event.key.startsWith("Arrow")) {
    if (page.moveSelection?.(event.key)) event.preventDefault();
    return;
  }
  const action = ACTIONS[event.key];
  if (action) {
    event.preventDefault();
    action();
  }
});

initTheme(byId("theme"), redraw);
openPage();
connect();
