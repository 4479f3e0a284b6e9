import assert from "node:assert/strict";
import { test } from "node:test";

import { passwordProblem } from "../../station/static/password.js";

test("the form says what is missing before it asks the station", () => {
  assert.equal(passwordProblem("", "", ""), "Enter your current password.");
  assert.equal(passwordProblem("old", "11 charact.", "11 charact."), "Use 12 characters or more for the new password.");
  assert.equal(passwordProblem("old", "correct horse", "correct hors"), "The two new passwords differ. Enter the same one twice.");
  assert.equal(passwordProblem("old", "correct horse", "correct horse"), "");
});
