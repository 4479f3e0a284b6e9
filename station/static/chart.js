// A curve over hours or days: the average with the band from lowest to highest, a time axis, and the values under the pointer.

import { el, setAttribute, setText } from "./dom.js";
import { prepareCanvas } from "./strip.js";
import { formatDateTime, formatValue } from "./format.js";

const LEFT = 40, BOTTOM = 18, TOP = 6, RIGHT = 8; // pixels around the plot
const STEPS = [60, 300, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 432000, 604800]; // seconds

export class Chart {
  /** `row`: from `rowsOf`. `describe` is told the text that stands for the picture. */
  constructor(row) {
    this.row = row;
    this.canvas = el("canvas", { class: "chart", role: "img" });
    this.tip = el("div", { class: "tip", hidden: true });
    this.node = el("div", { class: "plot" }, this.canvas, this.tip);
    this.pointer = null;
    this.canvas.addEventListener("pointermove", (event) => { this.pointer = event.offsetX; this.draw(); });
    this.canvas.addEventListener("pointerleave", () => { this.pointer = null; this.draw(); });
  }

  /**
   * What to show. `columns`: for each sign { avg, min, max } beside `times` (unix seconds); `begin` and `end` of the
   * axis; `gap`: seconds after which points are not joined; `limits`: dashed lines.
   */
  set(data) {
    this.data = data;
    setAttribute(this.canvas, "aria-label", data.label);
    this.draw();
  }

  close() {}

  draw() {
    const { data, row } = this;
    if (!data || !this.canvas.isConnected) return;
    const { context, width, height } = prepareCanvas(this.canvas);
    const style = getComputedStyle(this.canvas);
    const colour = style.getPropertyValue(`--${row.key}`).trim() || style.color;
    const plot = { left: LEFT, top: TOP, width: width - LEFT - RIGHT, height: height - TOP - BOTTOM };
    const scale = this.scale(data);
    const x = (time) => plot.left + ((time - data.begin) / (data.end - data.begin)) * plot.width;
    const y = (value) => plot.top + plot.height * (1 - (value - scale.low) / (scale.high - scale.low));
    context.font = `11px ${style.fontFamily}`;
    context.textBaseline = "middle";
    this.axes(context, plot, scale, x, y, style, data);
    if (scale.empty) return;
    for (const limit of data.limits) {
      if (limit.value < scale.low || limit.value > scale.high) continue;
      context.strokeStyle = style.getPropertyValue(`--${limit.priority}`).trim();
      context.globalAlpha = 0.8;
      context.setLineDash([5, 4]);
      context.lineWidth = 1;
      context.beginPath();
      context.moveTo(plot.left, y(limit.value));
      context.lineTo(plot.left + plot.width, y(limit.value));
      context.stroke();
      context.setLineDash([]);
    }
    context.save();
    context.beginPath();
    context.rect(plot.left, 0, plot.width + RIGHT, plot.top + plot.height + 2);
    context.clip();
    data.columns.forEach((column, place) => {
      context.globalAlpha = place === 0 ? 1 : 0.65;
      this.line(context, data, column, x, y, colour);
    });
    context.restore();
    context.globalAlpha = 1;
    this.point(context, data, plot, x, y, colour);
  }

  scale(data) {
    let low = Infinity, high = -Infinity;
    for (const column of data.columns) {
      for (const values of [column.min ?? column.avg, column.max ?? column.avg]) {
        for (const value of values) {
          if (value === null || value === undefined) continue;
          if (value < low) low = value;
          if (value > high) high = value;
        }
      }
    }
    if (low > high) return { low: 0, high: 1, empty: true };
    const missing = Math.max(0, this.row.span - (high - low)) / 2;
    const air = Math.max(high - low, this.row.span) * 0.08;
    return { low: low - missing - air, high: Math.max(high + missing + air, low + 1e-6), empty: false };
  }

