// The limits of a bed: shown with the default limits of the alert rules, changed in a form. The station validates them.

import { getJson, sendJson } from "./api.js";
import { el, openDialog, setText } from "./dom.js";
import { toSentence } from "./format.js";
import { showNotice } from "./notice.js";
import { mayModify, store } from "./store.js";

/**
 * @typedef {{ name: string, text: string, sign: string | null, unit: string, above: boolean, levels: { priority: string, limit: number }[] }} Rule
 * @typedef {{ by: string, patient_id?: string, limits?: Record<string, number | (number | null)[]>, spo2_scale?: number }} OwnLimits
 * @typedef {{ rules: Rule[], own: OwnLimits | null, spo2_scale: number }} Limits
 */

/**
 * The bed's own limits where they apply to this patient; null where there are none or they were set for another one.
 * @param {OwnLimits | null | undefined} own
 * @param {string | undefined} patient
 */
export function applicableLimits(own, patient) {
  return own && !(own.patient_id && patient && own.patient_id !== patient) ? own : null;
}

/**
 * The limits of a rule as they apply; `own`: whether the bed has a limit of its own.
 * @param {Rule} rule
 * @param {OwnLimits | null} own
 */
export function effectiveLevels(rule, own) {
  const set = own?.limits?.[rule.name];
  const values = set === undefined ? [] : Array.isArray(set) ? set : [set];
  return rule.levels.map((level, index) => {
    const value = values[index] ?? null;
    return { value: value ?? level.limit, priority: level.priority, own: value !== null };
  });
}

/**
 * The names of a rule's levels: the priority, numbered where two levels have the same one.
 * @param {Rule["levels"]} levels
 */
export function levelNames(levels) {
  return levels.map(({ priority }, index) => {
    const same = levels.filter((level) => level.priority === priority);
    return same.length > 1 ? `${priority} ${same.indexOf(levels[index]) + 1}` : priority;
  });
}

/**
 * The numbers of a rule's fields; null for an empty field, NaN where a text is no number. A comma is a decimal point.
 * @param {string[]} texts
 */
export function parseLimits(texts) {
  return texts.map((text) => (text.trim() === "" ? null : Number(text.trim().replace(",", "."))));
}

/**
 * Whose limits these are, for the note above the table.
 * @param {OwnLimits | null} own
 * @param {string | undefined} patient
 */
export function limitsNote(own, patient) {
  if (!own) return "Default limits.";
  const patientText = own.patient_id ? ` for ${own.patient_id}` : "";
  if (applicableLimits(own, patient)) return `Set by ${own.by}${patientText}, marked with •.`;
  return `Set by ${own.by}${patientText}, who is not in this bed now. Default limits apply.`;
}

/** @param {number} value */
export function formatLimit(value) {
  return String(Number(value.toFixed(2)));
}

