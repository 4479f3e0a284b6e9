"""Scripts that look at the page from outside, put in before its own: what it sounds, and when it shows what."""

# Counts the tones that were started. Nothing of the page's own is asked.
COUNT_TONES = """
globalThis.tones = 0;
const start = OscillatorNode.prototype.start;
OscillatorNode.prototype.start = function (...given) {
  globalThis.tones += 1;
  return start.apply(this, given);
};
"""

# For every reading that reaches a tile: milliseconds from its time (given by whoever publishes it, on this machine) to
# the end of the frame of the screen that shows it. The first reading of a tile came with the page and does not count.
LATENCIES = """
globalThis.latencies = [];
new MutationObserver((records) => {
  const times = records.filter((one) => one.oldValue !== null).map((one) => Number(one.target.dataset.time));
  if (!times.length) return;
  requestAnimationFrame(() => setTimeout(() => {
    const now = performance.timeOrigin + performance.now();
    for (const time of times) globalThis.latencies.push(now - time);
  }));
}).observe(document, { subtree: true, attributes: true, attributeFilter: ["data-time"], attributeOldValue: true });
"""
