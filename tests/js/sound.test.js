// For which alert the signal sounds.

import assert from "node:assert/strict";
import { test } from "node:test";

import { soundingPriority } from "../../station/static/sound.js";

test("the signal is that of the highest priority among active alerts", () => {
  const alert = (priority, state = "active") => ({ priority, state });
  assert.equal(soundingPriority([alert("low"), alert("high"), alert("medium")]), "high");
  assert.equal(soundingPriority([alert("low"), alert("high", "acknowledged"), alert("medium", "audio_paused")]), "low");
  assert.equal(soundingPriority([alert("high", "latched")]), null);
  assert.equal(soundingPriority([]), null);
});
