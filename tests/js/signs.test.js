// The rows of signs.

import assert from "node:assert/strict";
import { test } from "node:test";

import { signRows } from "../../station/static/signs.js";

const sign = (key, fields = {}) => ({ key, label: `label of ${key}`, short: key.toUpperCase(), unit: "u", low: 0, high: 50, ...fields });

test("rows have the order of a monitor, whatever the order of the table, and pressures share one", () => {
  const rows = signRows({ signs: ["temperature", "diastolic_bp", "spo2", "systolic_bp", "heart_rate"].map((key) => sign(key)) });
  assert.deepEqual(rows.map((row) => row.signs.map(({ key }) => key)), [["heart_rate"], ["spo2"], ["systolic_bp", "diastolic_bp"], ["temperature"]]);
  assert.deepEqual(rows.map((row) => row.label)[2], "Blood pressure");
  assert.deepEqual(rows.map((row) => row.big), [true, true, false, false]);
});

test("an unknown sign gets a row of its own at the end, a tenth of its range high", () => {
  const rows = signRows({ signs: [sign("etco2", { low: 0, high: 80 }), sign("heart_rate")] });
  assert.deepEqual(rows.map((row) => row.key), ["heart_rate", "etco2"]);
  assert.equal(rows[1].span, 8);
  assert.equal(rows[1].name, "ETCO2");
});
