// Prepares columns of values for uPlot: where lines break, which points stand alone, the range of the axis. Pure.

import { formatDateTime, formatValue } from "./format.js";
import { valueRange } from "./strip.js";

/**
 * @typedef {(number | null | undefined)[]} Values
 * @typedef {{ avg: Values, min?: Values, max?: Values }} Column  the values of one sign, beside the times
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
