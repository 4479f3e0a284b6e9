// The open alerts, the most urgent first, with their buttons.

import { sendAlertCommand, sendAlertCommands } from "./api.js";
import { presentValue } from "./condition.js";
import { bedUrl, el, nameElement, setAttribute, setText } from "./dom.js";
import { courseText, formatDuration, PRIORITY_RANKS, priorityBadge, sortByUrgency, stateText } from "./format.js";
import { patientText } from "./names.js";
import { alertsAreMonitored, mayModify, now, store } from "./store.js";

/** @typedef {import("./types.js").Alert} Alert */

/** A list of alerts that reuses its rows, so that a button is not replaced while it is being pressed. */
export class AlertList {
  /** @param {{ withBed: boolean }} options `withBed`: show which bed each alert belongs to */
  constructor({ withBed }) {
    this.withBed = withBed;
    /** @type {Map<string, AlertRow>} */
    this.rows = new Map();
    this.node = el("ul", { class: "alerts" });
  }

  /**
   * @param {Alert[]} alerts
   * @param {number} at
   */
  update(alerts, at) {
    const keys = new Set(alerts.map((alert) => alert.key));
    for (const [key, row] of this.rows) {
      if (keys.has(key)) continue;
      const hadFocus = row.node.contains(document.activeElement);
      const neighbour = row.node.nextElementSibling ?? row.node.previousElementSibling;
      row.node.remove();
      this.rows.delete(key);
      if (hadFocus) /** @type {HTMLElement | null | undefined} */ (neighbour?.querySelector("button:not([hidden])"))?.focus();
    }
    alerts.forEach((alert, index) => {
      let row = this.rows.get(alert.key);
      if (!row) this.rows.set(alert.key, (row = new AlertRow(alert, this.withBed)));
      row.update(alert, at);
      if (this.node.children[index] !== row.node) this.node.insertBefore(row.node, this.node.children[index] ?? null);
    });
  }

  /**
   * Move the focus with an arrow key to the next row, or to the first one where none has it. Returns whether it has moved.
   * @param {string} key
   */
  moveSelection(key) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[key];
    const rows = /** @type {HTMLElement[]} */ ([...this.node.children]);
    const current = rows.findIndex((row) => row.contains(document.activeElement));
    const target = step === undefined ? undefined : current < 0 ? rows[0] : rows[current + step];
    target?.focus();
    return Boolean(target);
  }

  /** The alert whose row has the keyboard focus. */
  selected() {
    for (const row of this.rows.values()) if (row.node.contains(document.activeElement)) return row.alert;
    return null;
  }
}

class AlertRow {
  /**
   * @param {Alert} alert
   * @param {boolean} withBed
   */
  constructor(alert, withBed) {
    this.alert = alert;
    /**
     * @param {string} label
     * @param {"acknowledge" | "pause_audio" | "resume_audio"} action
     */
    const button = (label, action) => el("button", {
      type: "button", on: { click: (/** @type {any} */ event) => sendAlertCommand(this.alert, action, event.currentTarget) },
    }, label);
    this.acknowledge = button("Acknowledge", "acknowledge");
    this.acknowledge.classList.add("primary");
    this.pause = button("Pause audio", "pause_audio");
    this.resume = button("Resume audio", "resume_audio");
    this.badge = el("span", { class: "badge" });
    this.text = el("bdi", { class: "text" });
    this.state = el("bdi", { class: "state" });
    this.age = el("span", { class: "age" });
    this.patient = el("bdi", { class: "patient-id" });
    const bed = withBed
      ? el("a", { class: "bed-link", href: store.beds.has(alert.device) ? bedUrl(alert.device) : undefined },
        nameElement(alert.name, { class: "bed" }), nameElement(alert.ward, { class: "ward-name" }),
        alert.patient ? this.patient : null)
      : null;
    this.node = el("li", { class: "alert", tabindex: "-1" }, this.badge, bed, el("div", { class: "message" }, this.text, this.state), this.age,
      el("div", { class: "buttons" }, this.resume, this.pause, this.acknowledge));
  }

