// Ticks at round local times, across both changes of the clocks. The time zone is set before the first date is made.

import assert from "node:assert/strict";
import { test } from "node:test";

process.env.TZ = "Europe/Berlin";
const { tickLabel, timeStep, timeTicks } = await import("../../station/static/time_axis.js");

const HOUR = 3600, DAY = 86400;
const seconds = (text) => Date.parse(text) / 1000;
const labels = (begin, end, step) => timeTicks(seconds(begin), seconds(end), step).map((time) => tickLabel(time, step));
const clock = (time) => {
  const date = new Date(time * 1000);
  return [date.getHours(), date.getMinutes(), date.getSeconds()];
};

test("the zone is in force", () => {
  assert.deepEqual([new Date("2026-01-01T00:00Z").getHours(), new Date("2026-07-01T00:00Z").getHours()], [1, 2]);
});

test("days stand at local midnight on both sides of the change in spring, one of them 23 hours long", () => {
  const ticks = timeTicks(seconds("2026-03-27T12:00+01:00"), seconds("2026-03-31T12:00+02:00"), DAY);
  assert.ok(ticks.every((time) => clock(time).every((part) => part === 0)));
  assert.deepEqual(ticks.slice(1).map((time, index) => (time - ticks[index]) / HOUR), [24, 23, 24]);
});

test("days stand at local midnight on both sides of the change in autumn, one of them 25 hours long", () => {
  const ticks = timeTicks(seconds("2026-10-23T12:00+02:00"), seconds("2026-10-27T12:00+01:00"), DAY);
  assert.ok(ticks.every((time) => clock(time).every((part) => part === 0)));
  assert.deepEqual(ticks.slice(1).map((time, index) => (time - ticks[index]) / HOUR), [24, 25, 24]);
});

test("a month across the change has all its ticks at midnight, and they stay in place while the axis moves on", () => {
  const begin = seconds("2026-03-10T09:30+01:00");
  const ticks = timeTicks(begin, begin + 30 * DAY, 5 * DAY);
  assert.ok(ticks.every((time) => clock(time).every((part) => part === 0)));
  assert.equal(ticks.length, 6);
  const later = timeTicks(begin + DAY, begin + 31 * DAY, 5 * DAY);
  assert.deepEqual(later.filter((time) => time <= begin + 30 * DAY), ticks.filter((time) => time >= begin + DAY));
});

test("the hour that the clocks skip has no tick", () => {
  assert.deepEqual(labels("2026-03-29T00:00+01:00", "2026-03-29T06:00+02:00", HOUR), ["00:00", "01:00", "03:00", "04:00", "05:00", "06:00"]);
  assert.deepEqual(labels("2026-03-28T22:00+01:00", "2026-03-29T10:00+02:00", 3 * HOUR), ["00:00", "03:00", "06:00", "09:00"]);
});

test("the hour that the clocks repeat has its tick twice, an hour apart", () => {
  const ticks = timeTicks(seconds("2026-10-25T00:00+02:00"), seconds("2026-10-25T04:00+01:00"), HOUR);
  assert.deepEqual(ticks.map((time) => tickLabel(time, HOUR)), ["00:00", "01:00", "02:00", "02:00", "03:00", "04:00"]);
  assert.ok(ticks.slice(1).every((time, index) => time - ticks[index] === HOUR));
});

test("on the day of the change the ticks of a 24-hour axis are multiples of six hours before and after it", () => {
  assert.deepEqual(labels("2026-10-24T13:00+02:00", "2026-10-25T13:00+01:00", 6 * HOUR), ["18:00", "00:00", "06:00", "12:00"]);
});

test("ticks lie within the axis, and both ends count", () => {
  const begin = seconds("2026-06-01T10:00+02:00");
  assert.deepEqual(timeTicks(begin, begin + 300, 60).map((time) => time - begin), [0, 60, 120, 180, 240, 300]);
  assert.deepEqual(timeTicks(begin + 1, begin + 299, 60).map((time) => time - begin), [60, 120, 180, 240]);
  assert.deepEqual(timeTicks(begin, begin - 1, 60), []);
});

test("the step is the smallest that leaves room for the labels", () => {
  assert.deepEqual([[300, 5], [300, 4], [DAY, 8], [DAY, 24], [30 * DAY, 8], [30 * DAY, 3], [900 * DAY, 3]].map(([length, most]) => timeStep(0, length, most)),
    [60, 300, 3 * HOUR, HOUR, 5 * DAY, 14 * DAY, 360 * DAY]);
});

test("years have ticks at the first days of months, which name the year", () => {
  const begin = seconds("2024-11-20T12:00Z"), end = seconds("2026-11-20T12:00Z"), step = timeStep(begin, end, 8);
  const ticks = timeTicks(begin, end, step);
  assert.equal(ticks.length, 4);
  assert.ok(ticks.every((time) => new Date(time * 1000).getDate() === 1 && clock(time).every((part) => part === 0)));
  assert.match(tickLabel(ticks[0], step), /2025/);
  assert.ok(timeTicks(0, 20 * 366 * DAY, timeStep(0, 20 * 366 * DAY, 8)).length <= 8);
});
