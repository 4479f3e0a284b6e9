// One bed on the ward: a tile that is created once and then changed only where its data has changed.

import { bedCondition, readingAge, signState } from "./condition.js";
import { bedUrl, el, setAttribute, setText } from "./dom.js";
import { formatDuration, formatValue, priorityBadge, priorityMark, STATE_MARKS, stateText } from "./format.js";
import { patientText } from "./names.js";
import { signRows } from "./signs.js";
import { now, store } from "./store.js";
import { drawCurve, prepareCanvas, valueRange } from "./strip.js";

/** @typedef {import("./types.js").Alert} Alert */
/** @typedef {import("./types.js").Bed} Bed */

const SPARKLINE_S = 120;
const MAX_GAP_S = 10; // values further apart are not joined

/** @type {{ canvas: { width: number, height: number }, rows: { box: any, colour: string }[] } | null} */
let layout = null;

/** The tiles have another size or other colours: measure again before the next drawing. */
export function invalidateLayout() {
  layout = null;
}

/**
 * The values of a row as one text, such as 120/80, and how they stand to their critical limits.
 * @param {Bed | undefined} bed
 * @param {import("./types.js").Row} row
 * @param {number} at unix milliseconds
 */
export function rowReading(bed, row, at) {
  /** @type {import("./types.js").SignState[]} */
  const states = row.signs.map((sign) => (bed && store.hello ? signState(bed, sign, store.hello, at) : { state: "none" }));
  const [first] = states;
  if (first.state === "off") return { text: "off", beyond: null, state: first.state, age: undefined };
  const text = row.signs.map((sign, index) => formatValue(states[index].value, sign)).join("/");
  const beyond = states.map((sign) => sign.beyond).find(Boolean) ?? null;
  return { text: text === "–/–" ? "–" : text, beyond, state: first.state, age: first.age };
}

/**
 * The most urgent physiological alert about a sign of the row.
 * @param {Alert[]} alerts the most urgent first
 * @param {import("./types.js").Row} row
 */
export function rowAlert(alerts, row) {
  return alerts.find((alert) => alert.kind === "physiological" && row.signs.some((sign) => sign.key === alert.sign));
}

export class Tile {
  /** @param {string} device */
  constructor(device) {
    this.device = device;
    this.rows = store.hello ? signRows(store.hello) : [];
    this.link = el("a", { class: "bed-link", href: bedUrl(device) });
    this.bedName = el("bdi", { class: "bed" });
    this.patient = el("bdi", { class: "patient" });
    this.wardName = el("bdi", { class: "ward-name" });
    this.link.append(this.bedName);
    this.score = el("span", { class: "score" });
    this.age = el("span", { class: "age" });
    this.canvas = el("canvas", { class: "sparks", "aria-hidden": "true" });
    this.cells = this.rows.map((row) => {
      const value = el("span", { class: "value" });
      const cell = el("div", { class: row.big ? "row big" : "row", data: { sign: row.key } },
        el("span", { class: "label" }, row.name, el("small", {}, row.unit)), value);
      return { row, cell, value };
    });
    this.what = el("span", { class: "what" });
    this.since = el("span", { class: "since" });
    this.ribbon = el("div", { class: "ribbon" }, this.what, this.since);
    this.node = el("li", { class: "tile", data: { device } },
      el("div", { class: "head" }, el("h2", {}, this.link), this.wardName, this.score, this.age),
      this.patient,
      el("div", { class: "signs" }, this.canvas, ...this.cells.map(({ cell }) => cell)),
      this.ribbon);
    /** @type {Bed | null} */
    this.bed = null;
    /** @type {Alert[]} */
    this.alerts = [];
    this.alertsKey = ""; // what the alerts were at the last update
    this.manyWards = false;
    this.hidden = false;
  }

  /**
   * Take new data; draw it now where the tile is visible.
   * @param {Bed} bed
   * @param {Alert[]} alerts its open ones, the most urgent first
   * @param {boolean} manyWards whether to show the ward
   */
  update(bed, alerts, manyWards) {
    this.bed = bed;
    this.alerts = alerts;
    this.manyWards = manyWards;
    if (this.hidden) this.tick(now());
    else this.render();
  }

  /**
   * Set whether the tile is visible; a tile that is not is not drawn.
   * @param {boolean} visible
   */
  show(visible) {
    this.hidden = !visible;
    if (visible && this.bed) this.render();
  }

