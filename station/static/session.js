// The session of this browser: what to do when it has ended, and signing out.

import { saveForNextPage } from "./storage.js";

const SIGNED_OUT = "You have signed out.";
let redirected = false;

/** Go to the sign-in page, which returns here afterwards, shows `reason`, and sounds unless the user has signed out. */
export function goToSignIn(reason = "") {
  if (redirected) return;
  redirected = true;
  saveForNextPage("reason", reason);
  saveForNextPage("unattended", reason === SIGNED_OUT ? "" : "yes");
  location.replace(`/signin?to=${encodeURIComponent(location.pathname + location.search)}`);
}

/**
 * Go to the sign-in page where a response says that the session has ended; whether it does.
 * @param {Response} response
 */
export function redirectIfSignedOut(response) {
  if (response.status === 401) goToSignIn("Your login has ended. Sign in again.");
  return response.status === 401;
}

/** Check the session and go to the sign-in page where it has ended. Does nothing while the station is unreachable. */
export async function checkSession() {
  try {
    redirectIfSignedOut(await fetch("/ui/me"));
  } catch {
    // The page shows that the connection to the station is lost.
  }
}

/** Sign this browser out, on all its pages. Rejects where the station is unreachable. */
export async function signOut() {
  await fetch("/signout", { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
  goToSignIn(SIGNED_OUT);
}
