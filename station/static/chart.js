// A chart of one row of signs over minutes, hours or days, drawn by uPlot: the average with the band from minimum to
// maximum, limits as dashed lines, alerts as shaded times, and the values under the pointer. And the lane of all alerts.

import { alertsAt, alignData, axisRange, describeAlert, describePoint, isolatedPoints, nearestMeasured } from "./chart_data.js";
import { addGestures } from "./chart_gestures.js";
import { el, setAttribute, setText } from "./dom.js";
import { PRIORITY_MARKS, PRIORITY_RANKS, priorityMark } from "./format.js";
import { tickLabel, timeStep, timeTicks } from "./time_axis.js";
import uPlot from "./vendor/uplot/uPlot.esm.js";

const PIXELS_PER_TICK = 76;
const SERIES_PER_SIGN = 3; // avg, max, min
const AXIS_PX = 48; // the value axis and the margin
const FONT_PX = 11;
const MIN_BAR_PX = 3; // an alert of seconds on a chart of days is still seen
const LANES = 3; // one of each priority
const MAX_ALERTS_IN_TIP = 2;

/**
 * @typedef {{
 *   times: number[], columns: import("./chart_data.js").Column[], begin: number, end: number, gap: number,
 *   limits: { value: number, priority: string }[], alerts: AlertSpan[], label: string,
 * }} ChartData  times in unix seconds; `gap`: seconds over which values are joined
 *
 * @typedef {import("./chart_data.js").AlertSpan} AlertSpan
 */

