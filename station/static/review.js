// Review of past alerts of all beds: filter, pages, CSV.

import { getFile, getJson } from "./api.js";
import { bedUrl, el, nameElement, setText } from "./dom.js";
import { compareNatural, formatDateTime, formatDuration, localTime, pastWorst, priorityBadge, toSentence } from "./format.js";
import { showNotice } from "./notice.js";
import { SnapshotPanel } from "./snapshot.js";
import { now, store } from "./store.js";

/** @typedef {import("./types.js").PastAlert} PastAlert */

const DAY_MS = 86400_000;
const PAGE = 50; // alerts fetched at once
const PRIORITIES = ["high", "medium", "low"];

export class ReviewPage {
  /**
   * @param {HTMLElement} _tools
   * @param {HTMLElement} page
   * @param {URLSearchParams} query the filter: a review can be reloaded, and its address passed on
   */
  constructor(_tools, page, query) {
    this.query = query;
    this.closed = false;
    this.started = false;
    /** @type {string | null} where the next page begins */
    this.next = null;
    /** @type {ReviewedAlert[]} */
    this.rows = [];
    this.from = el("input", { type: "datetime-local", name: "from", required: true });
    this.to = el("input", { type: "datetime-local", name: "to" });
    this.bed = el("select", { name: "device" });
    this.rule = el("select", { name: "rule" });
    this.priority = el("select", { name: "priority" }, ...PRIORITIES.map((priority) => el("option", { value: priority }, priority)));
    for (const select of [this.bed, this.rule, this.priority]) select.prepend(el("option", { value: "" }, "All"));
    this.export = el("button", { type: "button", on: { click: () => this.exportCsv() } }, "Export CSV");
    this.form = el("form", { class: "filter", on: { submit: (/** @type {Event} */ event) => this.submit(event) } },
      field("From", this.from), field("To", this.to), field("Bed", this.bed), field("Alert", this.rule), field("Priority", this.priority),
      el("button", { type: "submit", class: "primary" }, "Show"), this.export);
    this.note = el("p", { class: "lead", role: "status" });
    this.list = el("ol", { class: "reviewed" });
    this.older = el("button", { type: "button", hidden: true, on: { click: () => this.fetchOlder() } }, "Show older alerts");
    page.append(el("section", { class: "wide" }, el("h1", {}, "Alarm review"), this.form, this.note, this.list, this.older));
  }

  close() {
    this.closed = true;
    for (const row of this.rows) row.close();
  }

  update() {
    if (this.started || !store.hello) return;
    this.started = true;
    this.from.value = localTime(Date.parse(this.query.get("from") ?? "") || now() - DAY_MS);
    this.to.value = localTime(Date.parse(this.query.get("to") ?? ""));
    if (!store.hello.history) {
      setText(this.note, "This station keeps no history.");
      this.form.hidden = true;
      return;
    }
    this.fetchChoices();
    this.fetchFirst();
  }

  tick() {}

  async fetchChoices() {
    const answer = await getJson("/ui/review");
    if (this.closed || answer.problem) return; // the list says so
    const beds = answer.beds.map((/** @type {{ ward: string, device: string }} */ { ward, device }) => ({ value: device, text: `${bedName(device)} (${ward})` }));
    beds.sort((/** @type {{ text: string }} */ a, /** @type {{ text: string }} */ b) => compareNatural(a.text, b.text));
    setOptions(this.bed, beds, this.query.get("device"));
    setOptions(this.rule, answer.rules.map((/** @type {{ rule: string, text: string }} */ { rule, text }) => ({ value: rule, text })), this.query.get("rule"));
    this.priority.value = PRIORITIES.find((priority) => priority === this.query.get("priority")) ?? "";
  }

  /** @param {Event} event */
  submit(event) {
    event.preventDefault();
    const query = new URLSearchParams({ from: new Date(this.from.value).toISOString() });
    if (this.to.value) query.set("to", new Date(this.to.value).toISOString());
    for (const select of [this.bed, this.rule, this.priority]) if (select.value) query.set(select.name, select.value);
    this.query = query;
    history.replaceState(null, "", `/review?${query}`);
    this.fetchFirst();
  }

  /** The alerts that the list shows, also in a file: its form may have been changed since. */
  shown() {
    const query = new URLSearchParams(this.query);
    if (!query.has("from")) query.set("from", new Date(this.from.value).toISOString());
    return query;
  }

  async fetchFirst() {
    this.next = null;
    for (const row of this.rows) row.close();
    this.rows = [];
    this.list.replaceChildren();
    setText(this.note, "Loading …");
    await this.fetchPage();
  }

