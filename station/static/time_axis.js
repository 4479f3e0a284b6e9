// Ticks of a time axis at round local times, on days of 23 and 25 hours too. Pure; the time zone is that of the browser.

import { formatDay, formatMonth, formatTime } from "./format.js";

const DAY = 86400;
const MONTH = 30 * DAY; // names a step of calendar months
const QUARTER = 900; // all offsets from UTC are multiples of it, so every round local time lies on this grid
const STEPS = [60, 300, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200, DAY, 2 * DAY, 5 * DAY, 7 * DAY, 14 * DAY,
  ...[1, 2, 3, 6, 12, 24, 60].map((months) => months * MONTH)];

/**
 * The step of an axis from `begin` to `end`: the smallest that gives at most `maxTicks` ticks.
 * @param {number} begin unix seconds
 * @param {number} end unix seconds
 * @param {number} maxTicks
 */
export function timeStep(begin, end, maxTicks) {
  return STEPS.find((step) => (end - begin) / step <= maxTicks) ?? STEPS[STEPS.length - 1];
}

/**
 * The ticks from `begin` to `end`, in unix seconds. For a step of days they are local midnights, for one of months those of
 * the first days, else local times of day that are multiples of the step. An hour that the clocks repeat has its tick twice, one that they skip has none.
 * @param {number} begin unix seconds
 * @param {number} end unix seconds
 * @param {number} step seconds, from `timeStep`
 */
export function timeTicks(begin, end, step) {
  if (step >= MONTH) return monthTicks(begin, end, step / MONTH);
  return step >= DAY ? dayTicks(begin, end, step / DAY) : clockTicks(begin, end, step);
}

/**
 * @param {number} begin
 * @param {number} end
 * @param {number} months
 */
function monthTicks(begin, end, months) {
  const ticks = [];
  const first = new Date(begin * 1000);
  for (let date = new Date(first.getFullYear(), first.getMonth(), 1); date.getTime() <= end * 1000; date = new Date(date.getFullYear(), date.getMonth() + 1, 1)) {
    if ((date.getFullYear() * 12 + date.getMonth()) % months === 0 && date.getTime() >= begin * 1000) ticks.push(date.getTime() / 1000);
  }
  return ticks;
}

/**
 * @param {number} begin
 * @param {number} end
 * @param {number} days
 */
function dayTicks(begin, end, days) {
  const ticks = [];
  const date = new Date(begin * 1000);
  date.setHours(0, 0, 0, 0);
  for (; date.getTime() <= end * 1000; date.setDate(date.getDate() + 1)) {
    // Counting days from a fixed one keeps the ticks in place while the axis moves on.
    const dayNumber = Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) / (DAY * 1000);
    if (dayNumber % days === 0 && date.getTime() >= begin * 1000) ticks.push(date.getTime() / 1000);
  }
  return ticks;
}

/**
 * @param {number} begin
 * @param {number} end
 * @param {number} step
 */
function clockTicks(begin, end, step) {
  const ticks = [];
  const grid = Math.min(step, QUARTER);
  for (let time = Math.ceil(begin / grid) * grid; time <= end; time += grid) {
    const date = new Date(time * 1000);
    if ((date.getHours() * 3600 + date.getMinutes() * 60) % step === 0) ticks.push(time);
  }
  return ticks;
}

/**
 * The label of a tick: the month or day for a step of these, else the time of day.
 * @param {number} time unix seconds
 * @param {number} step seconds
 */
export function tickLabel(time, step) {
  if (step >= MONTH) return formatMonth(time * 1000);
  return step >= DAY ? formatDay(time * 1000) : formatTime(time * 1000, false);
}
