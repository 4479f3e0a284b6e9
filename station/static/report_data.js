// What a day's report shows: its hours with their gaps, the patients, the recorded share, the alerts that fit. Pure.

import { formatValue, PRIORITY_RANKS } from "./format.js";

const HOUR_MS = 3600_000;
const MINUTE_MS = 60_000;
const MAX_DAYS = 31;

/**
 * @typedef {{ avg: number | null, min: number | null, max: number | null }} Spread
 * @typedef {{ time: string, ward: string, patient_id: string | null, minutes: number, news2: number | null, signs: Record<string, Spread> }} Hour
 * @typedef {{ time: number, hour: Hour | null, stay: string | null }} Line  `stay`: the patient and ward that begin here
 */

/**
 * The days of a report, such as 2026-11-28; the last ones where there are too many, none after `today`.
 * @param {string} first
 * @param {string} last
 * @param {string} today
 */
export function reportDays(first, last, today) {
  const isDay = (/** @type {string} */ day) => /^\d{4}-\d{2}-\d{2}$/.test(day) && !Number.isNaN(Date.parse(day));
  const end = isDay(last) && last < today ? last : today;
  const begin = isDay(first) && first < end ? first : end;
  const days = [];
  for (let time = Date.parse(end); time >= Date.parse(begin) && days.length < MAX_DAYS; time -= 24 * HOUR_MS) {
    days.unshift(new Date(time).toISOString().slice(0, 10));
  }
  return days;
}

/**
 * The lines of a day: every hour that has begun, those without readings too, and one more for each further patient of
 * an hour.
 * @param {{ start: string, end: string, hours: Hour[] }} report
 * @param {number} now unix milliseconds
 * @returns {Line[]}
 */
export function reportLines({ start, end, hours }, now) {
  const lines = [];
  let last = "";
  for (let time = Date.parse(start); time < Math.min(Date.parse(end), now); time += HOUR_MS) {
    const found = hours.filter((hour) => Date.parse(hour.time) === time);
    found.sort((a, b) => Number(stayOf(b) === last) - Number(stayOf(a) === last)); // who was there before comes first
    if (!found.length) lines.push({ time, hour: null, stay: null });
    for (const hour of found) {
      const stay = stayOf(hour);
      lines.push({ time, hour, stay: stay === last ? null : stay });
      last = stay;
    }
  }
  return lines;
}

/** @param {Hour} hour */
function stayOf({ ward, patient_id: patient }) {
  const named = patient ? `Patient ${patient}` : "Patient not named by the device";
  return `${named}, ward ${ward}`;
}

/**
 * Minutes with a reading, of those that have passed.
 * @param {{ start: string, end: string, hours: Hour[] }} report
 * @param {number} now unix milliseconds
 */
export function recorded({ start, end, hours }, now) {
  const passed = Math.max(0, Math.floor((Math.min(Date.parse(end), now) - Date.parse(start)) / MINUTE_MS));
  return { minutes: Math.min(passed, hours.reduce((sum, hour) => sum + hour.minutes, 0)), passed };
}

/**
 * Minimum, mean and maximum: `60 / 78 / 101`; "–" where the sign was not measured.
 * @param {Spread | undefined} spread
 * @param {{ decimals: number }} sign
 */
export function spreadText(spread, sign) {
  if (!spread || spread.avg === null) return "–";
  return [spread.min, spread.avg, spread.max].map((value) => formatValue(value, sign)).join(" / ");
}

/**
 * The most urgent alerts of those given, in the order of time.
 * @template {{ priority: string, raised_at: string }} A
 * @param {A[]} alerts
 * @param {number} count
 */
export function mostUrgent(alerts, count) {
  const byTime = (/** @type {A} */ a, /** @type {A} */ b) => Date.parse(a.raised_at) - Date.parse(b.raised_at);
  return [...alerts].sort((a, b) => PRIORITY_RANKS[b.priority] - PRIORITY_RANKS[a.priority] || byTime(a, b)).slice(0, count).sort(byTime);
}
