// The range that the charts of a bed show, its controls, and what is fetched for it: trends and alerts.

import { getJson } from "./api.js";
import { alertSpans } from "./chart_data.js";
import { bedUrl, el, setAttribute, setText } from "./dom.js";
import { formatDateTime, localTime, toSentence } from "./format.js";
import { now, store } from "./store.js";
import { bounds, isLive, LIVE, pan, part, rangeBetween, rangeFromQuery, rangeToQuery, stepText, zoom } from "./trend_range.js";

/** @typedef {import("./trend_range.js").TrendRange} TrendRange */

const HOUR = 3600, DAY = 24 * HOUR;
/** @type {[string, number][]} */
const PRESETS = [
  ["5 minutes, live", LIVE.seconds], ["1 hour", HOUR], ["8 hours", 8 * HOUR], ["24 hours", DAY], ["7 days", 7 * DAY],
  ["30 days", 30 * DAY], ["1 year", 365 * DAY],
];
const SETTLE_MS = 250; // after the last movement the range is fetched
const REFETCH_MS = 60_000; // trends and alerts are fetched again after this time
const SHORT_REFETCH_MS = 10_000; // the same for a trend of an hour or less up to now
const MIN_POINTS = 300, MAX_POINTS = 1000; // about one for each pixel of a chart
const MAX_ALERTS = 500;
const PAN_SHARE = 0.25, ZOOM_FACTOR = 2;
const LIVE_GAP_S = 10; // live values further apart are not joined
const GAP_STEPS = 1.5; // the same for a trend, in steps between its points: a step without readings is a gap
const NO_DATABASE = "This station keeps no history.";

export class Trends {
  /**
   * @param {string} device
   * @param {URLSearchParams} query
   * @param {() => void} onChange called when another range or other data are to be drawn
   * @param {(answer: any) => void} onAlerts called with the alerts of the range, or `{ problem }`
   * @param {() => number} width the pixels of a chart
   */
  constructor(device, query, onChange, onAlerts, width) {
    this.device = device;
    this.onChange = onChange;
    this.onAlerts = onAlerts;
    this.range = rangeFromQuery(query, now() / 1000);
    /** @type {{ times: number[], signs: Record<string, any>, step: number } | null} */
    this.trend = null;
    /** @type {any[]} */
    this.past = [];
    this.fetchedAt = this.alertsFetchedAt = -Infinity;
    this.request = 0; // the newest; answers to earlier ones are ignored
    this.width = width;
    this.closed = false;
    /** @type {number | undefined} */
    this.timer = undefined;
    /** @type {import("./chart_gestures.js").Handlers} */
    this.handlers = {
      pan: (share) => this.show(pan(this.range, share, now() / 1000)),
      zoom: (factor, anchor) => this.show(zoom(this.range, factor, anchor, now() / 1000)),
      select: (first, second) => this.show(part(this.range, first, second, now() / 1000)),
    };
    this.presets = PRESETS.map(([name, seconds]) => button(name, () => this.show({ seconds, end: null })));
    this.later = button("Later →", () => this.handlers.pan(PAN_SHARE));
    this.from = el("input", { type: "datetime-local", max: "9999-12-31T23:59", on: { change: () => this.readInputs() } });
    this.to = el("input", { type: "datetime-local", max: "9999-12-31T23:59", on: { change: () => this.readInputs() } });
    this.report = el("a", {}, "Report");
    this.note = el("p", { class: "note", role: "status" });
    this.node = el("div", { class: "range" },
      el("div", { class: "panelhead" }, el("h2", { id: "signs-title" }, "Signs"), el("div", { class: "pair", role: "group", "aria-label": "Range" }, ...this.presets)),
      el("div", { class: "range-tools" },
        el("div", { class: "pair", role: "group", "aria-label": "Move the range" },
          button("← Earlier", () => this.handlers.pan(-PAN_SHARE)), this.later, button("Zoom out", () => this.zoomBy(ZOOM_FACTOR)), button("Zoom in", () => this.zoomBy(1 / ZOOM_FACTOR))),
        el("label", {}, "From ", this.from), el("label", {}, "To ", this.to), this.report),
      this.note);
  }

  close() {
    clearTimeout(this.timer);
    this.closed = true;
  }

  get isLive() {
    return isLive(this.range);
  }

  /**
   * The keys of the charts; whether this is one.
   * @param {string} key
   */
  press(key) {
    if (key === "ArrowLeft" || key === "ArrowRight") this.handlers.pan(key === "ArrowLeft" ? -PAN_SHARE : PAN_SHARE);
    else if (key === "+" || key === "-") this.zoomBy(key === "+" ? 1 / ZOOM_FACTOR : ZOOM_FACTOR);
    else if (key === "Home") this.show(LIVE);
    else return false;
    return true;
  }

  /**
   * Zoom about the middle, or about the present where the range follows it.
   * @param {number} factor
   */
  zoomBy(factor) {
    this.handlers.zoom(factor, this.range.end === null ? 1 : 0.5);
  }

  /**
   * Show the range of an alert, with as much before and after it.
   * @param {{ begin: number, end: number }} span
   */
  showAlert({ begin, end }) {
    const margin = Math.max(end - begin, 10 * 60);
    this.show(rangeBetween(begin - margin, end + margin, now() / 1000));
  }

  readInputs() {
    const begin = Date.parse(this.from.value) / 1000, end = Date.parse(this.to.value) / 1000;
    if (begin < end && begin < now() / 1000) this.show(rangeBetween(begin, end, now() / 1000));
    else setText(this.note, "Enter a beginning in the past, and a later end.");
  }

