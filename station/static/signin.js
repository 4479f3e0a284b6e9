// The sign-in page. The broker verifies name and password.

import { detailText, failureText } from "./api.js";
import { byId, setText } from "./dom.js";
import { toSentence } from "./format.js";
import { enableAudio, playSound } from "./sound.js";
import { load, save, takeFromPreviousPage } from "./storage.js";
import { initTheme } from "./theme.js";

const PAGES = ["/", "/alerts", "/bed"];
/** @type {any[]} */
const [form, name, password, sound, problem, show] =
  ["signin", "name-field", "password-field", "sound-field", "problem", "show"].map(byId);
const submit = form.querySelector("button.primary");

/** Where to go after signing in: one of the station's own pages, whatever the address says. */
function target() {
  const to = new URL(new URLSearchParams(location.search).get("to") ?? "/", location.origin);
  return to.origin === location.origin && PAGES.includes(to.pathname) ? to.pathname + to.search : "/";
}

form.addEventListener("submit", async (/** @type {Event} */ event) => {
  event.preventDefault();
  const missing = [name, password].find((field) => field.value.trim() === "");
  if (missing) {
    setText(problem, missing === name ? "Enter your name." : "Enter your password.");
    missing.focus();
    return;
  }
  setText(problem, "");
  submit.disabled = true;
  const credentials = { name: name.value.trim(), password: password.value };
  let message;
  try {
    const response = await fetch("/signin", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(credentials) });
    if (response.ok) {
      save("sound", sound.checked ? "on" : "off");
      location.replace(target());
      return;
    }
    const { detail } = await response.json().catch(() => ({}));
    message = toSentence(detailText(detail) ?? failureText(response.status));
  } catch {
    message = "The station does not respond. Watch the patients directly, and try again in a minute.";
  }
  submit.disabled = false;
  setText(problem, message);
  password.select();
});

show.addEventListener("click", () => {
  const visible = password.type === "text";
  password.type = visible ? "password" : "text";
  setText(show, visible ? "Show" : "Hide");
  show.setAttribute("aria-pressed", String(!visible));
});

/** A screen that lost its login shows no alarms: a technical alarm, until the screen is touched. */
function soundUnattended() {
  byId("unattended").hidden = false;
  if (!sound.checked) return;
  enableAudio(true);
  const timer = setInterval(() => playSound([{ priority: "medium" }]), 500);
  for (const input of ["pointerdown", "keydown"]) {
    addEventListener(input, () => { clearInterval(timer); enableAudio(false); }, { once: true });
  }
}

initTheme(byId("theme"));
sound.checked = load("sound", "on") === "on";
if (takeFromPreviousPage("unattended")) soundUnattended();
setText(byId("reason"), takeFromPreviousPage("reason"));
show.setAttribute("aria-label", "Show the password");
name.focus();
// A link on another site sends no cookie (SameSite=Strict), so a signed-in browser arrives here too.
fetch("/ui/me").then((response) => { if (response.ok) location.replace(target()); }, () => {});
