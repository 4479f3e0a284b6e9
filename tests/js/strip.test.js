// Sparklines: gaps are not joined, and a lone value is a dot.

import assert from "node:assert/strict";
import { test } from "node:test";

import { drawCurve, valueRange } from "../../station/static/strip.js";

/** A context that records what is drawn. */
function recorder() {
  const calls = [];
  const record = (name) => (...given) => calls.push([name, ...given.slice(0, 2)]);
  return { calls, beginPath() {}, stroke() {}, fill() {}, moveTo: record("moveTo"), lineTo: record("lineTo"), arc: record("arc") };
}

const BOX = { left: 0, top: 0, width: 100, height: 10 };

test("values within the gap are joined, others begin a new line, and lone ones are dots", () => {
  const context = recorder();
  drawCurve(context, BOX, [0, 5, 50, 90, 95], [0, 10, 5, null, 10], 0, 0, 100, { low: 0, high: 10 }, 10);
  assert.deepEqual(context.calls, [["moveTo", 0, 10], ["lineTo", 5, 0], ["moveTo", 50, 5], ["moveTo", 95, 0], ["arc", 50, 5], ["arc", 95, 0]]);
});

test("the range counts values from an index on", () => {
  const range = valueRange([[1000, 70, 80], [null, 60, undefined]], 1, 10);
  assert.ok(range.low < 60 && range.low > 55 && range.high > 80 && range.high < 85);
  assert.equal(valueRange([[1, null]], 1, 10), null);
});
