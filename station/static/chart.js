// A chart of one row of signs over minutes, hours or days, drawn by uPlot: the average with the band from minimum to
// maximum, limits as dashed lines, and the values under the pointer.

import { alignData, axisRange, describePoint, isolatedPoints, nearestMeasured } from "./chart_data.js";
import { el, setAttribute, setText } from "./dom.js";
import { tickLabel, timeStep, timeTicks } from "./time_axis.js";
import uPlot from "./vendor/uplot/uPlot.esm.js";

const PIXELS_PER_TICK = 76;
const SERIES_PER_SIGN = 3; // avg, max, min
const FONT_PX = 11;

/**
 * @typedef {{
 *   times: number[], columns: import("./chart_data.js").Column[], begin: number, end: number, gap: number,
 *   limits: { value: number, priority: string }[], label: string,
 * }} ChartData  times in unix seconds; `gap`: seconds over which values are joined
 */

export class Chart {
  /** @param {import("./types.js").Row} row */
  constructor(row) {
    this.row = row;
    this.tip = el("div", { class: "tip", hidden: true });
    this.empty = el("p", { class: "no-data", hidden: true }, "No data");
    this.node = el("div", { class: "plot" }, this.empty, this.tip);
    /** @type {ChartData} */
    this.data = { times: [], columns: row.signs.map(() => ({ avg: [] })), begin: 0, end: 1, gap: 0, limits: [], label: "" };
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
  }

  close() {
    this.resize.disconnect();
    this.plot.destroy();
  }

  /** @param {ChartData} data */
  set(data) {
    this.data = data;
    this.range = axisRange(data.columns, this.row.span);
    this.empty.hidden = this.range !== null;
    setAttribute(this.canvas, "aria-label", data.label);
    const rows = this.rows();
    this.isolated = this.row.signs.map((_, index) => isolatedPoints(rows[1 + index * SERIES_PER_SIGN]));
    this.plot.batch(() => {
      this.plot.setData(rows, false);
      this.plot.setScale("x", { min: data.begin, max: data.end });
    });
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
    const step = (plot) => timeStep(this.data.begin, this.data.end, Math.max(3, Math.floor(plot.over.clientWidth / PIXELS_PER_TICK)));
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
        { ...axis, size: 40, gap: 6, space: 24, values: (_, ticks) => ticks.map((tick) => (this.range ? String(Number(tick.toFixed(2))) : "")) },
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
      hooks: { drawAxes: [(plot) => this.drawLimits(plot)], setCursor: [(plot) => this.showTip(plot)] },
    };
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
    const { times, columns } = this.data;
    const left = plot.cursor.left ?? -1;
    const index = left < 0 ? -1 : nearestMeasured(times, columns, plot.posToVal(left, "x"));
    this.tip.hidden = index < 0;
    if (index < 0) return;
    setText(this.tip, describePoint(this.row, times, columns, index, Date.now()));
    const { over } = plot;
    const at = over.offsetLeft + plot.valToPos(times[index], "x");
    this.tip.style.left = `${Math.min(Math.max(at, 90), over.offsetLeft + over.clientWidth - 80)}px`;
  }
}

/**
 * A colour such as #3fe08a with little opacity, for a band.
 * @param {string} colour
 */
function translucent(colour) {
  return /^#[0-9a-f]{6}$/i.test(colour) ? `${colour}38` : colour;
}
