// Curves on a canvas: the sparkline of a tile, the strips of a bed.

/** Fit the canvas to its place (looked up where `box` is not given: that costs a layout) and the screen's pixels; the
 * context in CSS pixels, cleared, with width and height. */
export function prepare(canvas, box = canvas.getBoundingClientRect()) {
  const scale = Math.min(globalThis.devicePixelRatio || 1, 2);
  const width = Math.round(box.width * scale), height = Math.round(box.height * scale);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, box.width, box.height);
  return { context, width: box.width, height: box.height };
}

/** The range to draw: that of the values, at least `span` high, with a little air. */
export function range(columns, from, span) {
  let low = Infinity, high = -Infinity;
  for (const column of columns) {
    for (let place = from; place < column.length; place += 1) {
      const value = column[place];
      if (value === null || value === undefined) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) return null;
  const missing = Math.max(0, span - (high - low)) / 2;
  const air = Math.max(high - low, span) * 0.08;
  return { low: low - missing - air, high: high + missing + air };
}

/**
 * A curve through (times, values), within a box. Values further apart than `gap` seconds are not joined: a line across a
 * silence would say that somebody measured. One that stands alone is a dot.
 */
export function curve(context, box, times, values, from, begin, seconds, scale, gap) {
  const x = (time) => box.left + ((time - begin) / seconds) * box.width;
  const y = (value) => box.top + box.height * (1 - (value - scale.low) / (scale.high - scale.low));
  let before = null, joined = false;
  const dots = [];
  context.beginPath();
  for (let place = from; place < times.length; place += 1) {
    const value = values[place];
    if (value === null || value === undefined) continue;
    const time = times[place];
    if (before !== null && time - before.time <= gap) {
      context.lineTo(x(time), y(value));
      joined = true;
    } else {
      if (before !== null && !joined) dots.push(before);
      context.moveTo(x(time), y(value));
      joined = false;
    }
    before = { time, value };
  }
  if (before !== null && !joined) dots.push(before);
  context.stroke();
  context.fillStyle = context.strokeStyle;
  for (const dot of dots) {
    context.beginPath();
    context.arc(x(dot.time), y(dot.value), 1.8, 0, 7);
    context.fill();
  }
}
