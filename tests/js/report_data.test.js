// The printed report of a bed: days, hours with gaps and changes of patient, the recorded share, the alerts that fit.

import assert from "node:assert/strict";
import { test } from "node:test";

import { mostUrgent, recorded, reportDays, reportLines, spreadText } from "../../station/static/report_data.js";

const START = "2026-03-03T05:00:00Z", END = "2026-03-04T05:00:00Z";
const at = (hour) => Date.parse(START) + hour * 3600_000;
const hour = (number, patient, minutes = 60) => ({ time: new Date(at(number)).toISOString(), ward: "icu-1", patient_id: patient, minutes, news2: null, signs: {} });

test("days are inclusive, at most the last 31, and none is in the future", () => {
  assert.deepEqual(reportDays("2026-02-27", "2026-03-01", "2026-11-29"), ["2026-02-27", "2026-02-28", "2026-03-01"]);
  assert.deepEqual(reportDays("2026-11-28", "2027-01-01", "2026-11-29"), ["2026-11-28", "2026-11-29"]);
  assert.deepEqual(reportDays("x", "", "2026-11-29"), ["2026-11-29"]);
  assert.deepEqual(reportDays("2026-03-02", "2026-03-01", "2026-11-29"), ["2026-03-01"]);
  const many = reportDays("2020-01-01", "2026-11-29", "2026-11-29");
  assert.deepEqual([many.length, many[0], many[30]], [31, "2026-10-30", "2026-11-29"]);
});

test("an hour without readings has a line, and hours to come have none", () => {
  const lines = reportLines({ start: START, end: END, hours: [hour(0, "p-1"), hour(2, "p-1")] }, at(3.5));
  assert.deepEqual(lines.map(({ hour: found }) => found !== null), [true, false, true, false]);
  assert.equal(reportLines({ start: START, end: END, hours: [] }, at(99)).length, 24);
});

test("a change of the patient is said where it happens, the earlier patient first", () => {
  const hours = [hour(0, "p-2"), hour(1, "p-1", 20), hour(1, "p-2", 40), hour(2, "p-1"), hour(3, null)];
  const lines = reportLines({ start: START, end: END, hours }, at(4));
  assert.deepEqual(lines.map(({ stay }) => stay), [
    "Patient p-2, ward icu-1", null, "Patient p-1, ward icu-1", null, "Patient not named by the device, ward icu-1",
  ]);
});

test("the recorded share is of the minutes that have passed", () => {
  const report = { start: START, end: END, hours: [hour(0, "p-1", 50), hour(1, "p-1", 30)] };
  assert.deepEqual(recorded(report, at(1.5)), { minutes: 80, passed: 90 });
  assert.deepEqual(recorded(report, at(99)), { minutes: 80, passed: 1440 });
  assert.deepEqual(recorded({ ...report, hours: [] }, at(-1)), { minutes: 0, passed: 0 });
});

test("a sign shows minimum, mean and maximum, or that it was not measured", () => {
  assert.equal(spreadText({ min: 60, avg: 78.4, max: 101 }, { decimals: 0 }), "60 / 78 / 101");
  assert.equal(spreadText({ min: null, avg: null, max: null }, { decimals: 0 }), "–");
  assert.equal(spreadText(undefined, { decimals: 0 }), "–");
});

test("the most urgent alerts are kept, in the order of time", () => {
  const alerts = [["low", 1], ["high", 3], ["medium", 2], ["low", 0]].map(([priority, number]) => ({ priority, raised_at: new Date(at(number)).toISOString() }));
  assert.deepEqual(mostUrgent(alerts, 3).map(({ priority }) => priority), ["low", "medium", "high"]);
  assert.equal(mostUrgent(alerts, 9).length, 4);
});
