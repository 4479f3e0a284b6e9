// Requests to the station, and the alert commands of the user who is signed in.

import { toSentence } from "./format.js";
import { showNotice } from "./notice.js";
import { redirectIfSignedOut } from "./session.js";
import { mayModify, store } from "./store.js";

export const READ_ONLY = "You have read-only access to this ward.";
const COMMAND_INTERVAL_MS = 100; // the alert service drops the commands of a person that come faster than 16 a second
const ENDED = "your login has ended";

/** @type {Record<string, string>} */
const DONE = { acknowledge: "acknowledged", pause_audio: "audio paused for two minutes", resume_audio: "audio resumed" };

/**
 * Send a command about an alert and show the result.
 * @param {import("./types.js").Alert} alert
 * @param {"acknowledge" | "pause_audio" | "resume_audio"} action
 * @param {HTMLButtonElement | null} button disabled while the command is under way
 */
export async function sendAlertCommand(alert, action, button = null) {
  const { ward, device, rule } = alert;
  if (!mayModify(ward)) {
    showNotice(READ_ONLY, true);
    return;
  }
  if (button) button.disabled = true;
  const result = await sendJson("POST", "/ui/alerts", { ward, device, rule, action });
  if (button) button.disabled = false;
  if (result.ok) showNotice(`${alert.name} ${alert.text}: ${DONE[action]}`);
  else showNotice(toSentence(result.problem), true);
}

/**
 * Send a command about several alerts, one after the other, and show how many it reached. An alert that is in another
 * state by then is left out: it may alarm anew.
 * @param {import("./types.js").Alert[]} alerts
 * @param {"acknowledge" | "pause_audio"} action
 * @param {HTMLButtonElement} button disabled while the commands are under way
 */
export async function sendAlertCommands(alerts, action, button) {
  button.disabled = true;
  let done = 0, problem = "";
  for (const { key, state, ward, device, rule } of alerts) {
    if (store.alerts.get(key)?.state !== state) continue;
    const result = await sendJson("POST", "/ui/alerts", { ward, device, rule, action });
    if (result.ok) done += 1;
    else problem = result.problem;
    await new Promise((resolve) => setTimeout(resolve, COMMAND_INTERVAL_MS));
  }
  button.disabled = false;
  const count = `${done} of ${alerts.length} alerts: ${DONE[action]}`;
  showNotice(problem ? `${count}. ${toSentence(problem)}` : count, Boolean(problem));
}

/**
 * Send JSON. Never rejects: `problem` says what went wrong, without a full stop.
 * @param {string} method
 * @param {string} url
 * @param {unknown} body
 * @returns {Promise<{ ok: boolean, problem: string }>}
 */
export async function sendJson(method, url, body) {
  try {
    const response = await fetch(url, {
      method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    if (response.ok) return { ok: true, problem: "" };
    return { ok: false, problem: await problemOf(response) };
  } catch {
    return { ok: false, problem: "nothing was changed, because the station does not respond; watch the patients directly" };
  }
}

/**
 * Fetch JSON. Never rejects: the result is `{ problem }` where the station gave none.
 * @param {string} url
 * @returns {Promise<any>}
 */
export async function getJson(url) {
  try {
    const response = await fetch(url);
    return response.ok ? await response.json() : { problem: await problemOf(response) };
  } catch {
    return { problem: "the station does not respond; watch the patients directly" };
  }
}

/**
 * Fetch a file. Never rejects: the result is `{ problem }` where the station gave none.
 * @param {string} url
 * @returns {Promise<{ file?: Blob, problem?: string }>}
 */
export async function getFile(url) {
  try {
    const response = await fetch(url);
    return response.ok ? { file: await response.blob() } : { problem: await problemOf(response) };
  } catch {
    return { problem: "the file is not complete, because the station does not respond" };
  }
}

/** @param {Response} response */
async function problemOf(response) {
  if (redirectIfSignedOut(response)) return ENDED;
  const { detail } = await response.json().catch(() => ({}));
  return detailText(detail) ?? failureText(response.status);
}

/**
 * The `detail` of an error response as text; undefined where it has no known form.
 * @param {unknown} detail a text, or the list of validation errors that FastAPI sends: they name fields of a program
 */
export function detailText(detail) {
  if (typeof detail === "string") return detail;
  return Array.isArray(detail) ? "the station did not accept this; reload the page and try again" : undefined;
}

/**
 * What to do after a response without a reason.
 * @param {number} status of HTTP, for the technical support
 */
export function failureText(status) {
  return `the station could not do this; try again, and call technical support if it fails again (error ${status})`;
}
