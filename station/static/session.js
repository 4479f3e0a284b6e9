// The login of this browser: where to go when it has ended, and signing out.

import { keepFor } from "./keep.js";

let leaving = false;

/** Go to the page for signing in, which comes back to here afterwards; `why`: what it tells. */
export function leave(why = "") {
  if (leaving) return;
  leaving = true;
  keepFor("why", why);
  location.replace(`/signin?to=${encodeURIComponent(location.pathname + location.search)}`);
}

/** Whether an answer says that nobody is signed in here any more; then the page is left. */
export function hasEnded(answer) {
  if (answer.status === 401) leave("Your login has ended. Sign in again.");
  return answer.status === 401;
}

/** Ask whether this browser is signed in; leaves the page where it is not. Where the station is away, nothing is known. */
export async function check() {
  try {
    hasEnded(await fetch("/ui/me"));
  } catch {
    // The page says that it has lost the station.
  }
}

/** Sign this browser out, on all its pages. */
export async function signOut() {
  await fetch("/signout", { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
  leave("You have signed out.");
}
