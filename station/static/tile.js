// One bed on the ward: a tile that is made once and then only changed where something has.

import { attribute, bedAddress, el, text } from "./dom.js";
import { age, condition, reading } from "./condition.js";
import { rowsOf } from "./signs.js";
import { now, store } from "./store.js";
import { curve, prepare, range } from "./strip.js";
import { badge, MARKS, shown, span, standing } from "./words.js";

const SPARK = 120; // seconds
const SPARSE = 10; // seconds: values further apart are not joined

let geometry = null;

/** The tiles have another size or other colours. */
export function measureAgain() {
  geometry = null;
}

export class Tile {
  constructor(device) {
    this.device = device;
    this.rows = rowsOf(store.hello);
    this.link = el("a", { class: "where", href: bedAddress(device) });
    this.bedName = el("bdi", { class: "bed" });
    this.patient = el("bdi", { class: "patient" });
    this.of = el("bdi", { class: "of" });
    this.link.append(this.bedName);
    this.score = el("span", { class: "score" });
    this.age = el("span", { class: "age" });
    this.canvas = el("canvas", { class: "sparks", "aria-hidden": "true" });
    this.cells = this.rows.map((row) => {
      const value = el("span", { class: "value" });
      const cell = el("div", { class: row.big ? "row big" : "row", data: { sign: row.key } },
        el("span", { class: "label" }, row.name, el("small", {}, row.unit)), value);
      return { row, cell, value };
    });
    this.ribbon = el("div", { class: "ribbon" });
    this.node = el("li", { class: "tile", data: { device } },
      el("div", { class: "head" }, el("h2", {}, this.link), this.of, this.patient, this.score, this.age),
      el("div", { class: "signs" }, this.canvas, ...this.cells.map(({ cell }) => cell)),
      this.ribbon);
    this.drawn = null;
  }

  /** Take the bed as it stands; `alerts`: its open ones, the most urgent first. Shown at once where it can be seen. */
  update(bed, alerts, manyWards) {
    this.bed = bed;
    this.alerts = alerts;
    this.manyWards = manyWards;
    if (this.hidden) this.tick(now());
    else this.render();
  }

  /** Whether the tile can be seen; one that cannot is not drawn. */
  show(visible) {
    this.hidden = !visible;
    if (visible && this.bed) this.render();
  }

  render() {
    const at = now();
    const { bed, alerts, manyWards } = this;
    text(this.bedName, bed.name);
    text(this.of, manyWards ? bed.ward : "");
    attribute(this.link, "title", bed.device);
    text(this.patient, bed.patient ?? "");
    attribute(this.patient, "title", bed.patient ?? null);
    const score = bed.news2;
    text(this.score, score ? `NEWS ${score.missing.length ? "≥" : ""}${score.total}` : "");
    attribute(this.score, "data-level", score ? level(score) : null);
    for (const { row, cell, value } of this.cells) {
      const found = row.signs.map((sign) => reading(bed, sign, store.hello, at));
      const worst = alerts.find((alert) => row.signs.some((sign) => sign.key === alert.sign) && alert.kind === "physiological");
      const off = found[0].state === "off";
      const arrow = found.map((one) => one.beyond).find(Boolean);
      const said = off ? "off" : row.signs.map((sign, place) => shown(found[place].value, sign)).join("/");
      text(value, said === "–/–" ? "–" : said);
      attribute(value, "data-beyond", off ? null : arrow);
      attribute(cell, "data-state", found[0].state);
      attribute(cell, "data-alert", worst ? worst.priority : null);
      attribute(cell, "data-silenced", worst && worst.state !== "active" ? "true" : null);
      attribute(value, "title", found[0].state === "held" ? `measured ${span(found[0].old)} ago` : null);
    }
    this.tick(at);
    attribute(this.node, "data-time", bed.time);
    this.draw();
  }