  render() {
    const at = now();
    const { bed, alerts, manyWards } = this;
    if (!bed) return;
    setText(this.bedName, bed.name);
    setText(this.wardName, manyWards ? bed.ward : "");
    setAttribute(this.link, "title", bed.device);
    const patient = patientText(bed.patient);
    setText(this.patient, patient);
    setAttribute(this.patient, "title", bed.patient && patient !== bed.patient ? `${patient}, ${bed.patient}` : patient || null);
    const score = bed.news2;
    setText(this.score, score ? `NEWS ${score.missing.length ? "≥" : ""}${score.total}` : "");
    setAttribute(this.score, "data-level", score ? news2Level(score) : null);
    for (const { row, cell, value } of this.cells) {
      const reading = rowReading(bed, row, at);
      const alert = rowAlert(alerts, row);
      setText(value, reading.text);
      setAttribute(value, "data-beyond", reading.beyond);
      setAttribute(cell, "data-state", reading.state);
      setAttribute(cell, "data-alert", alert ? alert.priority : null);
      setAttribute(cell, "data-silenced", alert && alert.state !== "active" ? "true" : null);
      setAttribute(cell, "data-alarm", alert?.state);
      setAttribute(value, "title", reading.state === "held" ? `measured ${formatDuration(reading.age ?? 0)} ago` : null);
    }
    this.tick(at);
    setAttribute(this.node, "data-time", bed.time);
    this.draw();
  }

  /**
   * Update what depends on the clock alone.
   * @param {number} at unix milliseconds
   */
  tick(at) {
    const { bed, alerts: [first] } = this;
    if (!bed) return;
    const condition = bedCondition(bed, at);
    const age = readingAge(bed, at);
    setText(this.age, age === null ? "" : formatDuration(age));
    setAttribute(this.node, "data-condition", condition);
    setAttribute(this.node, "data-priority", first ? first.priority : null);
    setAttribute(this.node, "data-kind", first ? first.kind : null);
    setAttribute(this.node, "data-silenced", first && first.state !== "active" ? "true" : null);
    setAttribute(this.node, "data-alarm", first?.state);
    setAttribute(this.node, "data-stale", first && first.stale ? "true" : null);
    setAttribute(this.ribbon, "data-content", first ? "alert" : condition === "LIVE" ? null : "condition");
    if (first) {
      const more = this.alerts.length > 1 ? `  +${this.alerts.length - 1}` : "";
      // Without the value of the alert: the current one is shown above. The title has the whole text.
      setText(this.what, `${priorityMark(first)} ${STATE_MARKS[first.state] ?? ""}${shortText(first)}${more}`);
      setText(this.since, first.state === "latched" ? "ended" : formatDuration((at - first.raised) / 1000));
      setAttribute(this.ribbon, "title", `${priorityBadge(first)}: ${first.text} (${stateText(first, at)})`);
    } else {
      const texts = { VACANT: "No patient", OFFLINE: "Offline", SILENT: `Silent for ${formatDuration(age ?? 0)}`, WAITING: "Waiting for the first reading", "SENSOR OFF": `Sensor off: ${this.sensorsOff()}`, LIVE: "" };
      setText(this.what, texts[condition]);
      setText(this.since, "");
      setAttribute(this.ribbon, "title", null);
    }
  }

  sensorsOff() {
    const off = this.bed?.sensor_off ?? [];
    return this.rows.flatMap((row) => row.signs).filter((sign) => off.includes(sign.key)).map((sign) => sign.short).join(", ");
  }

  /** Draw the curves of the last two minutes, where the tile is visible. */
  draw() {
    if (this.hidden) return;
    const recent = store.recent.get(this.device);
    // All tiles are alike: one is measured for all of them, so that drawing forces no layout.
    layout ??= this.measure();
    const { context } = prepareCanvas(this.canvas, layout.canvas);
    const end = recent?.time.at(-1);
    if (!recent || end === undefined) return;
    const begin = end - SPARKLINE_S;
    const from = Math.max(0, recent.time.findIndex((time) => time >= begin));
    for (const [index, { row }] of this.cells.entries()) {
      const columns = row.signs.map((sign) => recent[sign.key] ?? []);
      const scale = valueRange(columns, from, row.span);
      if (!scale) continue;
      const { box, colour } = layout.rows[index];
      columns.forEach((column, position) => {
        context.strokeStyle = colour;
        context.globalAlpha = position === 0 ? 0.85 : 0.5;
        context.lineWidth = 1.4;
        context.lineJoin = "round";
        drawCurve(context, box, recent.time, column, from, begin, SPARKLINE_S, scale, MAX_GAP_S);
      });
    }
    context.globalAlpha = 1;
  }

  measure() {
    const canvas = this.canvas.getBoundingClientRect(), style = getComputedStyle(this.node);
    const rows = this.cells.map(({ row, cell }) => {
      const area = cell.getBoundingClientRect();
      const box = { left: 2, width: canvas.width - 4, top: area.top - canvas.top + 3, height: Math.max(area.height - 6, 4) };
      return { box, colour: style.getPropertyValue(`--${row.key}`).trim() || style.color };
    });
    return { canvas: { width: canvas.width, height: canvas.height }, rows };
  }
}

/**
 * The text of an alert without its value.
 * @param {Alert} alert
 */
function shortText(alert) {
  return alert.text.split(alert.kind === "technical" ? " (" : ":")[0];
}

/**
 * The clinical risk of a NEWS2 by the thresholds of the RCP: 7 or more; 5 or 6, or a single 3; 1 to 4; 0.
 * @param {{ total: number, worst: number }} score
 */
export function news2Level(score) {
  if (score.total >= 7) return "high";
  if (score.total >= 5 || score.worst >= 3) return "medium";
  return score.total >= 1 ? "low" : "none";
}
