// The range of time that the charts of a bed show: how it zooms and pans, and its form in the URL. Pure.

/**
 * @typedef {{ seconds: number, end: number | null }} TrendRange  `end` in unix seconds; null: now, the range moves on
 */

/** The newest readings, which arrive over MQTT; every other range is fetched from the database. */
export const LIVE = { seconds: 300, end: null };
const MIN_S = 60;
const MAX_S = 20 * 366 * 86400; // hours are kept without end

/** @param {TrendRange} range */
export function isLive(range) {
  return range.end === null && range.seconds === LIVE.seconds;
}

/**
 * @param {TrendRange} range
 * @param {number} now unix seconds
 * @returns {{ begin: number, end: number }} unix seconds
 */
export function bounds(range, now) {
  const end = range.end ?? now;
  return { begin: end - range.seconds, end };
}

/**
 * The range between two times, kept within its least and greatest length; it never ends in the future.
 * @param {number} begin unix seconds
 * @param {number} end unix seconds
 * @param {number} now unix seconds
 * @returns {TrendRange}
 */
export function rangeBetween(begin, end, now) {
  const seconds = Math.min(Math.max(end - begin, MIN_S), MAX_S);
  const last = (begin + end + seconds) / 2; // about the same middle
  return last >= now ? { seconds, end: null } : { seconds, end: Math.max(last, seconds) };
}

/**
 * @param {TrendRange} range
 * @param {number} factor below 1: shorter
 * @param {number} anchor the place that stays where it is, from 0 at the left edge to 1 at the right
 * @param {number} now unix seconds
 * @returns {TrendRange}
 */
export function zoom(range, factor, anchor, now) {
  const seconds = Math.min(Math.max(range.seconds * factor, MIN_S), MAX_S);
  if (range.end === null && anchor === 1) return { seconds, end: null };
  const begin = bounds(range, now).begin + anchor * (range.seconds - seconds);
  return rangeBetween(begin, begin + seconds, now);
}

/**
 * @param {TrendRange} range
 * @param {number} share of its length, negative: earlier
 * @param {number} now unix seconds
 * @returns {TrendRange}
 */
export function pan(range, share, now) {
  const { begin, end } = bounds(range, now);
  return rangeBetween(begin + share * range.seconds, end + share * range.seconds, now);
}

/**
 * The part of a range between two places in it, from 0 at the left edge to 1 at the right.
 * @param {TrendRange} range
 * @param {number} first
 * @param {number} second
 * @param {number} now unix seconds
 * @returns {TrendRange}
 */
export function part(range, first, second, now) {
  const { begin } = bounds(range, now);
  return rangeBetween(begin + Math.min(first, second) * range.seconds, begin + Math.max(first, second) * range.seconds, now);
}

/**
 * The range in the query of a URL: `last` in seconds, or `from` and `to` as RFC 3339; LIVE where there is none.
 * @param {URLSearchParams} query
 * @param {number} now unix seconds
 * @returns {TrendRange}
 */
export function rangeFromQuery(query, now) {
  const begin = Date.parse(query.get("from") ?? "") / 1000, end = Date.parse(query.get("to") ?? "") / 1000;
  if (begin < end && begin < now) return rangeBetween(begin, end, now);
  const seconds = Number(query.get("last"));
  return seconds > 0 ? { seconds: Math.min(Math.max(seconds, MIN_S), MAX_S), end: null } : LIVE;
}

/**
 * The query that `rangeFromQuery` reads.
 * @param {TrendRange} range
 * @returns {Record<string, string>}
 */
export function rangeToQuery(range) {
  if (isLive(range)) return {};
  if (range.end === null) return { last: String(Math.round(range.seconds)) };
  const { begin, end } = bounds(range, 0);
  return { from: formatUtc(begin), to: formatUtc(end) };
}

/** @param {number} seconds unix time */
function formatUtc(seconds) {
  return new Date(Math.round(seconds) * 1000).toISOString().replace(".000", "");
}

/**
 * The length of a step: `15 s`, `5 min`, `6 h`, `3 days`.
 * @param {number} seconds
 */
export function stepText(seconds) {
  const [size, unit] = seconds < 60 ? [1, "s"] : seconds < 3600 ? [60, "min"] : seconds < 86400 ? [3600, "h"] : [86400, "days"];
  return seconds === 86400 ? "day" : `${seconds / Number(size)} ${unit}`;
}
