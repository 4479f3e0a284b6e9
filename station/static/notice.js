// A short message at the foot of the page, which screen readers announce.

import { byId } from "./dom.js";

const INFO_MS = 4000;
const ERROR_MS = 9000;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/**
 * Show a message for a few seconds.
 * @param {string} message
 * @param {boolean} isError
 */
export function showNotice(message, isError = false) {
  const notice = byId("notice");
  notice.textContent = message;
  notice.dataset.error = String(isError);
  notice.dataset.shown = "true";
  clearTimeout(timer);
  timer = setTimeout(() => { notice.dataset.shown = "false"; }, isError ? ERROR_MS : INFO_MS);
}