  /**
   * @param {Alert} alert
   * @param {number} at
   */
  update(alert, at) {
    this.alert = alert;
    setText(this.badge, priorityBadge(alert));
    const present = store.hello ? presentValue(alert, store.beds.get(alert.device), store.hello, at) : undefined;
    setText(this.text, alert.text + courseText(alert, present, at));
    setText(this.state, `${stateText(alert, at)}${alert.stale ? ", may be out of date" : ""}`);
    setText(this.age, formatDuration((at - alert.raised) / 1000));
    setText(this.patient, patientText(alert.patient));
    setAttribute(this.patient, "title", alert.patient);
    setAttribute(this.node, "data-priority", alert.priority);
    setAttribute(this.node, "data-kind", alert.kind);
    setAttribute(this.node, "data-state", alert.state);
    setAttribute(this.node, "data-unanswered", alert.unanswered_since ? "true" : null);
    setAttribute(this.node, "data-stale", alert.stale ? "true" : null);
    const readOnly = !mayModify(alert.ward);
    this.acknowledge.hidden = readOnly || alert.state === "acknowledged";
    this.pause.hidden = readOnly || alert.state !== "active";
    this.resume.hidden = readOnly || alert.state !== "audio_paused";
    for (const button of [this.acknowledge, this.pause, this.resume]) {
      setAttribute(button, "aria-label", `${button.textContent}: ${alert.name}, ${alert.text}`);
    }
  }
}

/** Buttons about several alerts: acknowledge those whose condition has ended, and pause the audio of a whole bed. */
export class CommonButtons {
  /** @param {{ pausesBed: boolean }} options `pausesBed`: the alerts are those of one bed, and can be silenced together */
  constructor({ pausesBed }) {
    this.pausesBed = pausesBed;
    /** @type {Alert[]} */
    this.ended = [];
    /** @type {Alert[]} */
    this.active = [];
    this.acknowledge = el("button", { type: "button", class: "primary", on: { click: () => sendAlertCommands(this.ended, "acknowledge", this.acknowledge) } });
    this.pause = el("button", { type: "button", on: { click: () => sendAlertCommands(this.active, "pause_audio", this.pause) } },
      "Pause audio of this bed for 2 minutes");
    this.node = el("div", { class: "common" }, this.pause, this.acknowledge);
  }

  /** @param {Alert[]} alerts */
  update(alerts) {
    const own = alerts.filter((alert) => mayModify(alert.ward));
    this.ended = own.filter((alert) => alert.state === "latched");
    this.active = own.filter((alert) => alert.state === "active");
    setText(this.acknowledge, `Acknowledge ${this.ended.length} ended`);
    this.acknowledge.hidden = this.ended.length < 2;
    this.pause.hidden = !this.pausesBed || this.active.length < 1;
    this.node.hidden = this.acknowledge.hidden && this.pause.hidden;
  }
}

export class AlertsPage {
  /**
   * @param {HTMLElement} _tools
   * @param {HTMLElement} page
   */
  constructor(_tools, page) {
    this.list = new AlertList({ withBed: true });
    this.common = new CommonButtons({ pausesBed: false });
    this.summary = el("p", { class: "lead" });
    page.append(el("section", { class: "wide" }, el("h1", {}, "Open alerts"), this.summary, this.common.node, this.list.node));
  }

  update() {
    if (store.hello) this.tick(now());
  }

  /** @param {number} at */
  tick(at) {
    const alerts = sortByUrgency(store.alerts.values());
    this.list.update(alerts, at);
    this.common.update(alerts);
    const active = alerts.filter((alert) => alert.state === "active").length;
    const summary = alerts.length === 0 ? "No open alerts." : `${alerts.length} open, ${active} active.`;
    setText(this.summary, alertsAreMonitored() ? summary : `${summary} May be out of date.`);
  }

  selected() {
    return this.list.selected();
  }

  /** @param {string} key */
  moveSelection(key) {
    return this.list.moveSelection(key);
  }

  close() {}
}

/**
 * The alerts of each priority that has any, the highest first.
 * @param {Alert[]} alerts
 * @returns {[string, Alert[]][]}
 */
export function groupByPriority(alerts) {
  return Object.keys(PRIORITY_RANKS)
    .map((priority) => /** @type {[string, Alert[]]} */ ([priority, alerts.filter((alert) => alert.priority === priority)]))
    .filter(([, group]) => group.length);
}
