// What a person does: acknowledge, pause the audio, resume it, set limits. Under a name, which is asked for once.

import { el } from "./dom.js";
import { keep, kept } from "./keep.js";

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

/** The person's name; asks where it is not known, and is null where nobody wants to tell. */
export async function person(again = false) {
  const known = kept("name", "");
  if (known && !again) return known;
  const field = el("input", { id: "name-field", name: "name", maxlength: 200, autocomplete: "name", required: true, value: known });
  const cancel = el("button", { type: "button" }, "Cancel");
  const form = el("form", { method: "dialog" },
    el("h2", { id: "name-title" }, "Who are you?"),
    el("p", {}, "Your name stands beside what you acknowledge, on every screen and in the history. This browser remembers it."),
    el("label", { for: "name-field" }, "Name"), field,
    el("div", { class: "buttons" }, cancel, el("button", { class: "primary" }, "Continue")));
  const dialog = el("dialog", { "aria-labelledby": "name-title" }, form);
  document.body.append(dialog);
  cancel.addEventListener("click", () => dialog.close());
  let given = null;
  form.addEventListener("submit", () => { given = field.value.trim() || null; });
  dialog.showModal();
  field.focus();
  await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
  dialog.remove();
  if (given) keep("name", given);
  return given;
}

/** Ask something of the alert worker about an alert, and say what came of it. */
export async function act(alert, action, button = null) {
  const by = await person();
  if (!by) return;
  if (button) button.disabled = true;
  const { ward, device, rule } = alert;
  const answer = await send("POST", "/desk/alerts", { by, ward, device, rule, action });
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
