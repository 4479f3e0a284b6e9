// Frames become the state of the page: in order, without gaps, by the station's clock.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import {
  alertsAreMonitored, applyFrame, expectSnapshot, isCurrent, mayModify, mergeRecent, now, onChange, RECENT_S, setLink, store,
} from "../../station/static/store.js";

const SIGNS = [{ key: "heart_rate" }, { key: "spo2" }];
const START = 1_700_000_000_000;
let received = 0; // local clock, ms

/** A frame that arrives `delay` ms after the station sent it. */
function frame(number, fields = {}, delay = 0) {
  received += 200;
  return applyFrame({ number, at: START + received - delay, ...fields }, received);
}

const bed = (device, fields = {}) => ({ device, ward: "icu-1", name: device, ...fields });

beforeEach(() => {
  store.hello = { signs: SIGNS, silent_after_s: 5, user: { name: "Ada", viewable: null, actionable: ["icu-1"] } };
  store.recent.clear();
  received = performance.now();
  for (let filler = 0; filler < 30; filler += 1) frame(0, { snapshot: true }); // forgets the clock of the test before
});

test("only a snapshot may come first, and a missing frame is noticed", () => {
  expectSnapshot();
  assert.equal(frame(7, { beds: [bed("bed-1")] }), false);
  assert.equal(store.beds.size, 0);
  assert.equal(frame(7, { snapshot: true, beds: [bed("bed-1")] }), true);
  assert.equal(frame(8, { beds: [bed("bed-2")] }), true);
  assert.equal(frame(10, { beds: [bed("bed-3")] }), false, "frame 9 is missing");
  assert.deepEqual([...store.beds.keys()], ["bed-1", "bed-2"]);
});

test("a snapshot replaces beds and alerts, a frame adds and removes", () => {
  frame(1, { snapshot: true, beds: [bed("bed-1"), bed("bed-2")], alerts: [{ key: "a", id: "1" }] });
  frame(2, { removed_beds: ["bed-1"], removed_alerts: ["a"], alerts: [{ key: "b", id: "2" }] });
  assert.deepEqual([[...store.beds.keys()], [...store.alerts.keys()]], [["bed-2"], ["b"]]);
  frame(9, { snapshot: true, beds: [bed("bed-3")] });
  assert.deepEqual([[...store.beds.keys()], store.alerts.size], [["bed-3"], 0]);
});

test("what the station omits has its default", () => {
  frame(1, { snapshot: true, beds: [bed("bed-1"), bed("bed-2", { online: false, silent_after: 180, sensor_off: ["spo2"] })] });
  const [first, second] = store.beds.values();
  assert.deepEqual([first.online, first.silent_after, first.sensor_off, first.values], [true, 5, [], {}]);
  assert.deepEqual([second.online, second.silent_after, second.sensor_off], [false, 180, ["spo2"]]);
});

test("listeners get what has changed", () => {
  const changes = [];
  const remove = onChange((change) => changes.push(change));
  frame(1, { snapshot: true, beds: [bed("bed-1")] });
  frame(2, { beds: [bed("bed-1")], alerts: [{ key: "a" }], outages: [{ name: "broker", since: 0, text: "" }] });
  frame(3, { removed_beds: ["bed-1"], outages: [{ name: "broker", since: 0, text: "" }] });
  remove();
  frame(4);
  assert.deepEqual(changes.map(({ snapshot, beds, removed, alerts, state }) => [snapshot, [...beds], removed, alerts, state]), [
    [true, ["bed-1"], [], true, false],
    [false, ["bed-1"], [], true, true],
    [false, [], ["bed-1"], false, false],
  ]);
});

test("the page is current only while frames arrive in time and the broker is connected", () => {
  frame(1, { snapshot: true });
  assert.deepEqual([isCurrent(), alertsAreMonitored()], [true, true]);
  frame(2, { outages: [{ name: "alerts-1", since: 0, text: "" }] });
  assert.deepEqual([isCurrent(), alertsAreMonitored()], [true, false]);
  frame(3, { outages: [{ name: "broker", since: 0, text: "" }] });
  assert.deepEqual([isCurrent(), alertsAreMonitored()], [false, false]);
  frame(4, {}, 3500);
  assert.equal(store.link, "behind");
  frame(5, {});
  assert.equal(store.link, "live");
  setLink("lost");
  assert.equal(isCurrent(), false);
});

test("ages are computed with the station's clock", () => {
  frame(1, { snapshot: true }, 40);
  frame(2);
  assert.ok(Math.abs(now() - (START + performance.now())) < 1, "of the quickest frame");
});

test("a user may modify what the station allows", () => {
  assert.deepEqual([mayModify("icu-1"), mayModify("icu-2")], [true, false]);
  store.hello.user.actionable = null;
  assert.equal(mayModify("icu-2"), true, "null is all wards");
  store.hello = null;
  assert.equal(mayModify("icu-1"), false, "before the station has said so");
});

test("recent values have one row a second, of values that were measured then", () => {
  const reading = (time, values) => bed("bed-1", { time, values });
  frame(1, { snapshot: true, beds: [reading(10_000, { heart_rate: [70, 0], spo2: [97, 3] })] });
  frame(2, { beds: [reading(10_400, { heart_rate: [71, 0] })] });
  frame(3, { beds: [reading(12_000, { heart_rate: [72, 0], spo2: [98, 0] })] });
  frame(4, { beds: [reading(11_000, { heart_rate: [1, 0] })] });
  assert.deepEqual(store.recent.get("bed-1"), { time: [10, 12], heart_rate: [71, 72], spo2: [null, 98] });
});

test("recent values end after five minutes", () => {
  frame(0, { snapshot: true });
  for (let second = 1; second <= RECENT_S + 7; second += 1) {
    frame(second, { beds: [bed("bed-1", { time: second * 1000, values: { heart_rate: [second, 0] } })] });
  }
  const { time, heart_rate } = store.recent.get("bed-1");
  assert.deepEqual([time.length, heart_rate.length, time[0], heart_rate[0]], [RECENT_S, RECENT_S, 8, 8]);
});

test("the station's history goes before what arrived here since, without overlap", () => {
  frame(1, { snapshot: true, beds: [bed("bed-1", { time: 20_000, values: { heart_rate: [70, 0] } })] });
  frame(2, { beds: [bed("bed-1", { time: 21_000, values: { heart_rate: [71, 0] } })] });
  mergeRecent("bed-1", { time: [18, 20], spo2: [95, 96] });
  assert.deepEqual(store.recent.get("bed-1"), { time: [18, 20, 21], heart_rate: [null, null, 71], spo2: [95, 96, null] });
  mergeRecent("bed-2", { time: [], heart_rate: [] });
  assert.deepEqual(store.recent.get("bed-2").time, []);
});
