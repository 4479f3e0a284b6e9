// Settings of the browser, with web storage and without.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { load, save, saveForNextPage, takeFromPreviousPage } from "../../station/static/storage.js";

class MemoryStorage {
  items = new Map();
  getItem(key) { return this.items.get(key) ?? null; }
  setItem(key, value) { this.items.set(key, value); }
  removeItem(key) { this.items.delete(key); }
}

function provide(local, session = local) {
  for (const [name, value] of [["localStorage", local], ["sessionStorage", session]]) {
    Object.defineProperty(globalThis, name, { configurable: true, get: typeof value === "function" ? value : () => value });
  }
}

const forbidden = () => { throw new Error("access is denied"); };

afterEach(() => provide(forbidden));

test("a setting is stored under the product's name and loaded again", () => {
  const local = new MemoryStorage();
  provide(local);
  assert.equal(load("theme", "night"), "night");
  save("theme", "day");
  assert.equal(load("theme", "night"), "day");
  assert.equal(local.items.get("vitalflow.theme"), "day");
});

test("where the browser forbids storage, a setting lasts until the page is closed", () => {
  provide(forbidden);
  assert.equal(load("order", "bed"), "bed");
  save("order", "urgency");
  assert.equal(load("order", "bed"), "urgency");
});

test("a message for the next page is read once, and is empty without storage", () => {
  provide(new MemoryStorage());
  saveForNextPage("reason", "You have signed out.");
  assert.equal(takeFromPreviousPage("reason"), "You have signed out.");
  assert.equal(takeFromPreviousPage("reason"), "");
  provide(forbidden);
  saveForNextPage("reason", "lost");
  assert.equal(takeFromPreviousPage("reason"), "");
});
