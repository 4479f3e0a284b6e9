// Curves on a canvas: the sparklines of a tile.

/**
 * Fit a canvas to its box and the screen's pixels, and clear it. The context uses CSS pixels.
 * @param {HTMLCanvasElement} canvas
 * @param {{ width: number, height: number }} box measured where it is not given, which costs a layout
 */
export function prepareCanvas(canvas, box = canvas.getBoundingClientRect()) {
  const scale = Math.min(globalThis.devicePixelRatio || 1, 2);
  const width = Math.round(box.width * scale), height = Math.round(box.height * scale);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, box.width, box.height);
  return { context, width: box.width, height: box.height };
}

/**
 * The range of an axis: that of the values from index `from` on, at least `span` high, with a margin of 8 %. Null where
 * there are no values.
 * @param {ArrayLike<number | null | undefined>[]} columns
 * @param {number} from
 * @param {number} span
 */
export function valueRange(columns, from, span) {
  let low = Infinity, high = -Infinity;
  for (const column of columns) {
    for (let index = from; index < column.length; index += 1) {
      const value = column[index];
      if (value === null || value === undefined) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) return null;
  const missing = Math.max(0, span - (high - low)) / 2;
  const margin = Math.max(high - low, span) * 0.08;
  return { low: low - missing - margin, high: high + missing + margin };
}

/**
 * Draw a curve within a box. Values more than `gap` seconds apart are not joined: a line there would look like a
 * measurement. A value without neighbours is a dot.
 * @param {CanvasRenderingContext2D} context
 * @param {{ left: number, top: number, width: number, height: number }} box
 * @param {number[]} times unix seconds
 * @param {(number | null)[]} values
 * @param {number} from first index to draw
 * @param {number} begin unix seconds at the left edge
 * @param {number} seconds width of the box
 * @param {{ low: number, high: number }} scale
 * @param {number} gap seconds
 */
export function drawCurve(context, box, times, values, from, begin, seconds, scale, gap) {
  /** @param {number} time */
  const x = (time) => box.left + ((time - begin) / seconds) * box.width;
  /** @param {number} value */
  const y = (value) => box.top + box.height * (1 - (value - scale.low) / (scale.high - scale.low));
  /** @type {{ time: number, value: number } | null} */
  let previous = null;
  let joined = false;
  const dots = [];
  context.beginPath();
  for (let index = from; index < times.length; index += 1) {
    const value = values[index];
    if (value === null || value === undefined) continue;
    const time = times[index];
    if (previous !== null && time - previous.time <= gap) {
      context.lineTo(x(time), y(value));
      joined = true;
    } else {
      if (previous !== null && !joined) dots.push(previous);
      context.moveTo(x(time), y(value));
      joined = false;
    }
    previous = { time, value };
  }
  if (previous !== null && !joined) dots.push(previous);
  context.stroke();
  context.fillStyle = context.strokeStyle;
  for (const dot of dots) {
    context.beginPath();
    context.arc(x(dot.time), y(dot.value), 1.8, 0, 7);
    context.fill();
  }
}