export class LimitsPanel {
  /**
   * @param {string} device
   * @param {() => void} onChange called after the limits were fetched
   */
  constructor(device, onChange) {
    this.device = device;
    this.onChange = onChange;
    /** @type {Limits | null} */
    this.limits = null;
    this.note = el("p", { class: "note" });
    this.rows = el("tbody");
    this.button = el("button", { type: "button", on: { click: () => this.openForm() } }, "Change");
    this.node = el("section", { "aria-labelledby": "limits-title" },
      el("div", { class: "panelhead" }, el("h2", { id: "limits-title" }, "Limits"), this.button), this.note,
      el("table", { class: "limits" }, el("caption", { class: "visually-hidden" }, "Limits of this bed"),
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Rule"), el("th", { scope: "col" }, "Limits"))), this.rows));
  }

  get patient() {
    return store.beds.get(this.device)?.patient;
  }

  async fetch() {
    if (this.fetching) return;
    this.fetching = true;
    const answer = await getJson(`/ui/limits?device=${encodeURIComponent(this.device)}`);
    this.fetching = false;
    this.limits = answer.problem ? null : answer;
    setText(this.note, this.limits ? limitsNote(this.limits.own, this.patient) : toSentence(answer.problem));
    this.show();
    this.onChange();
  }

  /** @param {Rule} rule */
  levels(rule) {
    return effectiveLevels(rule, applicableLimits(this.limits?.own, this.patient));
  }

  /** The limits as lines for the charts. */
  lines() {
    return (this.limits?.rules ?? []).flatMap((rule) =>
      rule.sign === null ? [] : this.levels(rule).map((level) => ({ sign: /** @type {string} */ (rule.sign), ...level })));
  }

  show() {
    const bed = store.beds.get(this.device);
    this.button.hidden = !this.limits || !bed || !mayModify(bed.ward);
    this.rows.replaceChildren(...(this.limits?.rules ?? []).map((rule) => el("tr", {},
      el("th", { scope: "row" }, rule.text),
      el("td", {}, ...this.levels(rule).map((level) => el("span", { class: "limit", data: { priority: level.priority } },
        `${rule.above ? ">" : "<"} ${formatLimit(level.value)}${level.own ? " •" : ""} `, el("small", {}, level.priority))), el("small", {}, rule.unit)))));
  }

  openForm() {
    if (!this.limits) return;
    const { rules, spo2_scale: defaultScale } = this.limits;
    const patient = this.patient;
    const own = applicableLimits(this.limits.own, patient);
    const problem = el("p", { class: "problem", role: "alert" });
    const names = rules.map((rule) => levelNames(rule.levels));
    const fields = rules.map((rule, row) => this.levels(rule).map((level, index) => el("input", {
      type: "text", inputmode: "decimal", autocomplete: "off", size: 5, value: level.own ? formatLimit(level.value) : "",
      placeholder: formatLimit(rule.levels[index].limit), "aria-label": `${rule.text}, ${names[row][index]}, ${rule.above ? "above" : "below"}`,
    })));
    const scale = el("select", { id: "scale-field" }, el("option", { value: "" }, `Default: ${defaultScale}`), el("option", { value: "1" }, "1"), el("option", { value: "2" }, "2, hypercapnic respiratory failure"));
    scale.value = own?.spo2_scale ? String(own.spo2_scale) : "";
    const onlyPatient = el("input", { type: "checkbox", id: "only-field", checked: own ? Boolean(own.patient_id) : Boolean(patient) });
    const cancel = el("button", { type: "button" }, "Cancel");
    const reset = el("button", { type: "button", hidden: !this.limits.own }, "Reset to defaults");
    const form = el("form", {},
      el("h2", { id: "form-title" }, "Limits of this bed"),
      el("p", {}, "An empty field uses the default, which is shown in it. Changes apply at once, for as long as this patient is in this bed."),
      el("div", { class: "fields" }, ...rules.map((rule, index) => el("div", { class: "field" },
        el("span", {}, rule.text, el("small", {}, ` ${rule.above ? "above" : "below"}${rule.unit ? `, ${rule.unit}` : ""}`)),
        el("span", { class: "levels" }, ...fields[index].map((field, level) => {
          const { priority } = rule.levels[level];
          return el("span", { class: "level", data: { priority } }, el("small", { "aria-hidden": "true" }, names[index][level]), field);
        }))))),
      el("div", { class: "field" }, el("label", { for: "scale-field" }, "NEWS2 scale for saturation"), scale),
      patient ? el("div", { class: "field check" }, onlyPatient, el("label", { for: "only-field" }, "Only while the patient is ", el("bdi", {}, patient))) : null,
      problem, el("div", { class: "buttons" }, reset, cancel, el("button", { class: "primary" }, "Set limits")));
    const dialog = el("dialog", { class: "broad", "aria-labelledby": "form-title" }, form);
    const close = () => dialog.close();
    cancel.addEventListener("click", close);
    /**
     * @param {Record<string, unknown>} content
     * @param {string} done
     */
    const put = async (content, done) => {
      const result = await sendJson("PUT", "/ui/limits", { device: this.device, ...content });
      if (!result.ok) {
        setText(problem, `Nothing was changed. ${toSentence(result.problem)}`);
        problem.scrollIntoView({ block: "nearest" });
        return;
      }
      close();
      showNotice(done);
      setTimeout(() => this.fetch(), 300); // the limits return over MQTT
    };
    reset.addEventListener("click", () => put({}, "The default limits apply again."));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      /** @type {Record<string, (number | null)[]>} */
      const limits = {};
      for (const [index, rule] of rules.entries()) {
        const values = parseLimits(fields[index].map((field) => field.value));
        if (values.some((value) => Number.isNaN(value))) {
          setText(problem, `Nothing was changed. ${rule.text}: enter numbers only, or leave a field empty.`);
          return;
        }
        if (values.some((value) => value !== null)) limits[rule.name] = values;
      }
      put({ limits, spo2_scale: scale.value ? Number(scale.value) : null, patient_id: patient && onlyPatient.checked ? patient : null }, "The new limits apply.");
    });
    openDialog(dialog);
  }
}
