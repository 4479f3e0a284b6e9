// What the station has told this page: the whole ward once, then its changes. And whether the telling still goes on.
//
// Ages are reckoned by the station's clock, which every frame carries, because this machine's own may be wrong; and a
// page that is told nothing for a few seconds says so, because old numbers look exactly like new ones.

import { check, hasEnded, leave } from "./session.js";

const LOST_AFTER = 3000; // milliseconds without a frame, though one comes every second at least
const BEHIND = 3000; // milliseconds that a frame may come later than the quickest of the last ones
const OFFSETS = 30; // frames by which the station's clock is judged
const KEPT = 300; // seconds behind each bed

export const store = {
  hello: null, // the table of signs, periods, and who is signed in: { name, sees, acts }, null for all wards
  beds: new Map(), // by device
  alerts: new Map(), // by key
  away: [], // who the station says is away
  link: "connecting", // or "live", "behind", "lost"
  lostAt: 0,
  recent: new Map(), // by device: { time: [unix seconds], sign: [values or null] }
};

const hearers = new Set();
let offsets = [];
let number = null;
let heardAt = performance.now();
let source = null;

/** Be told of changes: { whole, beds, gone, alerts, state }. Returns a function that ends it. */
export function onChange(hear) {
  hearers.add(hear);
  return () => hearers.delete(hear);
}

/** The station's clock, in unix milliseconds. */
export function now() {
  return offsets.length ? performance.now() + Math.max(...offsets) : Date.now();
}

/** Whether what is on the page is current: the page is told, and the station hears the broker. */
export function current() {
  return store.link === "live" && !store.away.some((one) => one.name === "broker");
}

/** Whether the alerts are watched over: the alert worker is there too. */
export function watched() {
  return current() && !store.away.some((one) => one.name.startsWith("alerts"));
}

/** Whether the person may acknowledge and set limits in a ward; the station refuses it too. */
export function mayAct(ward) {
  const acts = store.hello?.person.acts;
  return acts === null || Boolean(acts?.includes(ward));
}

/** Listen, from now on. */
export function connect() {
  source?.close();
  source = new EventSource("/ui/live");
  source.addEventListener("hello", (event) => {
    store.hello = JSON.parse(event.data);
  });
  source.addEventListener("logged_out", (event) => leave(JSON.parse(event.data)));
  source.addEventListener("message", (event) => {
    if (store.hello) take(JSON.parse(event.data));
  });
  source.addEventListener("error", () => {
    number = null;
    setLink("lost");
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(connect, 1000); // it gave up; we do not, unless nobody is signed in any more
    check();
  });
}

function take(frame) {
  if (!frame.whole && (number === null || frame.number !== number + 1)) {
    connect(); // something is missing: begin anew with the whole ward
    return;
  }
  number = frame.number;
  heardAt = performance.now();
  offsets.push(frame.at - heardAt);
  if (offsets.length > OFFSETS) offsets.shift();
  const changed = { whole: Boolean(frame.whole), beds: new Set(), gone: [], alerts: false, state: false };
  if (frame.whole) {
    store.beds.clear();
    store.alerts.clear();
    changed.alerts = true;
    fetchRecent();
  }
  for (const bed of frame.beds ?? []) {
    bed.values ??= {};
    bed.off ??= [];
    bed.online ??= true;
    bed.silent_after ??= store.hello.silent_after_s;
    store.beds.set(bed.device, bed);
    remember(bed);
    changed.beds.add(bed.device);
  }
  for (const device of frame.gone ?? []) {
    store.beds.delete(device);
    store.recent.delete(device);
    changed.gone.push(device);
  }
  for (const alert of frame.alerts ?? []) {
    const before = store.alerts.get(alert.key);
    if (alert.state === "acknowledged" && before?.id === alert.id) alert.seen ??= before.seen;
    store.alerts.set(alert.key, alert);
    changed.alerts = true;
  }
  for (const key of frame.over ?? []) {
    store.alerts.delete(key);
    changed.alerts = true;
  }
  const away = frame.away ?? [];
  if (JSON.stringify(away) !== JSON.stringify(store.away)) {
    store.away = away;
    changed.state = true;
  }
  const late = heardAt + Math.max(...offsets) - frame.at > BEHIND;
  const link = late ? "behind" : "live";
  if (link !== store.link) {
    store.link = link;
    changed.state = true;
  }
  tell(changed);
}

function remember(bed) {
  if (bed.time === undefined) return;
  const second = Math.floor(bed.time / 1000);
  const kept = recentOf(bed.device);
  const last = kept.time.length - 1;
  if (last >= 0 && kept.time[last] > second) return;
  if (last < 0 || kept.time[last] < second) {
    kept.time.push(second);
    for (const sign of store.hello.signs) (kept[sign.key] ??= new Array(kept.time.length - 1).fill(null)).push(null);
    if (kept.time.length > KEPT) for (const column of Object.values(kept)) column.shift();
  }
  const place = kept.time.length - 1;
  for (const [key, [value, held]] of Object.entries(bed.values)) {
    if (held === 0 && kept[key]) kept[key][place] = value;
  }
}

function recentOf(device) {
  let kept = store.recent.get(device);
  if (!kept) store.recent.set(device, (kept = { time: [] }));
  return kept;
}

/** The minutes before this page was opened. */
export async function fetchRecent(device = null) {
  const query = device === null ? "seconds=120" : `seconds=${KEPT}&device=${encodeURIComponent(device)}`;
  try {
    const answer = await fetch(`/ui/recent?${query}`, { headers: { Accept: "application/json" } });
    if (hasEnded(answer) || !answer.ok) return;
    for (const [known, earlier] of Object.entries(await answer.json())) join(known, earlier);
    tell({ whole: false, beds: new Set(store.beds.keys()), gone: [], alerts: false, state: false });
  } catch {
    // The next connection asks again.
  }
}

function join(device, earlier) {
  const kept = recentOf(device);
  const end = earlier.time.at(-1) ?? 0;
  const from = kept.time.findIndex((second) => second > end);
  const newer = from < 0 ? [] : kept.time.slice(from);
  const joined = { time: [...earlier.time, ...newer].slice(-KEPT) };
  for (const sign of store.hello.signs) {
    const before = earlier[sign.key] ?? new Array(earlier.time.length).fill(null);
    const after = newer.length === 0 ? [] : (kept[sign.key] ?? new Array(kept.time.length).fill(null)).slice(from);
    joined[sign.key] = [...before, ...after].slice(-KEPT);
  }
  store.recent.set(device, joined);
}

function setLink(link) {
  if (link === store.link) return;
  if (link === "lost") store.lostAt = now();
  store.link = link;
  tell({ whole: false, beds: new Set(), gone: [], alerts: false, state: true });
}

function tell(changed) {
  for (const hear of hearers) hear(changed);
}

setInterval(() => {
  if (store.link !== "connecting" && performance.now() - heardAt > LOST_AFTER) setLink("lost");
}, 500);
