// The state of this page: the ward as the station last sent it. Frames are applied here; `stream.js` receives them.
//
// Ages are computed with the station's clock, which every frame carries, because this machine's clock may be wrong.

const LATE_MS = 3000; // a frame that comes this much later than the quickest of the last ones: the browser is behind
const CLOCK_FRAMES = 30; // frames from which the station's clock is estimated
export const RECENT_S = 300; // seconds of history kept for each bed

export const store = {
  /** @type {import("./types.js").Hello | null} table of signs, periods, and the user; wards are null for all wards */
  hello: null,
  /** @type {Map<string, import("./types.js").Bed>} by device */
  beds: new Map(),
  /** @type {Map<string, import("./types.js").Alert>} by key */
  alerts: new Map(),
  /** @type {import("./types.js").Outage[]} */
  outages: [],
  /** @type {"connecting" | "live" | "behind" | "lost"} */
  link: "connecting",
  lostAt: 0,
  /** @type {Map<string, import("./types.js").Recent>} by device; times in unix seconds */
  recent: new Map(),
};

/** @type {Set<(changes: import("./types.js").Changes) => void>} */
const listeners = new Set();
/** @type {number[]} station time minus local time, for the last frames */
const clockOffsets = [];
/** @type {number | null} */
let lastFrame = null;

/** @returns {import("./types.js").Changes} */
export function noChanges() {
  return { snapshot: false, beds: new Set(), removed: [], alerts: false, state: false };
}

/**
 * Call `listener` after each change. Returns a function that removes it.
 * @param {(changes: import("./types.js").Changes) => void} listener
 */
export function onChange(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** @param {import("./types.js").Changes} changes */
export function notify(changes) {
  for (const listener of listeners) listener(changes);
}

/** The station's clock, in unix milliseconds. */
export function now() {
  return clockOffsets.length ? performance.now() + Math.max(...clockOffsets) : Date.now();
}

/** Whether the page is current: frames arrive in time and the station is connected to the broker. */
export function isCurrent() {
  return store.link === "live" && !store.outages.some((outage) => outage.name === "broker");
}

/** The ward of alerts about VitalFlow itself. */
export const STACK_WARD = "stack";

/**
 * What is lost, so that no alarm can be raised or reach this page.
 * @returns {{ id: string, since: number }[]}
 */
export function losses() {
  if (store.link === "lost") return [{ id: "station", since: store.lostAt }];
  return store.outages.filter(preventsAlarms).map(({ name, since }) => ({ id: name, since }));
}

/** @param {import("./types.js").Outage} outage */
export function preventsAlarms(outage) {
  return outage.name === "broker" || outage.name.startsWith("alerts");
}

/** Whether alarms can sound: the page is current and the alert service is up. */
export function alertsAreMonitored() {
  return isCurrent() && !store.outages.some((outage) => outage.name.startsWith("alerts"));
}

/**
 * Whether the user may acknowledge alerts and set limits in a ward. The station checks this too.
 * @param {string} ward
 */
export function mayModify(ward) {
  const actionable = store.hello?.user.actionable;
  return actionable === null || Boolean(actionable?.includes(ward));
}

/** Accept only a snapshot next: the connection was interrupted. */
export function expectSnapshot() {
  lastFrame = null;
}

/**
 * Apply one frame. Returns false, and changes nothing, where a frame is missing before it: then a snapshot is needed.
 * @param {import("./types.js").Frame} frame
 * @param {number} receivedAt `performance.now()` on arrival
 */
export function applyFrame(frame, receivedAt) {
  if (!frame.snapshot && (lastFrame === null || frame.number !== lastFrame + 1)) return false;
  lastFrame = frame.number;
  clockOffsets.push(frame.at - receivedAt);
  if (clockOffsets.length > CLOCK_FRAMES) clockOffsets.shift();
  const changes = noChanges();
  if (frame.snapshot) {
    store.beds.clear();
    store.alerts.clear();
    changes.snapshot = changes.alerts = true;
  }
  for (const received of frame.beds ?? []) {
    // The station omits what is at its default.
    const defaults = { values: {}, sensor_off: [], online: true, silent_after: store.hello?.silent_after_s ?? 0 };
    const bed = /** @type {import("./types.js").Bed} */ ({ ...defaults, ...received });
    store.beds.set(bed.device, bed);
    appendRecent(bed);
    changes.beds.add(bed.device);
  }
  for (const device of frame.removed_beds ?? []) {
    store.beds.delete(device);
    store.recent.delete(device);
    changes.removed.push(device);
  }
  for (const alert of frame.alerts ?? []) {
    store.alerts.set(alert.key, alert);
    changes.alerts = true;
  }
  for (const key of frame.removed_alerts ?? []) {
    store.alerts.delete(key);
    changes.alerts = true;
  }
  const outages = frame.outages ?? [];
  if (JSON.stringify(outages) !== JSON.stringify(store.outages)) {
    store.outages = outages;
    changes.state = true;
  }
  const delay = receivedAt + Math.max(...clockOffsets) - frame.at;
  const link = delay > LATE_MS ? "behind" : "live";
  if (link !== store.link) {
    store.link = link;
    changes.state = true;
  }
  notify(changes);
  return true;
}

/** @param {"lost"} link */
export function setLink(link) {
  if (link === store.link) return;
  store.lostAt = now();
  store.link = link;
  notify({ ...noChanges(), state: true });
}

/** @param {import("./types.js").Bed} bed */
function appendRecent(bed) {
  if (bed.time === undefined) return;
  const second = Math.floor(bed.time / 1000);
  const recent = recentOf(bed.device);
  const last = recent.time.at(-1) ?? -Infinity;
  if (last > second) return;
  if (last < second) {
    recent.time.push(second);
    for (const sign of signKeys()) (recent[sign] ??= new Array(recent.time.length - 1).fill(null)).push(null);
    if (recent.time.length > RECENT_S) for (const column of Object.values(recent)) column.shift();
  }
  const index = recent.time.length - 1;
  for (const [sign, [value, age]] of Object.entries(bed.values)) {
    if (age === 0 && recent[sign]) recent[sign][index] = value;
  }
}

/** @param {string} device */
function recentOf(device) {
  let recent = store.recent.get(device);
  if (!recent) store.recent.set(device, (recent = { time: [] }));
  return recent;
}

function signKeys() {
  return (store.hello?.signs ?? []).map((sign) => sign.key);
}

/**
 * Put the station's history of a bed before what arrived here since.
 * @param {string} device
 * @param {import("./types.js").Recent} earlier
 */
export function mergeRecent(device, earlier) {
  const recent = recentOf(device);
  const end = earlier.time.at(-1) ?? 0;
  const from = recent.time.findIndex((second) => second > end);
  const newer = from < 0 ? [] : recent.time.slice(from);
  /** @type {import("./types.js").Recent} */
  const merged = { time: [...earlier.time, ...newer].slice(-RECENT_S) };
  for (const sign of signKeys()) {
    const before = earlier[sign] ?? new Array(earlier.time.length).fill(null);
    const after = newer.length === 0 ? [] : (recent[sign] ?? new Array(recent.time.length).fill(null)).slice(from);
    merged[sign] = [...before, ...after].slice(-RECENT_S);
  }
  store.recent.set(device, merged);
}
