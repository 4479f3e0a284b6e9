// Prepares columns of values for uPlot: where lines break, which points stand alone, the range of the axis. Pure.

import { formatDateTime, formatDuration, formatValue, PRIORITY_RANKS, priorityMark } from "./format.js";
import { valueRange } from "./strip.js";

/**
 * @typedef {(number | null | undefined)[]} Values
 * @typedef {{ avg: Values, min?: Values, max?: Values }} Column  the values of one sign, beside the times
 *
 * @typedef {{
 *   id: string, begin: number, end: number, open: boolean, priority: string, kind: string, sign: string | null, text: string,
 * }} AlertSpan  in unix seconds; the end of an open alert is now
 */

/**
 * The rows that uPlot draws: times, then avg, max and min of each column. In uPlot's data `null` breaks a line and
 * `undefined` does not. A line breaks where two measured values are more than `gap` seconds apart; where no row lies
 * between them, one is inserted.
 * @param {number[]} times unix seconds, ascending
 * @param {Column[]} columns
 * @param {number} gap seconds
 * @returns {[number[], ...Values[]]}
 */
export function alignData(times, columns, gap) {
  /** @type {number[]} */
  const rows = [];
  /** @type {(number | null)[]} index into `times`; null for an inserted row */
  const sources = [];
  times.forEach((time, index) => {
    const previous = times[index - 1];
    if (index > 0 && time - previous > gap) {
      rows.push((previous + time) / 2);
      sources.push(null);
    }
    rows.push(time);
    sources.push(index);
  });
  /** @param {Values | undefined} values */
  const align = (values) => breakLines(rows, sources.map((index) => (index === null ? null : values?.[index] ?? null)), gap);
  return [rows, ...columns.flatMap(({ avg, min, max }) => [align(avg), align(max), align(min)])];
}

/**
 * Replace the nulls between two values that are to be joined by `undefined`.
 * @param {number[]} times
 * @param {Values} values
 * @param {number} gap seconds
 */
function breakLines(times, values, gap) {
  const aligned = [...values];
  let last = -1;
  values.forEach((value, index) => {
    if (value === null) return;
    if (last >= 0 && times[index] - times[last] <= gap) aligned.fill(undefined, last + 1, index);
    last = index;
  });
  return aligned;
}

/**
 * The indices of values that no line joins to another: they are drawn as dots.
 * @param {Values} values as `alignData` made them
 */
export function isolatedPoints(values) {
  /** @type {number[]} */
  const isolated = [];
  /** @type {number[]} */
  let run = [];
  [...values, null].forEach((value, index) => {
    if (typeof value === "number") run.push(index);
    else if (value === null) {
      if (run.length === 1) isolated.push(run[0]);
      run = [];
    }
  });
  return isolated;
}

/**
 * The range of the value axis, at least `span` high; null where nothing was measured.
 * @param {Column[]} columns
 * @param {number} span
 */
export function axisRange(columns, span) {
  return valueRange(columns.flatMap(({ avg, min, max }) => [avg, min ?? [], max ?? []]), 0, span);
}

/**
 * The index of the measured values nearest to a time; -1 where there are none.
 * @param {number[]} times
 * @param {Column[]} columns
 * @param {number} wanted unix seconds
 */
export function nearestMeasured(times, columns, wanted) {
  let nearest = -1;
  times.forEach((time, index) => {
    const isMeasured = columns.some(({ avg }) => typeof avg[index] === "number");
    if (isMeasured && (nearest < 0 || Math.abs(time - wanted) < Math.abs(times[nearest] - wanted))) nearest = index;
  });
  return nearest;
}

/**
 * Time and values at an index in words, such as `10:00  120/80 mmHg (112 to 131)`.
 * @param {import("./types.js").Row} row
 * @param {number[]} times
 * @param {Column[]} columns
 * @param {number} index
 * @param {number} now unix milliseconds
 */
export function describePoint(row, times, columns, index, now) {
  const values = columns.map(({ avg }, position) => formatValue(avg[index], row.signs[position])).join("/");
  const [{ min, max }] = columns, [sign] = row.signs;
  const band = typeof min?.[index] === "number" ? ` (${formatValue(min[index], sign)} to ${formatValue(max?.[index], sign)})` : "";
  return `${formatDateTime(times[index] * 1000, now)}  ${values} ${row.unit}${band}`;
}

/**
 * The past alerts of the database and the open ones of the broker, which are newer, as times of a chart; the first one first.
 * @param {any[]} past as the API sends them
 * @param {import("./types.js").Alert[]} open
 * @param {number} now unix milliseconds
 * @returns {AlertSpan[]}
 */
export function alertSpans(past, open, now) {
  /** @type {Map<string, AlertSpan>} */
  const spans = new Map();
  for (const { alert_id: id, raised_at, cleared_at, priority, kind, sign, text } of past) {
    const end = cleared_at ? Date.parse(cleared_at) : now;
    spans.set(id, { id, begin: Date.parse(raised_at) / 1000, end: end / 1000, open: !cleared_at, priority, kind, sign, text });
  }
  for (const { id, raised, priority, kind, sign, text } of open) {
    if (!spans.has(id)) spans.set(id, { id, begin: raised / 1000, end: now / 1000, open: true, priority, kind, sign: sign ?? null, text });
  }
  return [...spans.values()].sort((a, b) => a.begin - b.begin);
}

/**
 * The alerts at a time, or less than `reach` seconds from it; the most urgent first.
 * @param {AlertSpan[]} alerts
 * @param {number} time unix seconds
 * @param {number} reach
 */
export function alertsAt(alerts, time, reach) {
  return alerts.filter(({ begin, end }) => begin - reach <= time && time <= end + reach)
    .sort((a, b) => PRIORITY_RANKS[b.priority] - PRIORITY_RANKS[a.priority] || b.begin - a.begin);
}

/**
 * @param {AlertSpan} alert
 * @param {number} now unix milliseconds
 */
export function describeAlert(alert, now) {
  const length = alert.open ? "open" : `for ${formatDuration(alert.end - alert.begin)}`;
  return `${formatDateTime(alert.begin * 1000, now)}  ${priorityMark(alert)} ${alert.text}, ${length}`;
}
