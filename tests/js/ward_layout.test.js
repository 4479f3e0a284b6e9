// The tiles of the ward: how many columns, how large, in which order.

import assert from "node:assert/strict";
import { test } from "node:test";

import { news2Level } from "../../station/static/tile.js";
import { GAP, keepInPlace, urgency, wardLayout } from "../../station/static/ward_layout.js";

const fits = ({ columns, width, height }, count, area) =>
  columns * width + (columns - 1) * GAP <= area.width + 0.01 &&
  Math.ceil(count / columns) * height + (Math.ceil(count / columns) - 1) * GAP <= area.height + 0.01;

test("forty beds fit on a wall screen, and a few do not become giants", () => {
  const wall = { width: 1908, height: 1000 };
  for (const count of [1, 2, 7, 20, 40]) {
    const layout = wardLayout(count, wall.width, wall.height);
    assert.ok(fits(layout, count, wall), `${count} beds`);
    assert.ok(layout.width <= 460 && layout.height <= 400, `${count} beds`);
  }
});

test("more beds never get larger tiles", () => {
  const sizes = [1, 4, 9, 16, 30, 40].map((count) => wardLayout(count, 1908, 1000)).map(({ width, height }) => Math.min(width / 1.22, height));
  assert.deepEqual(sizes, sizes.toSorted((a, b) => b - a));
});

test("eight beds on a phone have two columns, and what does not fit scrolls at a legible size", () => {
  assert.equal(wardLayout(8, 378, 760).columns, 2);
  const crowded = wardLayout(200, 378, 760);
  assert.equal(crowded.columns, 2);
  assert.ok(crowded.width >= 158 && crowded.height >= 158);
  assert.equal(wardLayout(3, 100, 100).columns, 1);
});

test("an active alert comes before a silenced one of its priority, both before lower ones, then silent beds", () => {
  const ranks = [
    urgency({ priority: "high", state: "active" }, false),
    urgency({ priority: "high", state: "acknowledged" }, false),
    urgency({ priority: "medium", state: "active" }, true),
    urgency({ priority: "low", state: "acknowledged" }, false),
    urgency(undefined, true),
    urgency(undefined, false),
  ];
  assert.deepEqual(ranks, ranks.toSorted((a, b) => b - a));
  assert.equal(new Set(ranks).size, ranks.length);
});

test("the clinical risk of a NEWS2 has the thresholds of the RCP", () => {
  const level = (total, worst) => news2Level({ total, worst });
  assert.deepEqual([level(0, 0), level(1, 1), level(4, 2), level(3, 3), level(5, 2), level(6, 3), level(7, 2)], ["none", "low", "low", "medium", "medium", "medium", "high"]);
});

test("pinned items keep their places and the others are sorted around them", () => {
  const sorted = ["d", "a", "b", "c"], shown = ["a", "b", "c", "d"];
  assert.deepEqual(keepInPlace(sorted, shown, new Set()), sorted);
  assert.deepEqual(keepInPlace(sorted, shown, new Set(["c"])), ["d", "a", "c", "b"]);
  assert.deepEqual(keepInPlace(sorted, shown, new Set(["a", "d"])), ["a", "b", "c", "d"]);
  assert.deepEqual(keepInPlace([], [], new Set()), []);
});
