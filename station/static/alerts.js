// The open alerts: what sounds first, who has seen it, and the buttons to say so.

import { act } from "./acts.js";
import { attribute, bedAddress, el, name, text } from "./dom.js";
import { mayAct, now, store, watched } from "./store.js";
import { badge, inOrder, RANKS, span, standing } from "./words.js";

/** A list of alerts that keeps its rows, so that a button does not vanish under a finger. */
export class AlertList {
  constructor({ withPlace }) {
    this.withPlace = withPlace;
    this.rows = new Map();
    this.node = el("ul", { class: "alerts" });
  }

  update(alerts, at) {
    const keys = new Set(alerts.map((alert) => alert.key));
    for (const [key, row] of this.rows) {
      if (keys.has(key)) continue;
      const had = row.node.contains(document.activeElement);
      const after = row.node.nextElementSibling ?? row.node.previousElementSibling;
      row.node.remove();
      this.rows.delete(key);
      if (had) after?.querySelector("button:not([hidden])")?.focus();
    }
    alerts.forEach((alert, place) => {
      let row = this.rows.get(alert.key);
      if (!row) this.rows.set(alert.key, (row = new Row(alert, this.withPlace)));
      row.update(alert, at);
      if (this.node.children[place] !== row.node) this.node.insertBefore(row.node, this.node.children[place] ?? null);
    });
  }

  /** The alert that has the focus, or the first. */
  selected() {
    for (const row of this.rows.values()) if (row.node.contains(document.activeElement)) return row.alert;
    return null;
  }
}

class Row {
  constructor(alert, withPlace) {
    this.alert = alert;
    const button = (label, action) => el("button", { type: "button", on: { click: (event) => act(this.alert, action, event.currentTarget) } }, label);
    this.acknowledge = button("Acknowledge", "acknowledge");
    this.acknowledge.classList.add("primary");
    this.pause = button("Pause audio", "pause_audio");
    this.resume = button("Resume audio", "resume_audio");
    this.badge = el("span", { class: "badge" });
    this.text = el("bdi", { class: "text" });
    this.standing = el("bdi", { class: "standing" });
    this.age = el("span", { class: "age" });
    const place = withPlace
      ? el("a", { class: "place", href: store.beds.has(alert.device) ? bedAddress(alert.device) : undefined },
        name(alert.name, { class: "bed" }), name(alert.ward, { class: "of" }), alert.patient ? name(alert.patient, { class: "whom" }) : null)
      : null;
    this.node = el("li", { class: "alert" }, this.badge, place, el("div", { class: "what" }, this.text, this.standing), this.age,
      el("div", { class: "buttons" }, this.resume, this.pause, this.acknowledge));
  }

  update(alert, at) {
    this.alert = alert;
    text(this.badge, badge(alert));
    text(this.text, alert.text);
    text(this.standing, `${standing(alert, at)}${alert.stale ? ", perhaps out of date" : ""}`);
    text(this.age, span((at - alert.raised) / 1000));
    for (const [key, value] of Object.entries({ priority: alert.priority, kind: alert.kind, state: alert.state })) attribute(this.node, `data-${key}`, value);
    attribute(this.node, "data-stale", alert.stale ? "true" : null);
    const looks = !mayAct(alert.ward);
    this.acknowledge.hidden = looks || alert.state === "acknowledged";
    this.pause.hidden = looks || alert.state !== "active";
    this.resume.hidden = looks || alert.state !== "audio_paused";
    for (const button of [this.acknowledge, this.pause, this.resume]) attribute(button, "aria-label", `${button.textContent}: ${alert.name}, ${alert.text}`);
  }
}

export class AlertsPage {
  constructor(tools, page) {
    this.list = new AlertList({ withPlace: true });
    this.summary = el("p", { class: "lead" });
    page.append(el("section", { class: "wide" }, el("h1", {}, "Open alerts"), this.summary, this.list.node));
  }

  update() {
    if (store.hello) this.tick(now());
  }

  tick(at) {
    const alerts = inOrder(store.alerts.values());
    this.list.update(alerts, at);
    const loud = alerts.filter((alert) => alert.state === "active").length;
    const told = alerts.length === 0 ? "No alert is open." : `${alerts.length} open, ${loud} not yet seen.`;
    text(this.summary, watched() ? told : `${told} Perhaps out of date.`);
  }

  selected() {
    return this.list.selected();
  }

  close() {}
}

/** How many of each priority, the highest first. */
export function counts(alerts) {
  return Object.keys(RANKS).map((priority) => [priority, alerts.filter((alert) => alert.priority === priority)]).filter(([, of]) => of.length);
}
