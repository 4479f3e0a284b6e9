// The vendored library is that of the locked package: `make js-vendor` copies it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const station = new URL("../../station/", import.meta.url);
const read = (path) => readFileSync(new URL(path, station), "utf8");
const FILES = { "uPlot.esm.js": "dist/uPlot.esm.js", "uPlot.esm.d.ts": "dist/uPlot.d.ts", "uPlot.min.css": "dist/uPlot.min.css", LICENSE: "LICENSE" };

for (const [vendored, source] of Object.entries(FILES)) {
  test(`static/vendor/uplot/${vendored} equals the file of the package`, () => {
    assert.ok(read(`static/vendor/uplot/${vendored}`) === read(`node_modules/uplot/${source}`), "run `make js-vendor` and commit the result");
  });
}

test("the installed package is the locked one", () => {
  const locked = JSON.parse(read("package-lock.json")).packages["node_modules/uplot"].version;
  assert.equal(JSON.parse(read("node_modules/uplot/package.json")).version, locked);
  assert.equal(JSON.parse(read("package.json")).devDependencies.uplot, locked, "pinned");
});