  /** @param {TrendRange} range */
  show(range) {
    this.range = range;
    this.showControls();
    setText(this.note, this.isLive ? "" : "Loading …");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.settle(), SETTLE_MS);
    this.onChange();
  }

  showControls() {
    PRESETS.forEach(([, seconds], index) => setAttribute(this.presets[index], "aria-pressed", String(this.range.end === null && this.range.seconds === seconds)));
    this.later.disabled = this.range.end === null;
    const { begin, end } = bounds(this.range, now() / 1000);
    for (const [input, time] of /** @type {[HTMLInputElement, number][]} */ ([[this.from, begin], [this.to, end]])) {
      if (document.activeElement !== input) input.value = localTime(time * 1000);
    }
    const days = new URLSearchParams({ device: this.device, from: localTime(begin * 1000).slice(0, 10), to: localTime(end * 1000).slice(0, 10) });
    setAttribute(this.report, "href", `/report?${days}`);
  }

  settle() {
    history.replaceState(null, "", `${bedUrl(this.device)}${Object.entries(rangeToQuery(this.range)).map(([name, value]) => `&${name}=${encodeURIComponent(value)}`).join("")}`);
    this.fetchTrend();
    this.fetchAlerts();
  }

  /** Fetch what is old by now. */
  tick() {
    if (!store.hello || this.closed) return;
    const at = performance.now();
    if (this.range.end === null) this.showControls();
    if (at - this.alertsFetchedAt > REFETCH_MS) this.fetchAlerts();
    const isShort = this.range.end === null && this.range.seconds <= HOUR;
    if (!this.isLive && at - this.fetchedAt > (isShort ? SHORT_REFETCH_MS : REFETCH_MS)) this.fetchTrend();
  }

  async fetchTrend() {
    const request = this.request += 1;
    this.fetchedAt = performance.now();
    if (this.isLive) {
      this.trend = null;
      return;
    }
    if (!store.hello?.history) {
      setText(this.note, `No trends. ${NO_DATABASE}`);
      return;
    }
    const points = Math.round(Math.min(Math.max(this.width(), MIN_POINTS), MAX_POINTS));
    const answer = await getJson(`${this.path("series")}?${this.query()}&points=${points}`);
    if (this.closed || this.request !== request) return;
    if (answer.problem) {
      setText(this.note, `No trends: ${toSentence(answer.problem)}`);
      this.trend = { times: [], signs: {}, step: 0 };
    } else {
      const times = answer.time.map((/** @type {string} */ time) => Date.parse(time) / 1000);
      this.trend = { times, signs: answer.signs, step: answer.step_s ?? 0 };
      setText(this.note, times.length ? `Average of each ${stepText(answer.step_s)}, with the band from minimum to maximum.` : "No data is stored for this period.");
    }
    this.onChange();
  }

  async fetchAlerts() {
    const range = this.range;
    this.alertsFetchedAt = performance.now();
    if (!store.hello?.history) {
      this.onAlerts({ problem: NO_DATABASE });
      return;
    }
    const answer = await getJson(this.isLive ? `${this.path("alerts")}?limit=30` : `${this.path("alerts")}?${this.query()}&limit=${MAX_ALERTS}`);
    if (this.closed || this.range !== range) return;
    this.past = answer.alerts ?? [];
    this.onAlerts(answer);
    this.onChange();
  }

  /** @param {string} name */
  path(name) {
    return `/api/beds/${encodeURIComponent(this.device)}/${name}`;
  }

  query() {
    const { begin, end } = bounds(this.range, now() / 1000);
    return new URLSearchParams({ from: new Date(begin * 1000).toISOString(), to: new Date(end * 1000).toISOString() });
  }

  /** The range in words. */
  get name() {
    const preset = this.range.end === null && PRESETS.find(([, seconds]) => seconds === this.range.seconds);
    if (preset) return `over ${preset[0]}`;
    const { begin, end } = bounds(this.range, now() / 1000);
    return `from ${formatDateTime(begin * 1000, now())} to ${formatDateTime(end * 1000, now())}`;
  }

  /**
   * What the charts have in common, with the columns of each row of signs.
   * @param {import("./types.js").Alert[]} openAlerts
   */
  frame(openAlerts) {
    const { begin, end } = bounds(this.range, now() / 1000);
    const alerts = alertSpans(this.past, openAlerts, now()).filter((alert) => alert.end >= begin && alert.begin <= end);
    const silentAfter = store.beds.get(this.device)?.silent_after ?? 0;
    const base = { begin, end, alerts, name: this.name };
    if (!this.isLive) {
      const { times = [], signs = {}, step = 0 } = this.trend ?? {};
      const gap = Math.max(step * GAP_STEPS, LIVE_GAP_S, silentAfter);
      return { ...base, times, gap, column: (/** @type {string} */ key) => signs[key] ?? { avg: [] } };
    }
    const recent = store.recent.get(this.device);
    const times = recent?.time ?? [];
    const from = Math.max(0, times.findIndex((time) => time >= begin));
    return { ...base, times: times.slice(from), gap: LIVE_GAP_S, column: (/** @type {string} */ key) => ({ avg: (recent?.[key] ?? []).slice(from) }) };
  }
}

/**
 * @param {string} text
 * @param {() => void} press
 */
function button(text, press) {
  return el("button", { type: "button", on: { click: press } }, text);
}
