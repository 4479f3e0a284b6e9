// What a person does: acknowledge, pause the audio, resume it, set limits. Under the name that is signed in.

import { hasEnded } from "./session.js";
import { mayAct } from "./store.js";

const said = () => document.getElementById("said");
let hide = 0;

/** Say something at the foot of the page for a few seconds; screen readers read it out. */
export function say(sentence, bad = false) {
  const place = said();
  place.textContent = sentence;
  place.dataset.bad = String(bad);
  place.dataset.shown = "true";
  clearTimeout(hide);
  hide = setTimeout(() => { place.dataset.shown = "false"; }, bad ? 9000 : 4000);
}

/** Ask something of the alert worker about an alert, and say what came of it. */
export async function act(alert, action, button = null) {
  const { ward, device, rule } = alert;
  if (!mayAct(ward)) {
    say("You may look at this ward, and change nothing", true);
    return;
  }
  if (button) button.disabled = true;
  const answer = await send("POST", "/ui/alerts", { ward, device, rule, action });
  if (button) button.disabled = false;
  const what = { acknowledge: "acknowledged", pause_audio: "audio paused for two minutes", resume_audio: "audio resumed" };
  if (answer.ok) say(`${alert.name} ${alert.text}: ${what[action]}`);
  else say(answer.detail, true);
}

/** Send JSON; { ok, detail }. Never throws: what went wrong is in `detail`, for a person. */
export async function send(method, address, content) {
  try {
    const answer = await fetch(address, {
      method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(content),
    });
    if (answer.ok) return { ok: true, detail: "" };
    if (hasEnded(answer)) return { ok: false, detail: "your login has ended" };
    const told = await answer.json().catch(() => ({}));
    return { ok: false, detail: inWords(told.detail) ?? `the station answered ${answer.status}` };
  } catch {
    return { ok: false, detail: "nothing was sent: the station does not answer" };
  }
}

function inWords(detail) {
  if (typeof detail === "string") return detail;
  if (Array.isArray(detail)) return detail.map((one) => `${(one.loc ?? []).slice(1).join(".")}: ${one.msg}`).join("; ");
  return undefined;
}
