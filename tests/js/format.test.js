// How values, durations, times and priorities are written.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  compareNatural, courseText, formatDateTime, formatDuration, formatValue, priorityBadge, priorityMark, sortByUrgency, stateText, toSentence,
} from "../../station/static/format.js";

test("a duration has the unit that suits its length", () => {
  const written = [-3, 0, 4.4, 119.4, 120, 3599, 7199, 7200, 9000, 47.9 * 3600, 48 * 3600, 4 * 86400].map(formatDuration);
  assert.deepEqual(written, ["0 s", "0 s", "4 s", "119 s", "2 min", "60 min", "120 min", "2.0 h", "2.5 h", "47.9 h", "2 d", "4 d"]);
});

test("the mark of a technical alert is in brackets", () => {
  assert.equal(priorityMark({ priority: "high", kind: "physiological" }), "!!!");
  assert.equal(priorityBadge({ priority: "medium", kind: "technical" }), "[!!] medium");
  assert.equal(priorityBadge({ priority: "unheard-of", kind: "physiological" }), "! unheard-of");
});

test("a value has the decimals of its sign, and no value is a dash and not 0", () => {
  assert.equal(formatValue(36.84, { decimals: 1 }), "36.8");
  assert.equal(formatValue(97, { decimals: 0 }), "97");
  assert.equal(formatValue(0, { decimals: 0 }), "0");
  assert.equal(formatValue(null, { decimals: 0 }), "–");
  assert.equal(formatValue(undefined, { decimals: 1 }), "–");
});

test("the state of an alert names who acknowledged it and when, and the rest of an audio pause", () => {
  const now = Date.parse("2026-03-01T10:00:00Z");
  assert.equal(stateText({ state: "active" }, now), "active");
  assert.equal(stateText({ state: "active", unanswered_since: now - 200_000 }, now), "not answered for 3 min");
  assert.equal(stateText({ state: "latched" }, now), "condition ended, not acknowledged");
  assert.equal(stateText({ state: "acknowledged", acknowledged_by: "Ada", acknowledged_at: now }, now), `acknowledged by Ada at ${formatDateTime(now, now)}`);
  assert.equal(stateText({ state: "acknowledged", acknowledged_by: "Ada" }, now), "acknowledged by Ada");
  assert.equal(stateText({ state: "audio_paused", paused_until: now + 61_000 }, now), "audio paused, 61 s left");
});

test("a moment of another day has its day", () => {
  const noon = new Date(2026, 2, 1, 12, 5).getTime();
  assert.equal(formatDateTime(noon, new Date(2026, 2, 1, 23, 59).getTime()), "12:05");
  assert.match(formatDateTime(noon, new Date(2026, 2, 2, 0, 1).getTime()), /1.* 12:05$/);
  assert.match(formatDateTime(noon, new Date(2027, 2, 1, 12, 5).getTime()), /2026.* 12:05$/, "of another year");
});

test("alerts are sorted by priority, then active ones first, then the newest", () => {
  const alert = (key, priority, state, raised) => ({ key, priority, state, raised });
  const alerts = [
    alert("low", "low", "active", 9),
    alert("old", "high", "active", 1),
    alert("silenced", "high", "acknowledged", 8),
    alert("new", "high", "active", 2),
    alert("same-b", "medium", "active", 5),
    alert("same-a", "medium", "active", 5),
  ];
  assert.deepEqual(sortByUrgency(alerts).map(({ key }) => key), ["new", "old", "silenced", "same-a", "same-b", "low"]);
  assert.equal(alerts[0].key, "low", "the argument is left as it is");
});

test("bed 9 comes before bed 10", () => {
  assert.deepEqual(["bed-10", "bed-9", "Bed-1"].sort(compareNatural), ["Bed-1", "bed-9", "bed-10"]);
});

test("a text becomes a sentence, once", () => {
  assert.equal(toSentence("the station does not respond"), "The station does not respond.");
  assert.equal(toSentence("Nothing was sent."), "Nothing was sent.");
});

test("an alert names its worst value with the time, and the present one where it differs", () => {
  const at = new Date(2026, 10, 29, 20, 30).getTime(), worst = new Date(2026, 10, 29, 20, 20).getTime();
  /** @type {any} */
  const alert = { text: "NEWS2", raised: worst - 60_000, worst_value: 8, worst_at: worst };
  assert.equal(courseText(alert, 0, at), ", worst 8 at 20:20, now 0");
  assert.equal(courseText(alert, 8, at), ", worst 8 at 20:20");
  assert.equal(courseText(alert, undefined, at), ", worst 8 at 20:20");
  assert.equal(courseText({ ...alert, text: "Temperature high: 39.1 °C", raised: worst }, 38.04, at), ", now 38");
  assert.equal(courseText({ ...alert, worst_value: undefined }, 0, at), "");
});
