// What a chart draws: where lines break, dots, the range, and the text at the pointer.

import assert from "node:assert/strict";
import { test } from "node:test";

import { alertsAt, alertSpans, alignData, axisRange, describeAlert, describePoint, isolatedPoints, nearestMeasured } from "../../station/static/chart_data.js";

const U = undefined;

test("a line breaks where rows are too far apart, by a row between them", () => {
  assert.deepEqual(alignData([0, 10, 40, 50], [{ avg: [1, 2, 3, 4] }], 25), [
    [0, 10, 25, 40, 50], [1, 2, null, 3, 4], [null, null, null, null, null], [null, null, null, null, null],
  ]);
});

test("a value that was not measured in some rows is joined over them, unless they are too many", () => {
  const [, joined] = alignData([0, 10, 20, 30, 40], [{ avg: [1, null, 3, 4, 5] }], 25);
  assert.deepEqual(joined, [1, U, 3, 4, 5]);
  const [, broken] = alignData([0, 10, 20, 30, 40], [{ avg: [1, null, null, 4, null] }], 25);
  assert.deepEqual(broken, [1, null, null, 4, null]);
});

test("exactly the gap is still joined", () => {
  assert.deepEqual(alignData([0, 25], [{ avg: [1, 2] }], 25)[1], [1, 2]);
  assert.deepEqual(alignData([0, 26], [{ avg: [1, 2] }], 25)[1], [1, null, 2]);
});

test("average, maximum and minimum of each sign keep their order, and a short column is filled up", () => {
  const columns = [{ avg: [5, 6], min: [4, 5], max: [7, 8] }, { avg: [1] }];
  assert.deepEqual(alignData([0, 1], columns, 10), [[0, 1], [5, 6], [7, 8], [4, 5], [1, null], [null, null], [null, null]]);
  assert.deepEqual(alignData([], [{ avg: [] }], 10), [[], [], [], []]);
});

test("a value without a neighbour to be joined to is a dot", () => {
  assert.deepEqual(isolatedPoints([1, null, 2, 3, null, 4]), [0, 5]);
  assert.deepEqual(isolatedPoints([1, U, 2, null, null]), [], "joined over a row");
  assert.deepEqual(isolatedPoints([null, null]), []);
  assert.deepEqual(isolatedPoints([7]), [0]);
});

test("the axis holds the band, and is at least as high as the sign asks for", () => {
  const steady = axisRange([{ avg: [70, 70] }], 24);
  assert.ok(steady.high - steady.low >= 24 && Math.abs((steady.high + steady.low) / 2 - 70) < 1e-9);
  const wide = axisRange([{ avg: [70, null], min: [40, null], max: [130, null] }], 24);
  assert.ok(wide.low < 40 && wide.high > 130);
  assert.equal(axisRange([{ avg: [null, U] }], 24), null);
  assert.equal(axisRange([{ avg: [] }, { avg: [] }], 24), null);
});

test("the pointer finds the nearest row in which something was measured", () => {
  const columns = [{ avg: [1, null, null, 4] }, { avg: [null, null, 3, null] }];
  assert.equal(nearestMeasured([0, 10, 20, 30], columns, 9), 0);
  assert.equal(nearestMeasured([0, 10, 20, 30], columns, 11), 2, "of either sign");
  assert.equal(nearestMeasured([0, 10, 20, 30], columns, 1e9), 3);
  assert.equal(nearestMeasured([0, 10], [{ avg: [null, null] }], 5), -1);
});

test("a point is described with its time, values and band", () => {
  const at = new Date(2026, 2, 1, 10, 0).getTime();
  const row = { unit: "mmHg", signs: [{ decimals: 0 }, { decimals: 0 }] };
  const columns = [{ avg: [121.4], min: [112], max: [131] }, { avg: [null] }];
  assert.equal(describePoint(row, [at / 1000], columns, 0, at), "10:00  121/– mmHg (112 to 131)");
  assert.equal(describePoint(row, [at / 1000], [{ avg: [121] }, { avg: [80] }], 0, at), "10:00  121/80 mmHg");
});

test("alerts of the database and of the broker are drawn once, the open ones up to now", () => {
  const at = new Date(2026, 2, 1, 10, 0).getTime(), iso = (minutes) => new Date(at - minutes * 60_000).toISOString();
  const past = [
    { alert_id: "a", raised_at: iso(30), cleared_at: iso(20), priority: "high", kind: "physiological", sign: "spo2", text: "x" },
    { alert_id: "b", raised_at: iso(60), cleared_at: null, priority: "low", kind: "technical", sign: null, text: "y" },
  ];
  const open = [
    { id: "b", raised: at - 3_600_000, priority: "low", kind: "technical", text: "y" },
    { id: "c", raised: at - 5_000, priority: "medium", kind: "physiological", sign: "heart_rate", text: "z" },
  ];
  const spans = alertSpans(past, open, at);
  assert.deepEqual(spans.map(({ id, begin, end }) => [id, begin - at / 1000, end - at / 1000]), [["b", -3600, 0], ["a", -1800, -1200], ["c", -5, 0]]);
  assert.deepEqual(alertsAt(spans, at / 1000 - 1500, 0).map(({ id }) => id), ["a", "b"], "the most urgent first");
  assert.deepEqual(alertsAt(spans, at / 1000 - 6, 2).map(({ id }) => id), ["c", "b"], "within reach of the pointer");
  assert.equal(describeAlert(spans[1], at), "09:30  !!! x, for 10 min");
  assert.equal(describeAlert(spans[0], at), "09:00  [!] y, open");
});