  /** What time alone changes. */
  tick(at) {
    const bed = this.bed;
    const called = condition(bed, at);
    const old = age(bed, at);
    text(this.age, old === null ? "" : span(old));
    attribute(this.node, "data-condition", called);
    const first = this.alerts[0];
    attribute(this.node, "data-priority", first ? first.priority : null);
    attribute(this.node, "data-kind", first ? first.kind : null);
    attribute(this.node, "data-silenced", first && first.state !== "active" ? "true" : null);
    attribute(this.node, "data-stale", first && first.stale ? "true" : null);
    attribute(this.ribbon, "data-what", first ? "alert" : called === "LIVE" ? null : "condition");
    if (first) {
      const more = this.alerts.length > 1 ? `  +${this.alerts.length - 1}` : "";
      const mark = first.kind === "technical" ? `[${MARKS[first.priority]}]` : MARKS[first.priority];
      const silenced = first.state === "acknowledged" ? "✓ " : first.state === "audio_paused" ? "‖ " : "";
      // Its value as of now stands above; what it was when it was raised is on the bed's page, and shown on hovering.
      text(this.ribbon, `${mark} ${silenced}${brief(first)}${more}`);
      attribute(this.ribbon, "title", `${badge(first)}: ${first.text} (${standing(first, at)})`);
    } else {
      const told = { OFFLINE: "Offline", SILENT: `Silent for ${span(old ?? 0)}`, WAITING: "Waiting for a first reading", "SENSOR OFF": `Sensor off: ${this.offNames()}`, LIVE: "" };
      text(this.ribbon, told[called]);
      attribute(this.ribbon, "title", null);
    }
  }

  offNames() {
    return this.rows.flatMap((row) => row.signs).filter((sign) => this.bed.off.includes(sign.key)).map((sign) => sign.short).join(", ");
  }

  /** The curves of the last two minutes; only where the tile can be seen. */
  draw() {
    if (this.hidden) return;
    const kept = store.recent.get(this.device);
    // All tiles are alike: one is measured for all of them, so that drawing forces no layout.
    geometry ??= this.measure();
    const { context } = prepare(this.canvas, geometry.canvas);
    if (!kept || kept.time.length === 0) return;
    const end = kept.time.at(-1), begin = end - SPARK;
    const from = Math.max(0, kept.time.findIndex((time) => time >= begin));
    this.cells.forEach(({ row }, place) => {
      const columns = row.signs.map((sign) => kept[sign.key] ?? []);
      const scale = range(columns, from, row.span);
      if (!scale) return;
      const { box, colour } = geometry.rows[place];
      columns.forEach((column, position) => {
        context.strokeStyle = colour;
        context.globalAlpha = position === 0 ? 0.85 : 0.5;
        context.lineWidth = 1.4;
        context.lineJoin = "round";
        curve(context, box, kept.time, column, from, begin, SPARK, scale, SPARSE);
      });
    });
    context.globalAlpha = 1;
  }

  measure() {
    const canvas = this.canvas.getBoundingClientRect(), style = getComputedStyle(this.node);
    const rows = this.cells.map(({ row, cell }) => {
      const place = cell.getBoundingClientRect();
      const box = { left: 2, width: canvas.width - 4, top: place.top - canvas.top + 3, height: Math.max(place.height - 6, 4) };
      return { box, colour: style.getPropertyValue(`--${row.key}`).trim() || style.color };
    });
    return { canvas: { width: canvas.width, height: canvas.height }, rows };
  }
}

function brief(alert) {
  return alert.text.split(alert.kind === "technical" ? " (" : ":")[0];
}

/** How grave a NEWS2 is, by the thresholds of the RCP: 7 or more, 5 or 6 or a single 3, 1 to 4, 0. */
export function level(score) {
  if (score.total >= 7) return "high";
  if (score.total >= 5 || score.worst >= 3) return "medium";
  return score.total >= 1 ? "low" : "none";
}
