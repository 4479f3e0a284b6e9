// The live connection to the station: server-sent events, and a watchdog, because old numbers look exactly like new ones.

import { checkSession, goToSignIn, redirectIfSignedOut } from "./session.js";
import { applyFrame, expectSnapshot, mergeRecent, noChanges, notify, RECENT_S, setLink, store } from "./store.js";

const LOST_AFTER_MS = 3000; // without a frame, though one comes at least every second
const RETRY_MS = 1000;

let receivedAt = 0;
/** @type {EventSource | null} */
let source = null;
/** @type {ReturnType<typeof setInterval> | null} */
let watchdog = null;

/** Connect to the station, and reconnect for as long as the page is open. */
export function connect() {
  source?.close();
  receivedAt ||= performance.now();
  const opened = (source = new EventSource("/ui/live"));
  opened.addEventListener("hello", (event) => {
    store.hello = JSON.parse(event.data);
  });
  opened.addEventListener("logged_out", (event) => goToSignIn(JSON.parse(event.data)));
  opened.addEventListener("message", (event) => {
    if (store.hello) receive(JSON.parse(event.data));
  });
  opened.addEventListener("error", () => {
    expectSnapshot();
    setLink("lost");
    if (opened.readyState !== EventSource.CLOSED) return; // the browser reconnects by itself
    setTimeout(connect, RETRY_MS);
    checkSession();
  });
  watchdog ??= setInterval(() => {
    if (performance.now() - receivedAt > LOST_AFTER_MS) setLink("lost"); // also where the first frame does not come
  }, 500);
}

/** @param {import("./types.js").Frame} frame */
function receive(frame) {
  const at = performance.now();
  if (!applyFrame(frame, at)) {
    connect(); // a frame is missing: start again with a snapshot
    return;
  }
  receivedAt = at;
  if (frame.snapshot) fetchRecent();
}

/**
 * Fetch the minutes before this page was opened, of one bed or of all.
 * @param {string | null} device
 */
export async function fetchRecent(device = null) {
  const query = device === null ? "seconds=120" : `seconds=${RECENT_S}&device=${encodeURIComponent(device)}`;
  try {
    const response = await fetch(`/ui/recent?${query}`, { headers: { Accept: "application/json" } });
    if (redirectIfSignedOut(response) || !response.ok) return;
    const recent = /** @type {Record<string, import("./types.js").Recent>} */ (await response.json());
    for (const [known, earlier] of Object.entries(recent)) mergeRecent(known, earlier);
    notify({ ...noChanges(), beds: new Set(store.beds.keys()) });
  } catch {
    // The next connection fetches it again.
  }
}
