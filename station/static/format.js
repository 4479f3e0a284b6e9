// How values, durations, times and priorities are written.

/** @type {Record<string, string>} */
export const PRIORITY_MARKS = { high: "!!!", medium: "!!", low: "!" };
/** @type {Record<string, number>} */
export const PRIORITY_RANKS = { high: 3, medium: 2, low: 1 };

/**
 * The mark of a priority: `!!!`, for a technical alert `[!!!]`.
 * @param {{ priority: string, kind: string }} alert
 */
export function priorityMark(alert) {
  const mark = PRIORITY_MARKS[alert.priority] ?? "!";
  return alert.kind === "technical" ? `[${mark}]` : mark;
}

/**
 * `!!! high`, for a technical alert `[!!!] high`.
 * @param {{ priority: string, kind: string }} alert
 */
export function priorityBadge(alert) {
  return `${priorityMark(alert)} ${alert.priority}`;
}

/**
 * A duration: 4 s, 3 min, 2.5 h, 4 d.
 * @param {number} seconds
 */
export function formatDuration(seconds) {
  if (seconds < 120) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 48 * 3600 ? `${(seconds / 3600).toFixed(1)} h` : `${Math.round(seconds / 86400)} d`;
}

/**
 * The state of an alert, in words.
 * @param {import("./types.js").Alert} alert
 * @param {number} now unix milliseconds
 */
export function stateText(alert, now) {
  switch (alert.state) {
    case "acknowledged": {
      const time = alert.acknowledged_at ? ` at ${formatDateTime(alert.acknowledged_at, now)}` : "";
      return `acknowledged by ${alert.acknowledged_by ?? "?"}${time}`;
    }
    case "audio_paused": return `audio paused, ${formatDuration(((alert.paused_until ?? now) - now) / 1000)} left`;
    case "latched": return "condition ended, not acknowledged";
    default: return alert.unanswered_since ? `not answered for ${formatDuration((now - alert.unanswered_since) / 1000)}` : "active";
  }
}

/**
 * The mark of an alert that makes no sound: acknowledged, audio paused, or latched (its condition has ended).
 * @type {Record<string, string>}
 */
export const STATE_MARKS = { acknowledged: "✓ ", audio_paused: "‖ ", latched: "◌ " };

/**
 * What an alert was at its worst and is now: ", worst 8 at 20:20, now 0"; empty for an alert without values.
 * @param {import("./types.js").Alert} alert
 * @param {number | undefined} present the present value of its sign, or the score
 * @param {number} now unix milliseconds
 */
export function courseText(alert, present, now) {
  if (alert.worst_value === undefined || alert.worst_at === undefined) return "";
  const [worst, current] = [alert.worst_value, present].map((value) => (value === undefined ? undefined : Math.round(value * 10) / 10));
  const past = alert.worst_at !== alert.raised || !alert.text.includes(":") ? `, worst ${worst} at ${formatDateTime(alert.worst_at, now)}` : "";
  return past + (current === undefined || current === worst ? "" : `, now ${current}`);
}

/**
 * The worst value of a past alert, where the value that raised it is not the worst; else empty.
 * @param {import("./types.js").PastAlert} alert
 * @param {number} now unix milliseconds
 * @param {(time: number, now: number) => string} formatMoment
 */
export function pastWorst(alert, now, formatMoment = formatDateTime) {
  if (alert.worst_value === null || alert.worst_value === alert.first_value) return "";
  return `, worst ${Math.round(alert.worst_value * 10) / 10} at ${formatMoment(Date.parse(alert.worst_value_at ?? ""), now)}`;
}

/**
 * A value with the decimals of its sign; "–" where there is none.
 * @param {number | null | undefined} value
 * @param {{ decimals: number }} sign
 */
export function formatValue(value, sign) {
  return value === undefined || value === null ? "–" : value.toFixed(sign.decimals);
}

/**
 * Sort by priority; within a priority active alerts first, then the newest.
 * @param {Iterable<import("./types.js").Alert>} alerts
 */
export function sortByUrgency(alerts) {
  /** @param {import("./types.js").Alert} alert */
  const active = (alert) => (alert.state === "active" ? 1 : 0);
  return [...alerts].sort((a, b) =>
    (PRIORITY_RANKS[b.priority] ?? 0) - (PRIORITY_RANKS[a.priority] ?? 0) || active(b) - active(a) ||
    b.raised - a.raised || (a.key < b.key ? -1 : 1));
}

/** Compare names so that bed 9 comes before bed 10. */
export const compareNatural = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" }).compare;

/**
 * The time of day.
 * @param {number} milliseconds unix time
 * @param {boolean} withSeconds
 */
export function formatTime(milliseconds, withSeconds = true) {
  return new Date(milliseconds).toLocaleTimeString(undefined, {
    hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(withSeconds ? { second: "2-digit" } : {}),
  });
}

/**
 * The day and month.
 * @param {number} milliseconds unix time
 * @param {boolean} withYear
 */
export function formatDay(milliseconds, withYear = false) {
  return new Date(milliseconds).toLocaleDateString(undefined, { day: "numeric", month: "short", ...(withYear ? { year: "numeric" } : {}) });
}

/**
 * The month and year.
 * @param {number} milliseconds unix time
 */
export function formatMonth(milliseconds) {
  return new Date(milliseconds).toLocaleDateString(undefined, { month: "short", year: "numeric" });
}

/**
 * The time of day, with the day where it is not today, and the year where it is not this one.
 * @param {number} milliseconds unix time
 * @param {number} now unix time in milliseconds
 */
export function formatDateTime(milliseconds, now) {
  const then = new Date(milliseconds), today = new Date(now);
  const time = formatTime(milliseconds, false);
  return then.toDateString() === today.toDateString() ? time : `${formatDay(milliseconds, then.getFullYear() !== today.getFullYear())} ${time}`;
}

/**
 * The value of a datetime-local field, to the minute, in the time zone of this machine; empty for NaN.
 * @param {number} milliseconds unix time
 */
export function localTime(milliseconds) {
  if (Number.isNaN(milliseconds)) return "";
  return new Date(milliseconds - new Date(milliseconds).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/**
 * A text with a capital at its beginning and a full stop at its end.
 * @param {string} text
 */
export function toSentence(text) {
  const sentence = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(sentence) ? sentence : `${sentence}.`;
}
