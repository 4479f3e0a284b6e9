// The audible signal: bursts of pulses after IEC 60601-1-8. High is ten pulses, medium three, low one; each pulse a low
// note with harmonics, soft at both ends, so that a person can tell where it comes from.
//
// A browser lets a page sound only after its person has touched it: the switch is that touch, and where the browser still
// refuses, the page says so and does not pretend.

import { RANKS } from "./words.js";

const PULSE = { high: 0.12, medium: 0.2, low: 0.2 }; // seconds
const PITCH = { high: [523.25, 523.25, 523.25, 659.25, 783.99], medium: [523.25, 440, 349.23], low: [349.23] };
const STARTS = {
  high: [0, 0.22, 0.44, 0.8, 1.02].flatMap((at) => [at, at + 1.7]).sort((a, b) => a - b),
  medium: [0, 0.4, 0.8],
  low: [0],
};
const PAUSE = { high: 4000, medium: 8000, low: 20000 }; // milliseconds from the end of a burst to the next
const HARMONICS = [1, 0.55, 0.4, 0.3, 0.2];

let context = null;
let next = 0;
let playing = null;

/** Switch the sound on (inside a person's touch) or off; whether it can be heard now. */
export async function allow(on) {
  if (!on) {
    await context?.suspend();
    return false;
  }
  context ??= new AudioContext();
  await Promise.race([context.resume(), new Promise((done) => setTimeout(done, 300))]);
  return context.state === "running";
}

/** Whether the browser lets us sound. */
export function audible() {
  return context?.state === "running";
}

/** Called often: sound for the worst of these alerts, where a burst is due. A worse one does not wait. */
export function sound(alerts) {
  const worst = alerts.filter((alert) => alert.state === "active").reduce(
    (found, alert) => (RANKS[alert.priority] > (RANKS[found] ?? 0) ? alert.priority : found), null);
  if (worst === null) {
    next = 0;
    playing = null;
    return null;
  }
  if (!audible()) return worst;
  const at = performance.now();
  if (at >= next || RANKS[worst] > RANKS[playing]) {
    const length = burst(worst);
    next = at + length * 1000 + PAUSE[worst];
    playing = worst;
  }
  return worst;
}

/** One burst; its length in seconds. */
export function burst(priority) {
  const begin = context.currentTime + 0.03;
  const pitches = PITCH[priority], width = PULSE[priority];
  STARTS[priority].forEach((start, place) => pulse(pitches[place % pitches.length], begin + start, width));
  return STARTS[priority].at(-1) + width;
}

function pulse(pitch, at, width) {
  const volume = context.createGain();
  const rise = width * 0.18;
  volume.gain.setValueAtTime(0, at);
  volume.gain.linearRampToValueAtTime(0.16, at + rise);
  volume.gain.setValueAtTime(0.16, at + width - rise);
  volume.gain.linearRampToValueAtTime(0, at + width);
  volume.connect(context.destination);
  HARMONICS.forEach((loud, place) => {
    const tone = context.createOscillator(), level = context.createGain();
    tone.frequency.value = pitch * (place + 1);
    level.gain.value = loud;
    tone.connect(level).connect(volume);
    tone.start(at);
    tone.stop(at + width + 0.02);
    if (place === 0) tone.addEventListener("ended", () => volume.disconnect());
  });
}
