// The age group that a date of birth gives.

import assert from "node:assert/strict";
import { test } from "node:test";

import { AGE_GROUPS, ageGroup } from "../../station/static/patient.js";

const TODAY = new Date(2026, 10, 29);

test("the age group changes with the birthday and after 27 days", () => {
  const groups = {
    "2026-11-29": "neonate", "2026-11-02": "neonate", "2026-11-01": "infant", "2025-11-30": "infant",
    "2025-11-29": "child-1-4", "2021-11-30": "child-1-4", "2021-11-29": "child-5-11", "2014-11-30": "child-5-11",
    "2014-11-29": "child-12-15", "2010-11-30": "child-12-15", "2010-11-29": "adult", "1926-01-01": "adult",
  };
  for (const [birth, group] of Object.entries(groups)) {
    assert.equal(ageGroup(birth, TODAY), group, birth);
    assert.ok(group in AGE_GROUPS);
  }
});

test("a leap day counts as a birthday from the first of March on", () => {
  assert.equal(ageGroup("2024-02-29", new Date(2025, 1, 28)), "infant");
  assert.equal(ageGroup("2024-02-29", new Date(2025, 2, 1)), "child-1-4");
});

test("a date in the future, of another century or of no calendar gives no age group", () => {
  for (const birth of ["2026-11-30", "1826-01-01", "", "today"]) assert.equal(ageGroup(birth, TODAY), null, birth);
});