  axes(context, plot, scale, x, y, style, data) {
    const line = style.getPropertyValue("--line").trim(), dim = style.getPropertyValue("--dim").trim();
    context.lineWidth = 1;
    context.textAlign = "right";
    if (!scale.empty) {
      for (const value of ticks(scale.low, scale.high, Math.max(3, Math.floor(plot.height / 24)))) {
        context.strokeStyle = line;
        context.beginPath();
        context.moveTo(plot.left, Math.round(y(value)) + 0.5);
        context.lineTo(plot.left + plot.width, Math.round(y(value)) + 0.5);
        context.stroke();
        context.fillStyle = dim;
        context.fillText(String(Number(value.toFixed(2))), plot.left - 6, y(value));
      }
    }
    const most = Math.max(3, Math.floor(plot.width / 76));
    const seconds = data.end - data.begin;
    const step = STEPS.find((one) => seconds / one <= most) ?? STEPS.at(-1);
    const offset = new Date(data.end * 1000).getTimezoneOffset() * 60;
    context.textAlign = "center";
    for (let time = Math.ceil((data.begin - offset) / step) * step + offset; time <= data.end; time += step) {
      context.strokeStyle = line;
      context.beginPath();
      context.moveTo(Math.round(x(time)) + 0.5, plot.top);
      context.lineTo(Math.round(x(time)) + 0.5, plot.top + plot.height);
      context.stroke();
      context.fillStyle = dim;
      const edge = Math.min(Math.max(x(time), plot.left + 16), plot.left + plot.width - 14);
      context.fillText(tickText(time, step), edge, plot.top + plot.height + BOTTOM / 2 + 1);
    }
    if (scale.empty) {
      context.fillStyle = dim;
      context.fillText("nothing measured", plot.left + plot.width / 2, plot.top + plot.height / 2);
    }
  }

  line(context, data, column, x, y, colour) {
    const { times, gap } = data;
    const stretches = [];
    let stretch = null;
    times.forEach((time, place) => {
      const value = column.avg[place];
      if (value === null || value === undefined) return;
      if (!stretch || time - stretch.at(-1).time > gap) stretches.push((stretch = []));
      stretch.push({ time, value, low: column.min?.[place] ?? value, high: column.max?.[place] ?? value });
    });
    context.strokeStyle = context.fillStyle = colour;
    context.lineWidth = 1.6;
    context.lineJoin = "round";
    const alpha = context.globalAlpha;
    for (const points of stretches) {
      if (points.length === 1) {
        context.beginPath();
        context.arc(x(points[0].time), y(points[0].value), 2.2, 0, 7);
        context.fill();
        continue;
      }
      if (column.min) {
        context.globalAlpha = alpha * 0.22;
        context.beginPath();
        points.forEach((one, place) => context[place ? "lineTo" : "moveTo"](x(one.time), y(one.high)));
        for (const one of points.toReversed()) context.lineTo(x(one.time), y(one.low));
        context.fill();
        context.globalAlpha = alpha;
      }
      context.beginPath();
      points.forEach((one, place) => context[place ? "lineTo" : "moveTo"](x(one.time), y(one.value)));
      context.stroke();
    }
  }

  point(context, data, plot, x, y, colour) {
    this.tip.hidden = true;
    if (this.pointer === null || !data.times.length) return;
    const wanted = data.begin + ((this.pointer - plot.left) / plot.width) * (data.end - data.begin);
    let place = -1;
    data.times.forEach((time, at) => {
      if ((data.columns.some((column) => column.avg[at] !== null && column.avg[at] !== undefined)) &&
        (place < 0 || Math.abs(time - wanted) < Math.abs(data.times[place] - wanted))) place = at;
    });
    if (place < 0) return;
    const at = x(data.times[place]);
    context.fillStyle = colour;
    const said = data.columns.map((column, position) => {
      const sign = this.row.signs[position], value = column.avg[place];
      if (value === null || value === undefined) return "–";
      context.beginPath();
      context.arc(at, y(value), 3.5, 0, 7);
      context.fill();
      return formatValue(value, sign);
    }).join("/");
    const first = data.columns[0], sign = this.row.signs[0];
    const band = first.min && first.min[place] !== null ? ` (${formatValue(first.min[place], sign)} to ${formatValue(first.max[place], sign)})` : "";
    setText(this.tip, `${formatDateTime(data.times[place] * 1000, Date.now())}  ${said} ${this.row.unit}${band}`);
    this.tip.hidden = false;
    this.tip.style.left = `${Math.min(Math.max(at, 90), plot.left + plot.width - 80)}px`;
  }
}

function ticks(low, high, most) {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) found.push(value);
  return found;
}

function tickText(time, step) {
  const then = new Date(time * 1000);
  if (step >= 86400) return then.toLocaleDateString(undefined, { day: "numeric", month: "short" });
  return then.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}
