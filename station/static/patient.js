// The patient of a bed: who is assigned, and the forms to admit, transfer and discharge. The station checks them.

import { getJson, sendJson } from "./api.js";
import { el, nameElement, openDialog, setText } from "./dom.js";
import { formatDateTime, toSentence } from "./format.js";
import { areNamesKnown, areNamesStored, namedPatient, nameDetails } from "./names.js";
import { showNotice } from "./notice.js";
import { mayModify, now, store } from "./store.js";

/** @typedef {{ patient_id: string | null, profile: string, spo2_scale?: number | null, by: string, time?: string }} Assignment */

/** Age groups, which choose the limits. @type {Record<string, string>} */
export const AGE_GROUPS = {
  adult: "16 years or older", "child-12-15": "12 to 15 years", "child-5-11": "5 to 11 years",
  "child-1-4": "1 to 4 years", infant: "28 days to 11 months", neonate: "younger than 28 days",
};
const NEONATE_DAYS = 28;
const DAY_MS = 86_400_000;

/**
 * The age group of a person; null for a date that is none, in the future, or more than 130 years ago.
 * @param {string} birth date as YYYY-MM-DD
 * @param {Date} today in local time
 */
export function ageGroup(birth, today) {
  const [year, month, day] = birth.split("-").map(Number);
  const present = Date.UTC(today.getFullYear(), today.getMonth(), today.getDate());
  const days = (present - Date.UTC(year, month - 1, day)) / DAY_MS;
  const hadBirthday = today.getMonth() + 1 > month || (today.getMonth() + 1 === month && today.getDate() >= day);
  const years = today.getFullYear() - year - (hadBirthday ? 0 : 1);
  if (!(days >= 0 && years <= 130)) return null;
  if (days < NEONATE_DAYS) return "neonate";
  if (years < 1) return "infant";
  if (years < 5) return "child-1-4";
  if (years < 12) return "child-5-11";
  return years < 16 ? "child-12-15" : "adult";
}

export class PatientPanel {
  /** @param {string} device */
  constructor(device) {
    this.device = device;
    /** @type {Assignment | null} */
    this.assignment = null;
    this.key = ""; // what is shown, so that it is only replaced where it has changed
    this.fetched = ""; // the assignment that was fetched last
    this.requests = 0; // an older answer may arrive after a newer one
    this.hasAlerts = false;
    this.text = el("p", {});
    this.note = el("p", { class: "note" });
    this.admit = el("button", { type: "button", on: { click: () => this.openAdmission() } }, "Admit");
    this.correct = el("button", { type: "button", on: { click: () => this.openAdmission() } }, "Correct");
    this.transfer = el("button", { type: "button", on: { click: () => this.openTransfer() } }, "Transfer");
    this.discharge = el("button", { type: "button", on: { click: () => this.openDischarge() } }, "Discharge");
    this.node = el("section", { class: "patient-panel", "aria-labelledby": "patient-title" },
      el("h2", { id: "patient-title" }, "Patient"), this.text, this.note,
      el("div", { class: "buttons" }, this.admit, this.correct, this.transfer, this.discharge));
  }

  get bed() {
    return store.beds.get(this.device);
  }

  /** The name of the bed, for a sentence. */
  get bedName() {
    return this.bed?.name ?? this.device;
  }

  /** Whether the assigned patient is too young for NEWS2. */
  get isChild() {
    return this.present !== null && this.assignment?.profile !== "adult";
  }

  /** The patient that the page shows as assigned; null without one. */
  get present() {
    return this.assignment?.patient_id ?? null;
  }

  async fetch() {
    const request = ++this.requests;
    const answer = await getJson(`/ui/assignment?device=${encodeURIComponent(this.device)}`);
    if (request !== this.requests) return;
    if (answer?.problem) {
      this.fetched = ""; // again at the next change
      setText(this.note, toSentence(answer.problem));
      return;
    }
    this.assignment = answer;
    this.key = "";
    this.update(this.hasAlerts);
  }

