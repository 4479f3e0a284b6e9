// Zoom and pan by mouse, finger or pen. A plain wheel and a vertical movement of a finger scroll the page, as elsewhere.

import { el } from "./dom.js";

/**
 * @typedef {{
 *   pan: (share: number) => void, zoom: (factor: number, anchor: number) => void, select: (first: number, second: number) => void,
 * }} Handlers  all in shares of the width of the chart; `anchor`: the place that stays where it is
 */

const DRAG_PX = 4; // a shorter movement is a click
const LINE_PX = 16; // of wheels that count lines
const ZOOM_PER_PX = 1.0025;

/**
 * Dragging pans, with Shift it selects a part to zoom to; Ctrl and the wheel zoom, Shift and the wheel pan.
 * @param {HTMLElement} node
 * @param {Handlers} handlers
 */
export function addGestures(node, handlers) {
  const selection = node.appendChild(el("div", { class: "selection", hidden: true }));
  /** @type {{ id: number, start: number, last: number, selects: boolean, moved: boolean } | null} */
  let drag = null;

  node.addEventListener("wheel", (event) => {
    const pixels = (event.deltaY || event.deltaX) * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE_PX : 1);
    const isSideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (!event.ctrlKey && !event.metaKey && !isSideways) return;
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) handlers.zoom(ZOOM_PER_PX ** pixels, event.offsetX / node.clientWidth);
    else handlers.pan((event.deltaX || pixels) / node.clientWidth);
  }, { passive: false });

  node.addEventListener("pointerdown", (event) => {
    if (event.button || !event.isPrimary) return;
    drag = { id: event.pointerId, start: event.offsetX, last: event.offsetX, selects: event.shiftKey, moved: false };
  });
  node.addEventListener("pointermove", (event) => {
    if (!drag || event.pointerId !== drag.id) return;
    if (!drag.moved && Math.abs(event.offsetX - drag.start) < DRAG_PX) return;
    if (!drag.moved) node.setPointerCapture(drag.id);
    drag.moved = true;
    if (drag.selects) {
      selection.hidden = false;
      selection.style.left = `${Math.min(drag.start, event.offsetX)}px`;
      selection.style.width = `${Math.abs(event.offsetX - drag.start)}px`;
    } else handlers.pan((drag.last - event.offsetX) / node.clientWidth);
    drag.last = event.offsetX;
  });
  node.addEventListener("pointerup", () => {
    const ended = drag;
    drag = null;
    if (!ended?.moved || !ended.selects) return;
    selection.hidden = true;
    handlers.select(ended.start / node.clientWidth, ended.last / node.clientWidth);
  });
  node.addEventListener("pointercancel", () => {
    drag = null;
    selection.hidden = true;
  });
}