  async fetchOlder() {
    const last = this.list.lastElementChild;
    await this.fetchPage();
    /** @type {HTMLElement | null | undefined} */ (last?.nextElementSibling)?.focus();
  }

  async fetchPage() {
    const query = this.query;
    const wanted = this.shown();
    wanted.set("limit", String(PAGE));
    if (this.next) wanted.set("after", this.next);
    this.older.disabled = true;
    const answer = await getJson(`/api/alerts/history?${wanted}`);
    this.older.disabled = false;
    if (this.closed || query !== this.query) return;
    if (answer.problem) {
      setText(this.note, `${this.rows.length ? "Older alerts are missing" : "No alerts are shown"}: ${toSentence(answer.problem)}`);
      return;
    }
    this.next = answer.next;
    this.older.hidden = !this.next;
    const at = now();
    const added = answer.alerts.map((/** @type {PastAlert} */ alert) => new ReviewedAlert(alert, at));
    this.rows.push(...added);
    this.list.append(...added.map((/** @type {ReviewedAlert} */ { node }) => node));
    const count = this.rows.length;
    setText(this.note, count === 0 ? "No alerts in this time." : `${count} ${count === 1 ? "alert" : "alerts"}, the newest first${this.next ? "; there are older ones" : ""}.`);
  }

  async exportCsv() {
    this.export.disabled = true;
    const { file, problem } = await getFile(`/api/alerts/history.csv?${this.shown()}`);
    this.export.disabled = false;
    if (!file) {
      showNotice(`Nothing was exported: ${toSentence(problem ?? "")}`, true);
      return;
    }
    const url = URL.createObjectURL(file);
    el("a", { href: url, download: "alerts.csv" }).click();
    URL.revokeObjectURL(url);
  }
}

class ReviewedAlert {
  /**
   * @param {PastAlert} alert
   * @param {number} at unix milliseconds
   */
  constructor(alert, at) {
    this.alert = alert;
    /** @type {SnapshotPanel | null} */
    this.panel = null;
    const raised = formatDateTime(Date.parse(alert.raised_at), at);
    this.toggle = el("button", {
      type: "button", "aria-expanded": "false", "aria-label": `Signs: ${bedName(alert.device)}, ${alert.text}, ${raised}`, on: { click: () => this.toggleSigns() },
    }, "Signs");
    const bed = el("a", { class: "bed-link", href: store.beds.has(alert.device) ? bedUrl(alert.device) : undefined },
      nameElement(bedName(alert.device), { class: "bed" }), nameElement(alert.ward, { class: "ward-name" }),
      alert.patient_id ? nameElement(alert.patient_id, { class: "patient-id" }) : null);
    const ended = alert.cleared_at ? `for ${formatDuration(alert.duration_s)}` : "open";
    const acknowledged = alert.acknowledged_by
      ? ["acknowledged by ", el("bdi", {}, alert.acknowledged_by), alert.acknowledged_at ? ` at ${formatDateTime(Date.parse(alert.acknowledged_at), at)}` : ""]
      : ["not acknowledged"];
    this.node = el("li", { class: "alert", tabindex: "-1", data: { priority: alert.priority, kind: alert.kind, state: "past" } },
      el("span", { class: "badge" }, priorityBadge(alert)), bed,
      el("div", { class: "message" }, el("bdi", { class: "text" }, alert.text, pastWorst(alert, at)), el("span", { class: "state" }, ...acknowledged)),
      el("div", { class: "when" }, el("time", { datetime: alert.raised_at }, raised), el("span", { class: "note" }, ended)),
      this.toggle);
  }

  toggleSigns() {
    this.toggle.setAttribute("aria-expanded", String(!this.panel));
    if (this.panel) this.close();
    else this.node.append((this.panel = new SnapshotPanel(this.alert)).node);
  }

  close() {
    this.panel?.close();
    this.panel = null;
  }
}

/** @param {string} device */
function bedName(device) {
  return store.beds.get(device)?.name ?? device;
}

/**
 * @param {string} label
 * @param {HTMLInputElement | HTMLSelectElement} control
 */
function field(label, control) {
  control.id = `filter-${control.name}`;
  return el("div", { class: "choice" }, el("label", { for: control.id }, label), control);
}

/**
 * Add the options, and select one; a value of the address that is not among them is added.
 * @param {HTMLSelectElement} select
 * @param {{ value: string, text: string }[]} options
 * @param {string | null} selected
 */
function setOptions(select, options, selected) {
  const known = options.some(({ value }) => value === selected);
  const all = selected && !known ? [...options, { value: selected, text: selected }] : options;
  select.append(...all.map(({ value, text }) => el("option", { value }, text)));
  select.value = selected ?? "";
}
