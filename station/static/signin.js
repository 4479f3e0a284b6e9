// Signing in. The station asks the broker, and the page says what came of it.

import { text } from "./dom.js";
import { takeFor } from "./keep.js";
import { themed } from "./theme.js";

const PAGES = ["/", "/alerts", "/bed"];
const part = (id) => document.getElementById(id);
const [form, name, password, problem, show] = ["signin", "name-field", "password-field", "problem", "show"].map(part);
const submit = form.querySelector("button.primary");

/** Where to go afterwards: one of our own pages, whatever the address says. */
function target() {
  const to = new URL(new URLSearchParams(location.search).get("to") ?? "/", location.origin);
  return to.origin === location.origin && PAGES.includes(to.pathname) ? to.pathname + to.search : "/";
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const missing = [name, password].find((field) => field.value.trim() === "");
  if (missing) {
    text(problem, missing === name ? "Your name is missing." : "Your password is missing.");
    missing.focus();
    return;
  }
  text(problem, "");
  submit.disabled = true;
  const asked = { name: name.value.trim(), password: password.value };
  let told;
  try {
    const answer = await fetch("/signin", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(asked) });
    if (answer.ok) {
      location.replace(target());
      return;
    }
    const { detail } = await answer.json().catch(() => ({}));
    told = typeof detail === "string" ? detail : `The station answered ${answer.status}.`;
  } catch {
    told = "The station does not answer.";
  }
  submit.disabled = false;
  text(problem, told);
  password.select();
});

show.addEventListener("click", () => {
  const shown = password.type === "text";
  password.type = shown ? "password" : "text";
  text(show, shown ? "Show" : "Hide");
  show.setAttribute("aria-pressed", String(!shown));
  show.setAttribute("aria-label", "Show the password");
});

themed(part("theme"));
text(part("why"), takeFor("why"));
show.setAttribute("aria-label", "Show the password");
name.focus();
// A link from elsewhere brings no cookie along, though this browser may be signed in.
fetch("/ui/me").then((answer) => { if (answer.ok) location.replace(target()); }, () => {});