export class Chart {
  /**
   * @param {import("./types.js").Row} row
   * @param {import("./chart_gestures.js").Handlers | null} handlers of zoom and pan; null for a chart of one range
   * @param {string} emptyText
   */
  constructor(row, handlers = null, emptyText = "No data") {
    this.row = row;
    this.tip = el("div", { class: "tip", hidden: true });
    this.empty = el("p", { class: "no-data", hidden: true }, emptyText);
    this.node = el("div", { class: "plot" }, this.empty, this.tip);
    /** @type {ChartData} */
    this.data = { times: [], columns: row.signs.map(() => ({ avg: [] })), begin: 0, end: 1, gap: 0, limits: [], alerts: [], label: "" };
    /** @type {{ low: number, high: number } | null} */
    this.range = null;
    /** @type {number[][]} dots of each sign */
    this.isolated = [];
    this.plot = new uPlot(this.options(), this.rows(), this.node);
    this.canvas = this.plot.ctx.canvas;
    setAttribute(this.canvas, "role", "img");
    this.resize = new ResizeObserver(() => this.fit());
    this.resize.observe(this.node);
    // uPlot listens to the mouse only: a finger or pen moves the cursor too.
    this.plot.over.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "mouse") this.plot.setCursor({ left: event.offsetX, top: event.offsetY });
    });
    if (handlers) addGestures(this.plot.over, handlers);
  }

  close() {
    this.resize.disconnect();
    this.plot.destroy();
  }

  /** @param {ChartData} data */
  set(data) {
    this.data = data;
    this.range = this.valueRange();
    this.empty.hidden = !this.isEmpty();
    setAttribute(this.canvas, "aria-label", data.label);
    const rows = this.rows();
    this.isolated = this.row.signs.map((_, index) => isolatedPoints(rows[1 + index * SERIES_PER_SIGN]));
    this.plot.batch(() => {
      this.plot.setData(rows, false);
      this.plot.setScale("x", { min: data.begin, max: data.end });
    });
  }

  valueRange() {
    return axisRange(this.data.columns, this.row.span);
  }

  isEmpty() {
    return this.range === null;
  }

  /** @returns {any} */
  rows() {
    const { times, columns, gap, begin, end } = this.data;
    if (times.length) return alignData(times, columns, gap);
    return [[begin, end], ...Array(columns.length * SERIES_PER_SIGN).fill([null, null])];
  }

  fit() {
    const { width, height } = this.node.getBoundingClientRect();
    if (width && height) this.plot.setSize({ width, height });
  }

  /** @param {string} name of a colour in the style sheet, which differs between day and night */
  colour(name) {
    return getComputedStyle(this.node).getPropertyValue(`--${name}`).trim() || getComputedStyle(this.node).color;
  }

  /** @returns {uPlot.Options} */
  options() {
    const curve = () => this.colour(this.row.key);
    const font = `${FONT_PX}px ${getComputedStyle(document.body).fontFamily}`;
    const axis = { font, stroke: () => this.colour("dim"), ticks: { show: false }, grid: { stroke: () => this.colour("line"), width: 1 } };
    /** @param {uPlot} plot */
    const step = (plot) => timeStep(this.data.begin, this.data.end, Math.max(3, Math.floor((plot.width - AXIS_PX) / PIXELS_PER_TICK)));
    const series = this.row.signs.flatMap((_, index) => {
      const alpha = index === 0 ? 1 : 0.65;
      const edge = { stroke: "transparent", width: 0, points: { show: false }, alpha };
      const points = { show: true, size: 4.4, fill: curve, stroke: curve, width: 0, filter: () => this.isolated[index] ?? [] };
      return [{ stroke: curve, width: 1.6, alpha, points }, edge, edge];
    });
    return {
      width: 300,
      height: 118,
      padding: [6, 8, 0, 0],
      legend: { show: false },
      scales: {
        x: { time: false },
        y: { range: () => (this.range ? [this.range.low, this.range.high] : [0, 1]) },
      },
      axes: [
        { ...axis, size: 18, gap: 3, splits: (plot, _, begin, end) => timeTicks(begin, end, step(plot)),
          values: (plot, ticks) => ticks.map((tick) => tickLabel(tick, step(plot))) },
        { ...axis, size: 40, gap: 6, space: 24, ...this.valueAxis() },
      ],
      series: [{}, ...series],
      bands: this.row.signs.map((_, index) => {
        const first = 1 + index * SERIES_PER_SIGN;
        return { series: [first + 1, first + 2], fill: () => translucent(curve()) };
      }),
      cursor: {
        x: false, y: false, drag: { x: false, y: false, setScale: false },
        dataIdx: (plot, index, _, time) => this.cursorIndex(plot, index, time),
        points: { size: 7, width: 0, fill: curve },
      },
      hooks: { drawAxes: [(plot) => this.drawBackground(plot)], setCursor: [(plot) => this.showTip(plot)] },
    };
  }

  /** @returns {uPlot.Axis} */
  valueAxis() {
    return { values: (_, ticks) => ticks.map((tick) => (this.range ? String(Number(tick.toFixed(2))) : "")) };
  }

  /** @param {uPlot} plot */
  drawBackground(plot) {
    this.drawAlerts(plot);
    this.drawLimits(plot);
  }

  /**
   * The left edge and the width of an alert, in pixels of the canvas.
   * @param {uPlot} plot
   * @param {AlertSpan} alert
   */
  alertBox(plot, { begin, end }) {
    const left = plot.valToPos(Math.max(begin, this.data.begin), "x", true);
    return { left, width: Math.max(plot.valToPos(Math.min(end, this.data.end), "x", true) - left, MIN_BAR_PX * devicePixelRatio) };
  }

  /** @param {uPlot} plot */
  drawAlerts(plot) {
    const { ctx: context, bbox } = plot;
    context.save();
    context.font = `700 ${FONT_PX * devicePixelRatio}px ${getComputedStyle(document.body).fontFamily}`;
    context.textBaseline = "top";
    context.textAlign = "left";
    let free = -Infinity; // where the next mark has room
    for (const alert of this.data.alerts) {
      const { left, width } = this.alertBox(plot, alert);
      context.fillStyle = this.colour(alert.priority);
      context.globalAlpha = 0.16;
      context.fillRect(left, bbox.top, width, bbox.height);
      context.globalAlpha = 1;
      if (alert.begin >= this.data.begin) context.fillRect(left, bbox.top, devicePixelRatio, bbox.height);
      const mark = priorityMark(alert), room = context.measureText(mark).width + 6 * devicePixelRatio;
      if (left < free || left + room > bbox.left + bbox.width) continue;
      context.fillText(mark, left + 3 * devicePixelRatio, bbox.top + devicePixelRatio);
      free = left + room;
    }
    context.restore();
  }

  /**
   * The row of the hover point of a series, for uPlot; only averages have one.
   * @param {uPlot} plot
   * @param {number} series
   * @param {number} time
   */
  cursorIndex(plot, series, time) {
    if (series === 0 || (series - 1) % SERIES_PER_SIGN !== 0) return null;
    const index = nearestMeasured(this.data.times, this.data.columns, time);
    return index < 0 ? null : plot.data[0].indexOf(this.data.times[index]);
  }

  /** @param {uPlot} plot */
  drawLimits(plot) {
    const { ctx: context, bbox } = plot;
    const { range } = this;
    if (!range) return;
    context.save();
    context.globalAlpha = 0.8;
    context.lineWidth = devicePixelRatio;
    context.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
    for (const { value, priority } of this.data.limits) {
      if (value < range.low || value > range.high) continue;
      const y = plot.valToPos(value, "y", true);
      context.strokeStyle = this.colour(priority);
      context.beginPath();
      context.moveTo(bbox.left, y);
      context.lineTo(bbox.left + bbox.width, y);
      context.stroke();
    }
    context.restore();
  }

  /** @param {uPlot} plot */
  showTip(plot) {
    const left = plot.cursor.left ?? -1;
    const found = left < 0 ? null : this.tipAt(plot.posToVal(left, "x"), (this.data.end - this.data.begin) / plot.over.clientWidth);
    this.tip.hidden = !found;
    if (!found) return;
    setText(this.tip, found.text);
    const { over } = plot;
    const at = over.offsetLeft + plot.valToPos(found.time, "x"), half = this.tip.clientWidth / 2;
    this.tip.style.left = `${Math.min(Math.max(at, half), Math.max(half, over.offsetLeft + over.clientWidth - half))}px`;
  }

  /**
   * The text under the pointer and its place; null where there is nothing.
   * @param {number} time unix seconds
   * @param {number} _pixel seconds
   * @returns {{ time: number, text: string } | null}
   */
  tipAt(time, _pixel) {
    const { times, columns } = this.data;
    const index = nearestMeasured(times, columns, time);
    return index < 0 ? null : { time: times[index], text: describePoint(this.row, times, columns, index, Date.now()) };
  }
}

