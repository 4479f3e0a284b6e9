// How things are said: priorities, durations, values. The same words and marks as everywhere in VitalFlow.

export const MARKS = { high: "!!!", medium: "!!", low: "!" };
export const RANKS = { high: 3, medium: 2, low: 1 };

/** `!!! high`, or for the equipment `[!!!] high`. */
export function badge(alert) {
  const mark = MARKS[alert.priority] ?? "!";
  return `${alert.kind === "technical" ? `[${mark}]` : mark} ${alert.priority}`;
}

/** A duration: 4 s, 3 min, 2.5 h, 4 d. */
export function span(seconds) {
  if (seconds < 120) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 48 * 3600 ? `${(seconds / 3600).toFixed(1)} h` : `${Math.round(seconds / 86400)} d`;
}

/** Where an alert stands: that it sounds, who silenced it, or that it waits to be acknowledged. */
export function standing(alert, now) {
  switch (alert.state) {
    case "acknowledged": return `acknowledged by ${alert.by ?? "?"}${alert.seen ? ` at ${moment(alert.seen, now)}` : ""}`;
    case "audio_paused": return `audio paused, ${span(((alert.paused_until ?? now) - now) / 1000)} left`;
    case "latched": return "over, not seen yet";
    default: return "active";
  }
}

/** A value as the sign's table wants it. */
export function shown(value, sign) {
  return value === undefined || value === null ? "–" : value.toFixed(sign.decimals);
}

/** The most urgent first; of one priority what sounds first, then the newest. */
export function inOrder(alerts) {
  const loud = (alert) => (alert.state === "active" ? 1 : 0);
  return [...alerts].sort((a, b) =>
    (RANKS[b.priority] ?? 0) - (RANKS[a.priority] ?? 0) || loud(b) - loud(a) || b.raised - a.raised ||
    (a.key < b.key ? -1 : 1));
}

/** bed 9 before bed 10. */
export const natural = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" }).compare;

/** The time of day. */
export function clock(milliseconds, seconds = true) {
  const wanted = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(seconds ? { second: "2-digit" } : {}) };
  return new Date(milliseconds).toLocaleTimeString(undefined, wanted);
}

/** Day and time, where it was not today. */
export function moment(milliseconds, now) {
  const then = new Date(milliseconds);
  if (then.toDateString() === new Date(now).toDateString()) return clock(milliseconds, false);
  return `${then.toLocaleDateString(undefined, { day: "numeric", month: "short" })} ${clock(milliseconds, false)}`;
}
