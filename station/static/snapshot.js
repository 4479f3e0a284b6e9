// The signs from two minutes before an alert to two minutes after it, as they were kept with the alert.

import { getJson } from "./api.js";
import { Chart } from "./chart.js";
import { alertSpans } from "./chart_data.js";
import { el, setText } from "./dom.js";
import { toSentence } from "./format.js";
import { signRows } from "./signs.js";
import { now, store } from "./store.js";

const REACH_S = 120;
const GAP_S = 30; // values further apart are not joined

export class SnapshotPanel {
  /** @param {import("./types.js").PastAlert} alert */
  constructor(alert) {
    this.alert = alert;
    this.closed = false;
    /** @type {Chart[]} */
    this.charts = [];
    this.note = el("p", { class: "note", role: "status" }, "Loading …");
    this.strips = el("div", { class: "strips" });
    this.node = el("div", { class: "snapshot" }, this.note, this.strips);
    this.fetch();
  }

  close() {
    this.closed = true;
    for (const chart of this.charts) chart.close();
    this.node.remove();
  }

  async fetch() {
    const answer = await getJson(`/api/alerts/${this.alert.alert_id}/snapshot`);
    if (this.closed || !store.hello) return;
    if (answer.problem) {
      setText(this.note, `No signs are shown: ${toSentence(answer.problem)}`);
      return;
    }
    const raised = Date.parse(this.alert.raised_at) / 1000;
    /** @type {number[]} */
    const times = answer.time.map((/** @type {string} */ time) => Date.parse(time) / 1000);
    const rows = signRows(store.hello).filter(({ signs }) => signs.some(({ key }) => answer.signs[key]));
    setText(this.note, noteText(answer.taken_at, rows.length));
    for (const row of rows) {
      const chart = new Chart(row);
      this.charts.push(chart);
      this.strips.append(el("div", { class: "strip", data: { sign: row.key } },
        el("div", { class: "reading" }, el("span", { class: "label" }, row.label, el("small", {}, row.unit))), chart.node));
      const { sign, limit, priority } = this.alert;
      chart.set({
        times,
        columns: row.signs.map(({ key }) => ({ avg: answer.signs[key]?.values ?? [] })),
        begin: raised - REACH_S, end: raised + REACH_S, gap: GAP_S,
        limits: limit !== null && row.signs.some(({ key }) => key === sign) ? [{ value: limit, priority }] : [],
        alerts: alertSpans([this.alert], [], now()),
        label: `${row.label} from two minutes before the alert to two minutes after it`,
      });
    }
  }
}

/**
 * @param {string | null} takenAt
 * @param {number} rows that have values
 */
function noteText(takenAt, rows) {
  if (takenAt === null) return "The signs are kept with the alert two minutes after it. Open it again then.";
  return rows ? "Two minutes before the alert to two minutes after it." : "No signs of this time are stored.";
}
