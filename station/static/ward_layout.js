// How many columns the ward has, how large a tile is, and how urgent a bed is. Pure.

import { PRIORITY_RANKS } from "./format.js";

export const GAP = 6; // pixels between tiles
const MIN_SIZE = { width: 158, height: 158 };
const MAX_SIZE = { width: 460, height: 400 };
const ASPECT = 1.22; // preferred width by height of a tile

/**
 * The columns that make `count` tiles as large as possible within the area; where they would be too small, the tiles get
 * the least size and the page scrolls. Sizes in pixels.
 * @param {number} count
 * @param {number} width
 * @param {number} height
 */
export function wardLayout(count, width, height) {
  let best = { columns: 0, width: 0, height: 0, size: 0 };
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const tileWidth = Math.min((width - GAP * (columns - 1)) / columns, MAX_SIZE.width);
    const tileHeight = Math.min((height - GAP * (rows - 1)) / rows, MAX_SIZE.height);
    if (tileWidth < MIN_SIZE.width || tileHeight < MIN_SIZE.height) continue;
    const size = Math.min(tileWidth / ASPECT, tileHeight);
    if (size > best.size) best = { columns, width: tileWidth, height: Math.min(tileHeight, tileWidth / 0.8), size };
  }
  if (best.columns > 0) return best;
  const columns = Math.max(1, Math.floor((width + GAP) / (Math.min(190, Math.max(MIN_SIZE.width, width / 2 - GAP)) + GAP)));
  const tileWidth = (width - GAP * (columns - 1)) / columns;
  return { columns, width: tileWidth, height: Math.max(MIN_SIZE.height, Math.min(tileWidth / ASPECT, 200)) };
}

/**
 * The sorted order, in which each pinned item keeps the place that it has now.
 * @template T
 * @param {T[]} sorted
 * @param {T[]} current the same items as they are shown
 * @param {Set<T>} pinned
 */
export function keepInPlace(sorted, current, pinned) {
  const others = sorted.filter((item) => !pinned.has(item));
  let next = 0;
  return current.map((item) => (pinned.has(item) ? item : others[next++]));
}

/**
 * A number by which beds are sorted: an active alert before a silenced one of its priority, then silent beds.
 * @param {{ priority: string, state: string } | undefined} alert the most urgent of the bed
 * @param {boolean} isSilent
 */
export function urgency(alert, isSilent) {
  if (!alert) return isSilent ? 0.5 : 0;
  return (PRIORITY_RANKS[alert.priority] ?? 0) * 2 + (alert.state === "active" ? 1 : 0);
}
