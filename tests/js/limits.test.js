// The limits of a bed: what applies, what a form's fields mean.

import assert from "node:assert/strict";
import { test } from "node:test";

import { applicableLimits, effectiveLevels, formatLimit, levelNames, limitsNote, parseLimits } from "../../station/static/limits.js";

const RULE = { name: "spo2-low", levels: [{ priority: "low", limit: 90 }, { priority: "medium", limit: 85 }, { priority: "high", limit: 80 }] };

test("a bed's own limit replaces the default of its level only", () => {
  const values = (limits) => effectiveLevels(RULE, { limits }).map(({ value, own }) => [value, own]);
  assert.deepEqual(values({ "spo2-low": [88, null, 78] }), [[88, true], [85, false], [78, true]]);
  assert.deepEqual(values({ "spo2-low": 88 }), [[88, true], [85, false], [80, false]], "one number is the first level");
  assert.deepEqual(values({ "spo2-low": [0] }), [[0, true], [85, false], [80, false]], "0 is a limit");
  assert.deepEqual(values({ "heart-rate-high": [140] }), [[90, false], [85, false], [80, false]]);
  assert.deepEqual(effectiveLevels(RULE, null).map(({ value }) => value), [90, 85, 80]);
});

test("the levels of a rule have different names", () => {
  const named = (...priorities) => levelNames(priorities.map((priority) => ({ priority, limit: 1 })));
  assert.deepEqual(named("medium", "high"), ["medium", "high"]);
  assert.deepEqual(named("medium", "high", "high"), ["medium", "high 1", "high 2"]);
});

test("limits of another patient do not apply", () => {
  const own = { by: "Ada", patient_id: "p-1" };
  assert.equal(applicableLimits(own, "p-1"), own);
  assert.equal(applicableLimits(own, "p-2"), null);
  assert.equal(applicableLimits(own, undefined), own, "while no other patient is known");
  assert.equal(applicableLimits({ by: "Ada" }, "p-2")?.by, "Ada", "limits of the bed apply to everyone in it");
  assert.equal(applicableLimits(null, "p-1"), null);
});

test("the note says whose limits they are, and that they do not apply", () => {
  assert.equal(limitsNote(null, "p-1"), "Default limits.");
  assert.equal(limitsNote({ by: "Ada" }, "p-1"), "Set by Ada, marked with •.");
  assert.equal(limitsNote({ by: "Ada", patient_id: "p-1" }, "p-1"), "Set by Ada for p-1, marked with •.");
  assert.equal(limitsNote({ by: "Ada", patient_id: "p-1" }, "p-2"), "Set by Ada for p-1, who is not in this bed now. Default limits apply.");
});

test("a field is empty, a number with a point or a comma, or no number", () => {
  assert.deepEqual(parseLimits(["", "  ", "88", " 37,5 ", "37.5", "-1"]), [null, null, 88, 37.5, 37.5, -1]);
  assert.ok(["ninety", "1,2,3", "88 %"].every((text) => Number.isNaN(parseLimits([text])[0])));
});

test("a limit is written without digits that say nothing", () => {
  assert.deepEqual([38.5, 120, 0.1 + 0.2].map(formatLimit), ["38.5", "120", "0.3"]);
});
