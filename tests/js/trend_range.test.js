// The range of the charts of a bed: zoom, pan, the form in the URL.

import assert from "node:assert/strict";
import { test } from "node:test";

process.env.TZ = "Europe/Berlin";
const { bounds, isLive, LIVE, pan, part, rangeBetween, rangeFromQuery, rangeToQuery, stepText, zoom } = await import(
  "../../station/static/trend_range.js");
const { localTime } = await import("../../station/static/format.js");

const NOW = Date.parse("2026-03-29T12:00:00Z") / 1000;
const fixed = { seconds: 3600, end: NOW - 7200 };

test("a range that ends now follows the clock, and a fixed one stays", () => {
  assert.deepEqual(bounds(LIVE, NOW), { begin: NOW - 300, end: NOW });
  assert.deepEqual(bounds(fixed, NOW), bounds(fixed, NOW + 60));
});

test("zooming keeps the place under the pointer, and the present where the range follows it", () => {
  assert.deepEqual(bounds(zoom(fixed, 0.5, 0.25, NOW), NOW), { begin: NOW - 10800 + 450, end: NOW - 9000 + 450 });
  assert.deepEqual(zoom({ seconds: 600, end: null }, 2, 1, NOW), { seconds: 1200, end: null });
  assert.equal(isLive(zoom(LIVE, 2, 1, NOW)), false);
});

test("no range ends in the future, is shorter than a minute or longer than twenty years", () => {
  assert.deepEqual(pan(fixed, 5, NOW), { seconds: 3600, end: null });
  assert.equal(zoom(fixed, 1e-9, 0.5, NOW).seconds, 60);
  const all = zoom(fixed, 1e9, 0.5, NOW);
  assert.equal(all.end, null);
  assert.ok(all.seconds <= 20 * 366 * 86400);
  assert.ok(bounds(pan({ seconds: 20 * 366 * 86400, end: null }, -9, NOW), NOW).begin >= 0, "RFC 3339 has no year below 0");
});

test("panning moves by a share of the range and back", () => {
  const earlier = pan({ seconds: 3600, end: null }, -0.5, NOW);
  assert.deepEqual(earlier, { seconds: 3600, end: NOW - 1800 });
  assert.deepEqual(pan(earlier, 0.5, NOW), { seconds: 3600, end: null });
});

test("a selected part becomes the range, drawn in either direction", () => {
  assert.deepEqual(part(fixed, 0.5, 0.25, NOW), part(fixed, 0.25, 0.5, NOW));
  assert.deepEqual(bounds(part(fixed, 0.25, 0.5, NOW), NOW), { begin: NOW - 9900, end: NOW - 9000 });
});

test("the URL keeps a range, and one that is wrong shows the present", () => {
  for (const range of [LIVE, { seconds: 86400, end: null }, fixed]) {
    assert.deepEqual(rangeFromQuery(new URLSearchParams(rangeToQuery(range)), NOW), range);
  }
  assert.deepEqual(rangeToQuery(fixed), { from: "2026-03-29T09:00:00Z", to: "2026-03-29T10:00:00Z" });
  for (const query of ["last=x", "last=-5", "from=2026-03-29", "from=2027-01-01&to=2028-01-01", "from=b&to=a", "from=2026-03-29&to=2026-03-28"]) {
    assert.deepEqual(rangeFromQuery(new URLSearchParams(query), NOW), LIVE, query);
  }
});

test("a range from a form that ends in the future ends now", () => {
  assert.deepEqual(rangeBetween(NOW - 600, NOW + 600, NOW), { seconds: 1200, end: null });
});

test("steps are written for people", () => {
  assert.deepEqual([1, 15, 60, 900, 3600, 21600, 86400, 259200].map(stepText),
    ["1 s", "15 s", "1 min", "15 min", "1 h", "6 h", "day", "3 days"]);
});

test("a field of the form has the time of this machine, on both sides of the change of the clocks", () => {
  assert.equal(localTime(Date.parse("2026-03-29T00:30:00Z")), "2026-03-29T01:30");
  assert.equal(localTime(Date.parse("2026-03-29T01:30:00Z")), "2026-03-29T03:30");
  assert.equal(localTime(NaN), "");
});