  /** @param {boolean} hasAlerts whether an alert of the bed is open */
  update(hasAlerts) {
    this.hasAlerts = hasAlerts;
    const bed = this.bed;
    const version = String(bed?.assigned ?? "");
    if (bed && this.fetched !== version) {
      this.fetched = version;
      if (version) {
        this.fetch();
        return;
      }
      this.requests += 1;
      this.assignment = null;
    }
    const mayAct = Boolean(bed && mayModify(bed.ward));
    const key = JSON.stringify([bed?.patient, bed?.vacant_since, this.assignment, mayAct, hasAlerts, bed?.own_limits, namedPatient(this.present)]);
    if (this.key === key) return;
    this.key = key;
    const { present } = this;
    this.admit.hidden = !mayAct || present !== null;
    this.correct.hidden = this.transfer.hidden = !mayAct || present === null;
    this.discharge.hidden = !mayAct || (present === null && !bed?.patient && !hasAlerts && !bed?.own_limits);
    this.showTexts(bed);
  }

  /** @param {import("./types.js").Bed | undefined} bed */
  showTexts(bed) {
    const { assignment, present } = this;
    const at = assignment?.time ? `, ${formatDateTime(Date.parse(assignment.time), now())}` : "";
    if (assignment && present !== null) {
      const scale = assignment.spo2_scale ? `, SpO2 scale ${assignment.spo2_scale}` : "";
      const details = nameDetails(namedPatient(present));
      this.text.replaceChildren(...details, ...(details.length ? [el("br")] : []), nameElement(present, { class: "ward-name" }), ` ${AGE_GROUPS[assignment.profile]}${scale}`);
      this.note.replaceChildren("Admitted by ", el("bdi", {}, assignment.by), `${at}.`,
        ...(bed?.patient && bed.patient !== present ? [" The monitor reports ", el("bdi", {}, bed.patient), "."] : []));
      return;
    }
    if (bed?.patient) this.text.replaceChildren(nameElement(bed.patient, { class: "ward-name" }), " as the monitor reports");
    else this.text.replaceChildren(bed?.vacant_since ? "No patient." : "No patient is admitted.");
    this.note.replaceChildren(...(assignment ? ["Last discharge by ", el("bdi", {}, assignment.by), `${at}.`] : []));
  }

  openAdmission() {
    const { assignment, present } = this;
    // After a discharge the monitor may go on to report the former patient, so its number is not offered.
    const reported = assignment ? "" : this.bed?.patient ?? "";
    const number = el("input", { id: "number-field", type: "text", autocomplete: "off", spellcheck: "false", required: true, maxlength: 200, value: present ?? reported, readonly: present !== null });
    const named = namedPatient(present);
    // A correction replaces what is stored, so it needs to show it first.
    const hasNames = areNamesStored() && (present === null || areNamesKnown());
    const name = el("input", { id: "name-field", type: "text", autocomplete: "off", spellcheck: "false", dir: "auto", maxlength: 200, value: named?.name ?? "" });
    const birth = el("input", { id: "birth-field", type: "date", autocomplete: "off", value: named?.birth_date ?? "" });
    const group = el("select", { id: "group-field", required: true }, el("option", { value: "" }, "Choose"),
      ...Object.entries(AGE_GROUPS).map(([value, text]) => el("option", { value }, text)));
    const scale = el("select", { id: "patient-scale-field" }, el("option", { value: "" }, "Default"), el("option", { value: "1" }, "1"),
      el("option", { value: "2" }, "2, hypercapnic respiratory failure"));
    const scaleField = el("div", { class: "field" }, el("label", { for: "patient-scale-field" }, "NEWS2 scale for saturation"), scale);
    group.value = present === null ? "" : assignment?.profile ?? "";
    scale.value = present === null ? "" : String(assignment?.spo2_scale ?? "");
    const showScale = () => { scaleField.hidden = group.value !== "adult"; };
    group.addEventListener("change", showScale);
    showScale();
    const form = new Form(present === null ? "Admit a patient" : areNamesStored() ? "Correct the patient" : "Correct the age group",
      present === null ? "Admit" : "Correct", [
        el("p", {}, "The age group chooses the alarm limits. ", this.noteOnNames(hasNames)),
        el("div", { class: "fields" },
          el("div", { class: "field" }, el("label", { for: "number-field" }, "Patient number"), number),
          hasNames ? el("div", { class: "field" }, el("label", { for: "name-field" }, "Name, if known"), name) : null,
          el("div", { class: "field" }, el("label", { for: "birth-field" }, "Date of birth, if known"), birth),
          el("div", { class: "field" }, el("label", { for: "group-field" }, "Age group"), group), scaleField),
      ]);
    birth.addEventListener("change", () => {
      if (!birth.value) return;
      const found = ageGroup(birth.value, new Date(now()));
      group.value = found ?? "";
      showScale();
      form.showProblem(found ? "" : "Check the date of birth: it must be in the last 130 years.");
    });
    form.open("PUT", "/ui/assignment", () => ({
      device: this.device, present, patient_id: number.value, profile: group.value,
      spo2_scale: group.value === "adult" && scale.value ? Number(scale.value) : null,
      known: hasNames ? { name: name.value, birth_date: birth.value || null } : null,
    }), () => `Patient ${number.value.trim()} is admitted to ${this.bedName}.`);
  }

