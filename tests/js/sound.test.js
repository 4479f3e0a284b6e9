// For which alert the signal sounds.

import assert from "node:assert/strict";
import { test } from "node:test";

import { highestPriority, ScreenPause, soundCauses } from "../../station/static/sound.js";

const alert = (priority, state = "active", ward = "icu-1") => ({ id: `${ward} ${priority}`, priority, state, ward });
const causes = (alerts, losses = [], now = 10_000) => soundCauses(alerts, losses, now, (ward) => ward === "icu-1", "stack");
const sounding = (...given) => highestPriority(causes(...given));

test("the signal is that of the highest priority among active alerts", () => {
  assert.equal(sounding([alert("low"), alert("high"), alert("medium")]), "high");
  assert.equal(sounding([alert("low"), alert("high", "acknowledged"), alert("medium", "audio_paused")]), "low");
  assert.equal(sounding([alert("high", "latched")]), null);
  assert.equal(sounding([]), null);
});

test("the loss of broker, alert worker or station sounds as high priority after two seconds, whatever else sounds", () => {
  const loss = { id: "broker", since: 8500 };
  assert.equal(sounding([], [loss]), null, "it may end at once");
  assert.equal(sounding([], [loss], 10_500), "high");
  assert.equal(sounding([alert("low")], [loss], 10_500), "high");
});

test("a loss can be paused on the screen for two minutes, and a new loss or a new alert sounds", () => {
  const loss = { id: "alerts", since: 0 };
  const pause = new ScreenPause();
  const heard = (alerts, losses, now) => highestPriority(pause.filter(causes(alerts, losses, now), now));
  pause.start(causes([alert("medium")], [loss]), 10_000);
  assert.equal(heard([alert("medium")], [loss], 20_000), null, "no alert can be acknowledged meanwhile");
  assert.equal(heard([alert("medium"), alert("low")], [loss], 20_000), "low", "a new alert");
  assert.equal(heard([alert("medium")], [{ id: "alerts", since: 15_000 }], 20_000), "high", "lost again");
  assert.equal(heard([alert("medium")], [loss], 130_000), "high", "two minutes later");
});

test("an alert about the stack that the user cannot acknowledge can be paused on the screen, a patient's cannot", () => {
  const pause = new ScreenPause();
  const given = causes([alert("high"), alert("medium", "active", "stack")]);
  pause.start(given, 10_000);
  assert.deepEqual(pause.filter(given, 11_000).map(({ id }) => id), ["icu-1 high"]);
});
