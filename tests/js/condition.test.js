// The condition of a bed and of its signs, by the clock.

import assert from "node:assert/strict";
import { test } from "node:test";

import { bedCondition, readingAge, signState } from "../../station/static/condition.js";

const NOW = 1_700_000_000_000;
const SIGN = { key: "spo2", critical_above: null, critical_below: 85 };
const HELLO = { held_for_s: 900 };
const bed = (fields) => ({ online: true, silent_after: 5, values: {}, sensor_off: [], time: NOW, ...fields });

test("a bed is silent only after its own time without a reading", () => {
  assert.equal(bedCondition(bed({ time: NOW - 5000 }), NOW), "LIVE");
  assert.equal(bedCondition(bed({ time: NOW - 5001 }), NOW), "SILENT");
  assert.equal(bedCondition(bed({ time: NOW - 5001, silent_after: 180 }), NOW), "LIVE");
});

test("offline and silence have precedence over a sensor that is off", () => {
  assert.equal(bedCondition(bed({ sensor_off: ["spo2"] }), NOW), "SENSOR OFF");
  assert.equal(bedCondition(bed({ sensor_off: ["spo2"], time: NOW - 6000 }), NOW), "SILENT");
  assert.equal(bedCondition(bed({ online: false }), NOW), "OFFLINE");
  assert.equal(bedCondition(bed({ time: undefined }), NOW), "WAITING");
});

test("a discharged bed without a value since then has no patient, whatever its device is", () => {
  const vacant = { time: undefined, vacant_since: NOW - 1000 };
  assert.equal(bedCondition(bed(vacant), NOW), "VACANT");
  assert.equal(bedCondition(bed({ ...vacant, online: false }), NOW), "VACANT");
});

test("a reading from the future is 0 s old, and none has no age", () => {
  assert.equal(readingAge(bed({ time: NOW + 3000 }), NOW), 0);
  assert.equal(readingAge(bed({ time: NOW - 3000 }), NOW), 3);
  assert.equal(readingAge(bed({ time: undefined }), NOW), null);
});

test("a value of the last reading is current, an earlier one is held until it is too old", () => {
  assert.deepEqual(signState(bed({ values: { spo2: [97, 0] } }), SIGN, HELLO, NOW), { state: "now", value: 97, age: 0, beyond: null });
  assert.deepEqual(signState(bed({ values: { spo2: [97, 60] } }), SIGN, HELLO, NOW + 5000), { state: "held", value: 97, age: 65, beyond: null });
  assert.deepEqual(signState(bed({ values: { spo2: [97, 899] } }), SIGN, HELLO, NOW + 2000), { state: "none" });
});

test("a value is beyond its critical limit only outside of it", () => {
  const beyond = (value, sign) => signState(bed({ values: { spo2: [value, 0] } }), { ...SIGN, ...sign }, HELLO, NOW).beyond;
  assert.equal(beyond(85), null);
  assert.equal(beyond(84.9), "below");
  assert.equal(beyond(200, { critical_above: 150 }), "above");
  assert.equal(beyond(0, { critical_below: null }), null);
});

test("a sensor that is off has no value, even where one is known", () => {
  assert.deepEqual(signState(bed({ sensor_off: ["spo2"], values: { spo2: [97, 3] } }), SIGN, HELLO, NOW), { state: "off" });
});