  /** @param {boolean} hasNames whether the form has a field for the name */
  noteOnNames(hasNames) {
    if (hasNames) return "Name and date of birth are stored, and shown to users who may act in this ward.";
    return areNamesStored()
      ? "The stored name cannot be read now, so it cannot be corrected. A date of birth selects the age group."
      : "A date of birth selects it and is not stored. This site stores no names.";
  }

  openTransfer() {
    const { present } = this;
    const beds = [...store.beds.values()].filter((bed) => bed.device !== this.device && !bed.patient && mayModify(bed.ward));
    beds.sort((one, other) => one.ward.localeCompare(other.ward) || one.name.localeCompare(other.name, undefined, { numeric: true }));
    const to = el("select", { id: "to-field", required: true }, el("option", { value: "" }, "Choose"),
      ...beds.map((bed) => el("option", { value: bed.device }, `${bed.ward}, ${bed.name}`)));
    const form = new Form("Transfer the patient", "Transfer", [
      el("p", {}, "Patient ", el("bdi", {}, present ?? ""), " moves to another bed, with the limits of this bed. Then this bed is discharged and its alerts end."),
      el("div", { class: "fields" }, el("div", { class: "field" }, el("label", { for: "to-field" }, "To the bed"), to)),
      beds.length ? null : el("p", {}, "No bed without a patient is on your wards."),
    ]);
    form.open("POST", "/ui/transfer", () => ({ device: this.device, present, to: to.value }),
      () => `Patient ${present} is in ${store.beds.get(to.value)?.name ?? to.value} now.`);
  }

  openDischarge() {
    const { present } = this;
    const form = new Form(present === null ? "Discharge this bed" : "Discharge the patient", "Discharge", [
      el("p", {}, ...(present === null ? [] : ["Patient ", el("bdi", {}, present), " leaves this bed. "]),
        "The alerts of this bed end and its limits are removed. If the monitor still measures, its values are shown and alarm."),
    ]);
    form.open("POST", "/ui/discharge", () => ({ device: this.device, present }), () => `The bed ${this.bedName} is discharged.`);
  }
}

/** A dialog with a request: it stays open with the reason where the station rejects it. */
class Form {
  /**
   * @param {string} title
   * @param {string} action text of the button
   * @param {(Node | null)[]} content
   */
  constructor(title, action, content) {
    this.problem = el("p", { class: "problem", role: "alert" });
    this.button = el("button", { class: "primary" }, action);
    const cancel = el("button", { type: "button", on: { click: () => this.dialog.close() } }, "Cancel");
    this.form = el("form", {}, el("h2", { id: "form-title" }, title), ...content, this.problem,
      el("div", { class: "buttons" }, cancel, this.button));
    this.dialog = el("dialog", { "aria-labelledby": "form-title" }, this.form);
  }

  /** @param {string} text */
  showProblem(text) {
    setText(this.problem, text);
    if (text) this.problem.scrollIntoView({ block: "nearest" });
  }

  /**
   * @param {string} method
   * @param {string} url
   * @param {() => unknown} body
   * @param {() => string} done the notice after success
   */
  open(method, url, body, done) {
    this.form.addEventListener("submit", async (event) => {
      event.preventDefault();
      this.button.disabled = true;
      const result = await sendJson(method, url, body());
      this.button.disabled = false;
      if (!result.ok) {
        this.showProblem(toSentence(result.problem));
        return;
      }
      this.dialog.close();
      showNotice(done());
    });
    openDialog(this.dialog);
  }
}
