// The form in which users change their password. The station checks the new one.

import { sendJson } from "./api.js";
import { el, openDialog, setText } from "./dom.js";
import { toSentence } from "./format.js";
import { showNotice } from "./notice.js";

const MIN_LENGTH = 12;

/**
 * What is missing in the fields; an empty text where nothing is.
 * @param {string} old
 * @param {string} chosen
 * @param {string} repeated
 */
export function passwordProblem(old, chosen, repeated) {
  if (old === "") return "Enter your current password.";
  if ([...chosen].length < MIN_LENGTH) return `Use ${MIN_LENGTH} characters or more for the new password.`;
  return chosen === repeated ? "" : "The two new passwords differ. Enter the same one twice.";
}

/** @param {string} name of the user, for the browser's password manager */
export function openPasswordForm(name) {
  /**
   * @param {string} id
   * @param {string} label
   * @param {string} autocomplete
   */
  const field = (id, label, autocomplete) => {
    const input = el("input", { id, type: "password", autocomplete, maxlength: 1000, required: true, "aria-describedby": "password-problem" });
    return { input, row: el("div", { class: "secretfield" }, el("label", { for: id }, label), input) };
  };
  const old = field("old-password", "Current password", "current-password");
  const chosen = field("new-password", `New password, ${MIN_LENGTH} characters or more`, "new-password");
  const repeated = field("repeated-password", "New password again", "new-password");
  const problem = el("p", { id: "password-problem", class: "problem", role: "alert" });
  const cancel = el("button", { type: "button" }, "Cancel");
  const submit = el("button", { class: "primary" }, "Change password");
  const form = el("form", { novalidate: true },
    el("h2", { id: "password-title" }, "Change your password"),
    el("p", {}, "Three or four random words are easy to remember and hard to guess. All your other logins end. The new password is for the station only, not for other programs."),
    el("input", { type: "text", autocomplete: "username", value: name, hidden: true }),
    old.row, chosen.row, repeated.row, problem,
    el("div", { class: "buttons" }, cancel, submit));
  const dialog = el("dialog", { "aria-labelledby": "password-title" }, form);
  cancel.addEventListener("click", () => dialog.close());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const missing = passwordProblem(old.input.value, chosen.input.value, repeated.input.value);
    setText(problem, missing);
    if (missing) return;
    submit.disabled = true;
    const result = await sendJson("POST", "/ui/password", { old: old.input.value, new: chosen.input.value });
    submit.disabled = false;
    if (result.ok) {
      dialog.close();
      showNotice("Your password is changed. Your other logins have ended.");
    } else setText(problem, toSentence(result.problem));
  });
  openDialog(dialog);
}
