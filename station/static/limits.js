// A bed's own limits: shown beside those of the rules, changed in a form. The station refuses what contradicts itself.

import { say, send } from "./acts.js";
import { el, text } from "./dom.js";
import { hasEnded } from "./session.js";
import { mayAct, store } from "./store.js";

export class LimitsPanel {
  constructor(device, changed) {
    this.device = device;
    this.changed = changed;
    this.told = null;
    this.note = el("p", { class: "note" });
    this.rows = el("tbody");
    this.button = el("button", { type: "button", on: { click: () => this.form() } }, "Change");
    this.node = el("section", { "aria-labelledby": "limits-title" },
      el("div", { class: "panelhead" }, el("h2", { id: "limits-title" }, "Limits"), this.button), this.note,
      el("table", { class: "limits" }, el("caption", { class: "unseen" }, "Limits of this bed"),
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Rule"), el("th", { scope: "col" }, "Limits, mild to severe"))), this.rows));
  }

  async fetch() {
    if (this.asking) return;
    this.asking = true;
    try {
      const answer = await fetch(`/ui/limits?device=${encodeURIComponent(this.device)}`);
      if (hasEnded(answer)) return;
      const told = await answer.json();
      this.told = answer.ok && !told.problem ? told : null;
      text(this.note, this.told ? this.whose() : told.problem ?? told.detail);
    } catch {
      this.told = null;
      text(this.note, "the station does not answer");
    }
    this.asking = false;
    this.show();
    this.changed();
  }

  whose() {
    const own = this.told.own;
    if (!own) return "Those of the rules.";
    const patient = store.beds.get(this.device)?.patient;
    const idle = own.patient_id && patient && own.patient_id !== patient;
    const forWhom = own.patient_id ? ` for ${own.patient_id}` : "";
    return idle ? `Set by ${own.by}${forWhom}, who is not here now: those of the rules hold.` : `Set by ${own.by}${forWhom}; marked with •.`;
  }

  own() {
    const own = this.told?.own;
    const patient = store.beds.get(this.device)?.patient;
    return own && !(own.patient_id && patient && own.patient_id !== patient) ? own : null;
  }

  /** The limits of a rule as they hold here: { value, priority, own } for each level. */
  levels(rule) {
    const set = this.own()?.limits?.[rule.name];
    const steps = set === undefined ? [] : Array.isArray(set) ? set : [set];
    return rule.levels.map((level, place) => {
      const own = steps[place] ?? null;
      return { value: own ?? level.limit, priority: level.priority, own: own !== null };
    });
  }

  /** For the charts: { sign, value, priority }. */
  lines() {
    return (this.told?.rules ?? []).filter((rule) => rule.sign).flatMap((rule) =>
      this.levels(rule).map((level) => ({ sign: rule.sign, ...level })));
  }

  show() {
    const bed = store.beds.get(this.device);
    this.button.hidden = !this.told || !bed || !mayAct(bed.ward);
    this.rows.replaceChildren(...(this.told?.rules ?? []).map((rule) => el("tr", {},
      el("th", { scope: "row" }, rule.text),
      el("td", {}, ...this.levels(rule).map((level) => el("span", { class: "limit", data: { priority: level.priority } },
        `${rule.above ? ">" : "<"} ${number(level.value)}${level.own ? " •" : ""}`)), el("small", {}, rule.unit)))));
  }

  form() {
    if (!this.told) return;
    const patient = store.beds.get(this.device)?.patient;
    const own = this.own();
    const problem = el("p", { class: "problem", role: "alert" });
    const fields = this.told.rules.map((rule) => this.levels(rule).map((level, place) => el("input", {
      type: "text", inputmode: "decimal", autocomplete: "off", size: 5, value: level.own ? number(level.value) : "",
      placeholder: number(rule.levels[place].limit), "aria-label": `${rule.text}, ${level.priority}, ${rule.above ? "above" : "below"}`,
    })));
    const scale = el("select", { id: "scale-field" }, el("option", { value: "" }, `As the rules: ${this.told.spo2_scale}`), el("option", { value: "1" }, "1"), el("option", { value: "2" }, "2, hypercapnic respiratory failure"));
    scale.value = own?.spo2_scale ? String(own.spo2_scale) : "";
    const only = el("input", { type: "checkbox", id: "only-field", checked: own ? Boolean(own.patient_id) : Boolean(patient) });
    const cancel = el("button", { type: "button" }, "Cancel");
    const clear = el("button", { type: "button", hidden: !this.told.own }, "Back to the rules'");
    const form = el("form", {},
      el("h2", { id: "form-title" }, "Limits of this bed"),
      el("p", {}, "An empty field keeps what the rules say, which stands in it. They hold at once, for as long as this patient is here."),
      el("div", { class: "fields" }, ...this.told.rules.map((rule, place) => el("div", { class: "field" },
        el("span", {}, rule.text, el("small", {}, ` ${rule.above ? "above" : "below"}${rule.unit ? `, ${rule.unit}` : ""}`)),
        el("span", { class: "steps" }, ...fields[place].map((field, step) => el("span", { data: { priority: rule.levels[step].priority } }, field)))))),
      el("div", { class: "field" }, el("label", { for: "scale-field" }, "NEWS2 scale for saturation"), scale),
      patient ? el("div", { class: "field check" }, only, el("label", { for: "only-field" }, "Only while the patient is ", el("bdi", {}, patient))) : null,
      problem, el("div", { class: "buttons" }, clear, cancel, el("button", { class: "primary" }, "Set limits")));
    const dialog = el("dialog", { class: "broad", "aria-labelledby": "form-title" }, form);
    document.body.append(dialog);
    const close = () => dialog.close();
    cancel.addEventListener("click", close);
    dialog.addEventListener("close", () => dialog.remove());
    const put = async (content, done) => {
      const answer = await send("PUT", "/ui/limits", { device: this.device, ...content });
      if (!answer.ok) {
        text(problem, `Not set: ${answer.detail}`);
        problem.scrollIntoView({ block: "nearest" });
        return;
      }
      close();
      say(done);
      setTimeout(() => this.fetch(), 300);
    };
    clear.addEventListener("click", () => put({}, "The limits of the rules hold again"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const limits = {};
      for (const [place, rule] of this.told.rules.entries()) {
        const steps = fields[place].map((field) => (field.value.trim() === "" ? null : Number(field.value.trim().replace(",", "."))));
        if (steps.some((step) => Number.isNaN(step))) {
          text(problem, `Not set: ${rule.text}: expected numbers`);
          return;
        }
        if (steps.some((step) => step !== null)) limits[rule.name] = steps;
      }
      put({ limits, spo2_scale: scale.value ? Number(scale.value) : null, patient_id: patient && only.checked ? patient : null }, "The limits hold from now on");
    });
    dialog.showModal();
  }
}

function number(value) {
  return String(Number(value.toFixed(2)));
}
