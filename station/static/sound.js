// The auditory alarm signal: bursts of pulses after IEC 60601-1-8. High priority has ten pulses, medium three, low one;
// each pulse is a low note with harmonics and soft edges, so that its direction can be located.
//
// A browser plays sound only after the user has interacted with the page. Where it refuses, the page shows that.

import { PRIORITY_RANKS } from "./format.js";

/** @typedef {"high" | "medium" | "low"} Priority */

/** @type {Record<Priority, number>} seconds */
const PULSE_S = { high: 0.12, medium: 0.2, low: 0.2 };
/** @type {Record<Priority, number[]>} hertz */
const PITCHES = { high: [523.25, 523.25, 523.25, 659.25, 783.99], medium: [523.25, 440, 349.23], low: [349.23] };
/** @type {Record<Priority, number[]>} seconds from the start of a burst */
const PULSE_STARTS = {
  high: [0, 0.22, 0.44, 0.8, 1.02].flatMap((at) => [at, at + 1.7]).sort((a, b) => a - b),
  medium: [0, 0.4, 0.8],
  low: [0],
};
/** @type {Record<Priority, number>} from the end of a burst to the next */
const PAUSE_MS = { high: 4000, medium: 8000, low: 20000 };
const LOSS_DELAY_MS = 2000; // a loss that ends at once, such as a page that connects again, does not sound
const SCREEN_PAUSE_MS = 120_000;
const HARMONICS = [1, 0.55, 0.4, 0.3, 0.2];

/** @type {AudioContext | null} */
let context = null;
let nextBurstAt = 0;
/** @type {Priority | null} */
let lastPriority = null;

/**
 * Switch the sound on (in an event handler of the user's input) or off. Returns whether the browser plays it now.
 * @param {boolean} on
 */
export async function enableAudio(on) {
  if (!on) {
    await context?.suspend();
    return false;
  }
  context ??= new AudioContext();
  await Promise.race([context.resume(), new Promise((done) => setTimeout(done, 300))]);
  return context.state === "running";
}

/** Whether the browser lets the page play sound. */
export function isAudible() {
  return context?.state === "running";
}

/**
 * What a signal sounds for. `onScreen`: it can be paused on this screen, because it cannot be acknowledged here.
 * @typedef {{ id: string, priority: string, onScreen: boolean }} Cause
 */

/**
 * The causes: active alerts, and the loss of what raises or brings them, which is a technical alarm of the page itself.
 * While something is lost no alert can be acknowledged, so everything can be paused on this screen.
 * @param {{ id: string, state: string, priority: string, ward: string }[]} alerts
 * @param {{ id: string, since: number }[]} losses
 * @param {number} now unix milliseconds, as in `since`
 * @param {(ward: string) => boolean} mayAnswer whether the user may acknowledge the alerts of a ward
 * @param {string} ownWard the ward of alerts about the stack, which a user of one ward sees but cannot acknowledge
 * @returns {Cause[]}
 */
export function soundCauses(alerts, losses, now, mayAnswer, ownWard) {
  const lost = losses.filter((loss) => now - loss.since >= LOSS_DELAY_MS);
  return [
    ...lost.map((loss) => ({ id: `${loss.id} ${loss.since}`, priority: "high", onScreen: true })),
    ...alerts.filter((alert) => alert.state === "active").map((alert) => ({
      id: alert.id, priority: alert.priority, onScreen: lost.length > 0 || (alert.ward === ownWard && !mayAnswer(alert.ward)),
    })),
  ];
}

/** A pause of the causes that were there when it began, on this screen only. A new cause sounds. */
export class ScreenPause {
  constructor() {
    this.until = -Infinity;
    /** @type {Set<string>} */
    this.ids = new Set();
  }

  /**
   * @param {Cause[]} causes
   * @param {number} now milliseconds
   */
  start(causes, now) {
    this.until = now + SCREEN_PAUSE_MS;
    this.ids = new Set(causes.filter((cause) => cause.onScreen).map((cause) => cause.id));
  }

  /**
   * The causes that still sound.
   * @param {Cause[]} causes
   * @param {number} now milliseconds
   */
  filter(causes, now) {
    return now >= this.until ? causes : causes.filter((cause) => !this.ids.has(cause.id));
  }
}

/**
 * The highest priority of the causes; null without any.
 * @param {{ priority: string }[]} causes
 * @returns {Priority | null}
 */
export function highestPriority(causes) {
  const [highest] = [...causes].sort((a, b) => PRIORITY_RANKS[b.priority] - PRIORITY_RANKS[a.priority]);
  return highest ? /** @type {Priority} */ (highest.priority) : null;
}

/**
 * Play the signal of the highest priority where a burst is due; a higher priority interrupts the pause. To be called
 * often. Returns that priority.
 * @param {{ priority: string }[]} causes
 */
export function playSound(causes) {
  const priority = highestPriority(causes);
  if (priority === null) {
    nextBurstAt = 0;
    lastPriority = null;
  } else if (context && isAudible()) {
    const at = performance.now();
    if (at >= nextBurstAt || (lastPriority !== null && PRIORITY_RANKS[priority] > PRIORITY_RANKS[lastPriority])) {
      nextBurstAt = at + playBurst(context, priority) * 1000 + PAUSE_MS[priority];
      lastPriority = priority;
    }
  }
  return priority;
}

/**
 * Schedule one burst. Returns its length in seconds.
 * @param {AudioContext} audio
 * @param {Priority} priority
 */
function playBurst(audio, priority) {
  const begin = audio.currentTime + 0.03;
  const pitches = PITCHES[priority], width = PULSE_S[priority], starts = PULSE_STARTS[priority];
  starts.forEach((start, index) => playPulse(audio, pitches[index % pitches.length], begin + start, width));
  return starts[starts.length - 1] + width;
}

/**
 * @param {AudioContext} audio
 * @param {number} pitch
 * @param {number} at
 * @param {number} width
 */
function playPulse(audio, pitch, at, width) {
  const volume = audio.createGain();
  const rise = width * 0.18;
  volume.gain.setValueAtTime(0, at);
  volume.gain.linearRampToValueAtTime(0.16, at + rise);
  volume.gain.setValueAtTime(0.16, at + width - rise);
  volume.gain.linearRampToValueAtTime(0, at + width);
  volume.connect(audio.destination);
  HARMONICS.forEach((gain, index) => {
    const tone = audio.createOscillator(), level = audio.createGain();
    tone.frequency.value = pitch * (index + 1);
    level.gain.value = gain;
    tone.connect(level).connect(volume);
    tone.start(at);
    tone.stop(at + width + 0.02);
    if (index === 0) tone.addEventListener("ended", () => volume.disconnect());
  });
}