/** All alerts of a bed as bars, a lane for each priority. */
export class AlertLanes extends Chart {
  /** @param {import("./chart_gestures.js").Handlers} handlers */
  constructor(handlers) {
    super({ key: "alerts", signs: [], name: "", label: "Alerts", unit: "", big: false, span: 0 }, handlers, "No alerts");
  }

  valueRange() {
    return { low: 0, high: LANES };
  }

  isEmpty() {
    return this.data.alerts.length === 0;
  }

  /** @returns {uPlot.Axis} */
  valueAxis() {
    const priorities = Object.keys(PRIORITY_MARKS);
    return {
      grid: { show: false },
      splits: () => priorities.map((priority) => PRIORITY_RANKS[priority] - 0.5),
      values: () => priorities.map((priority) => PRIORITY_MARKS[priority]),
    };
  }

  /** @param {uPlot} plot */
  drawBackground(plot) {
    const { ctx: context, bbox } = plot;
    const height = bbox.height / LANES;
    context.save();
    for (const alert of this.data.alerts) {
      const { left, width } = this.alertBox(plot, alert);
      const top = bbox.top + (LANES - PRIORITY_RANKS[alert.priority]) * height;
      context.fillStyle = context.strokeStyle = this.colour(alert.priority);
      context.lineWidth = 1.5 * devicePixelRatio;
      // Technical alerts are hollow, as their marks are in brackets.
      if (alert.kind === "technical") context.strokeRect(left + 1, top + height * 0.25, width - 2, height * 0.5);
      else context.fillRect(left, top + height * 0.2, width, height * 0.6);
    }
    context.restore();
  }

  /**
   * @param {number} time
   * @param {number} pixel
   */
  tipAt(time, pixel) {
    const found = alertsAt(this.data.alerts, time, MIN_BAR_PX * pixel);
    if (!found.length) return null;
    const more = found.length > MAX_ALERTS_IN_TIP ? ` +${found.length - MAX_ALERTS_IN_TIP}` : "";
    return { time, text: found.slice(0, MAX_ALERTS_IN_TIP).map((alert) => describeAlert(alert, Date.now())).join(" · ") + more };
  }
}

/**
 * A colour such as #3fe08a with little opacity, for a band.
 * @param {string} colour
 */
function translucent(colour) {
  return /^#[0-9a-f]{6}$/i.test(colour) ? `${colour}38` : colour;
}
