// The title and the icon of the browser tab.

import assert from "node:assert/strict";
import { test } from "node:test";

import { tabIcon, tabTitle } from "../../station/static/tab.js";

test("the title has the number of open alerts, or says that there is no data", () => {
  assert.equal(tabTitle("Ward", 0, true), "Ward – VitalFlow");
  assert.equal(tabTitle("Ward", 3, true), "(3) Ward – VitalFlow");
  assert.equal(tabTitle("Ward", 3, false), "(no data) Ward – VitalFlow");
});

test("the icon has the number and the highest priority of the open alerts", () => {
  assert.equal(tabIcon(0, undefined), "/static/icon.svg");
  assert.equal(tabIcon(3, "medium"), "/ui/icon.svg?count=3&priority=medium");
});
