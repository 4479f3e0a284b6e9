// The list of the alerts of a bed in the range of its charts, open or ended.

import { el, setText } from "./dom.js";
import { formatDateTime, formatDuration, pastWorst, priorityMark, toSentence } from "./format.js";
import { now } from "./store.js";

export class PastAlerts {
  /** @param {(span: { begin: number, end: number }) => void} onShow called with the times of an alert to be shown in the charts */
  constructor(onShow) {
    this.onShow = onShow;
    this.title = el("h2", { id: "past-title" }, "Past alerts");
    this.note = el("p", { class: "note" });
    this.list = el("ol", { class: "past" });
    this.node = el("section", { "aria-labelledby": "past-title" }, this.title, this.note, this.list);
  }

  /**
   * @param {any} answer of the API, or `{ problem }`
   * @param {boolean} isLive whether these are the last 30 days and not the range of the charts
   * @param {string | undefined} patient the present one: alerts of others are marked
   */
  show(answer, isLive, patient) {
    setText(this.title, isLive ? "Past alerts" : "Alerts in this range");
    if (answer.problem) {
      setText(this.note, toSentence(answer.problem));
      this.list.replaceChildren();
      return;
    }
    const { alerts, total } = answer;
    const none = isLive ? "None in the last 30 days." : "None in this range.";
    setText(this.note, !total ? none : alerts.length < total ? `The newest ${alerts.length} of ${total}.` : "");
    this.list.replaceChildren(...alerts.map((/** @type {any} */ alert) => this.item(alert, patient)));
  }

  /**
   * @param {any} alert
   * @param {string | undefined} patient
   */
  item(alert, patient) {
    const at = now(), raised = Date.parse(alert.raised_at);
    const span = { begin: raised / 1000, end: (alert.cleared_at ? Date.parse(alert.cleared_at) : at) / 1000 };
    const time = formatDateTime(raised, at);
    return el("li", { data: { priority: alert.priority } },
      el("span", { class: "mark" }, priorityMark(alert)),
      el("div", {}, el("bdi", { class: "text" }, alert.text, pastWorst(alert, at)),
        el("span", { class: "note" }, el("button", { type: "button", class: "link-button", title: "Show in the charts", on: { click: () => this.onShow(span) } }, time),
          ", ", alert.cleared_at ? `for ${formatDuration(alert.duration_s)}` : "open",
          ...(alert.acknowledged_by ? [", acknowledged by ", el("bdi", {}, alert.acknowledged_by)] : []),
          ...(alert.patient_id && alert.patient_id !== patient ? [", patient ", el("bdi", {}, alert.patient_id)] : []))));
  }
}
