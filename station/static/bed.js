// One bed: its signs live and over days, its alerts, its NEWS2 with the parts, its limits, its past alerts.

import { AlertList, CommonButtons } from "./alerts.js";
import { AlertLanes, Chart } from "./chart.js";
import { bedCondition, readingAge } from "./condition.js";
import { el, nameElement, setAttribute, setText } from "./dom.js";
import { formatDuration, formatValue, sortByUrgency } from "./format.js";
import { LimitsPanel } from "./limits.js";
import { namedPatient } from "./names.js";
import { PastAlerts } from "./past_alerts.js";
import { PatientPanel } from "./patient.js";
import { signRows } from "./signs.js";
import { now, store } from "./store.js";
import { fetchRecent } from "./stream.js";
import { setTabName } from "./tab.js";
import { news2Level, rowAlert, rowReading } from "./tile.js";
import { Trends } from "./trends.js";

/** @type {Record<string, string>} */
const INPUTS = { on_oxygen: "Oxygen", consciousness: "Consciousness" };
/** @type {Record<string, string>} */
const ACVPU = { A: "alert", C: "new confusion", V: "responds to voice", P: "responds to pain", U: "unresponsive" };
const CONDITIONS = { GONE: "Not on the ward", OFFLINE: "Offline", SILENT: "Silent", WAITING: "Waiting", VACANT: "No patient", "SENSOR OFF": "Sensor off", LIVE: "Live" };

export class BedPage {
  /**
   * @param {HTMLElement} tools
   * @param {HTMLElement} page
   * @param {URLSearchParams} query
   */
  constructor(tools, page, query) {
    this.device = query.get("device") ?? "";
    /** @type {boolean | undefined} */
    this.hasOwnLimits = undefined;
    /** @type {number | undefined} */
    this.assigned = undefined;
    this.detailsKey = ""; // what is shown, so that it is only replaced where it has changed
    this.partsKey = "";
    this.title = el("h1", {});
    this.details = el("p", { class: "lead" });
    this.condition = el("span", { class: "condition" });
    this.score = el("span", { class: "score" });
    this.alerts = new AlertList({ withBed: false });
    this.common = new CommonButtons({ pausesBed: true });
    this.trends = new Trends(this.device, query, () => this.redraw(),
      (answer) => this.past.show(answer, this.trends.isLive, store.beds.get(this.device)?.patient), () => this.strips.clientWidth);
    this.strips = el("div", {
      class: "strips", tabindex: "0", role: "group", on: { keydown: (/** @type {KeyboardEvent} */ event) => this.pressOnCharts(event) },
      "aria-label": "Charts. Left and right arrow: earlier and later. Plus and minus: zoom. Home: live.",
    });
    this.parts = el("tbody");
    this.scoreNote = el("p", { class: "note" });
    this.past = new PastAlerts((span) => this.trends.showAlert(span));
    this.patient = new PatientPanel(this.device);
    this.limits = new LimitsPanel(this.device, () => this.redraw());
    page.append(el("div", { class: "bedpage" },
      el("div", { class: "bedhead" }, el("div", {}, this.title, this.details), this.condition, this.score),
      this.common.node, this.alerts.node,
      el("section", { class: "signs-panel", "aria-labelledby": "signs-title" },
        this.trends.node, this.strips),
      el("div", { class: "side" }, this.patient.node,
        el("section", { "aria-labelledby": "score-title" }, el("h2", { id: "score-title" }, "NEWS2"), this.scoreNote,
          el("table", { class: "parts" }, el("caption", { class: "visually-hidden" }, "Parts of the score"),
            el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Input"), el("th", { scope: "col" }, "Value"), el("th", { scope: "col" }, "Points"))), this.parts)),
        this.limits.node,
        this.past.node)));
    tools.append(el("a", { class: "back", href: "/" }, "← All beds"));
    this.resize = new ResizeObserver(() => this.redraw());
    this.resize.observe(this.strips);
    this.trends.showControls();
  }

  close() {
    this.resize.disconnect();
    this.trends.close();
    this.lanes?.close();
    for (const { chart } of this.rows ?? []) chart.close();
  }

  /** The alert that has the focus, or the most urgent of the bed. */
  selected() {
    return this.alerts.selected() ?? this.openAlerts()[0] ?? null;
  }

  /** @param {string} key */
  moveSelection(key) {
    return this.alerts.moveSelection(key);
  }

  openAlerts() {
    return sortByUrgency([...store.alerts.values()].filter((alert) => alert.device === this.device));
  }

  /** @param {KeyboardEvent} event */
  pressOnCharts(event) {
    if (event.target !== this.strips || event.ctrlKey || event.altKey || event.metaKey || !this.trends.press(event.key)) return;
    event.preventDefault();
    event.stopPropagation(); // arrows select alerts elsewhere
  }

  /** Create the rows, once the table of signs has arrived. */
  createRows() {
    if (this.rows || !store.hello) return;
    fetchRecent(this.device);
    this.limits.fetch();
    this.lanes = new AlertLanes(this.trends.handlers);
    this.strips.append(el("div", { class: "strip lanes" }, el("div", { class: "reading" }, el("span", { class: "label" }, "Alerts")), this.lanes.node));
    this.rows = signRows(store.hello).map((row) => {
      const chart = new Chart(row, this.trends.handlers);
      const value = el("span", { class: "value" });
      const age = el("span", { class: "measured" });
      const node = el("div", { class: "strip", data: { sign: row.key } },
        el("div", { class: "reading" }, el("span", { class: "label" }, row.label, el("small", {}, row.unit)), value, age), chart.node);
      this.strips.append(node);
      return { row, chart, value, age, node };
    });
  }

  /** @param {import("./types.js").Changes} changes */
  update(changes) {
    if (!store.hello) return;
    this.createRows();
    const bed = store.beds.get(this.device);
    if (changes.snapshot || changes.alerts) this.limits.fetch();
    if (changes.beds.has(this.device) || changes.snapshot) {
      if (bed && (this.hasOwnLimits !== bed.own_limits || this.assigned !== bed.assigned)) {
        this.hasOwnLimits = bed.own_limits;
        this.assigned = bed.assigned; // another age group has other limits
        this.limits.fetch();
      }
      this.redraw();
    }
    this.tick(now());
  }

  /** @param {number} at unix milliseconds */
  tick(at) {
    if (!this.rows) return;
    const bed = store.beds.get(this.device);
    const alerts = this.openAlerts();
    this.alerts.update(alerts, at);
    this.common.update(alerts);
    setText(this.title, bed ? bed.name : this.device);
    setTabName(bed ? bed.name : this.device);
    const condition = bed ? bedCondition(bed, at) : "GONE";
    const isLive = condition === "LIVE" || condition === "SENSOR OFF";
    const age = bed ? readingAge(bed, at) : null;
    setText(this.condition, age === null ? CONDITIONS[condition] : `${CONDITIONS[condition]}, last reading ${formatDuration(age)} ago`);
    setAttribute(this.condition, "data-condition", condition);
    this.showDetails(bed);
    this.patient.update(alerts.length > 0);
    for (const { row, value, age: measured, node } of this.rows) {
      const reading = rowReading(bed, row, at);
      const alert = rowAlert(alerts, row);
      setText(value, reading.text);
      setAttribute(value, "data-beyond", reading.beyond);
      setText(measured, reading.state === "held" ? `${formatDuration(reading.age ?? 0)} ago` : "");
      setAttribute(node, "data-state", isLive ? reading.state : "old");
      setAttribute(node, "data-alert", alert?.priority);
      setAttribute(node, "data-silenced", alert && alert.state !== "active" ? "true" : null);
      setAttribute(node, "data-alarm", alert?.state);
    }
    this.showScore(bed, isLive);
    this.trends.tick();
    if (this.trends.isLive) this.redraw();
  }

  /** @param {import("./types.js").Bed | undefined} bed */
  showDetails(bed) {
    const name = namedPatient(bed?.patient)?.name;
    const details = bed ? [["Ward", bed.ward], ...(name ? [["Name", name]] : []), ["Patient", bed.patient ?? "not known"], ["Device", bed.device]] : [["Device", this.device]];
    const key = details.flat().join("\n");
    if (this.detailsKey === key) return;
    this.detailsKey = key;
    this.details.replaceChildren(...details.map(([label, value]) => el("span", {}, `${label} `, nameElement(value, { class: "ward-name" }))));
  }

  /**
   * @param {import("./types.js").Bed | undefined} bed
   * @param {boolean} isLive
   */
  showScore(bed, isLive) {
    const score = bed?.news2;
    setText(this.score, score ? `NEWS2 ${score.missing.length ? "≥ " : ""}${score.total}` : "");
    setAttribute(this.score, "data-level", score ? news2Level(score) : null);
    const inputsNote = score?.missing.length ? "A lower bound: not all inputs were measured recently." : "All seven inputs are available.";
    setText(this.scoreNote, score ? inputsNote + (isLive ? "" : " As of the last reading.") : this.patient.isChild ? "NEWS2 applies from 16 years." : "No score yet.");
    const inputs = (store.hello?.score_inputs ?? []).map(({ key }) => {
      const sign = store.hello?.signs.find((known) => known.key === key);
      const measured = bed?.values[key];
      let value = sign && measured ? `${formatValue(measured[0], sign)} ${sign.unit}` : "–";
      if (key === "on_oxygen" && typeof bed?.on_oxygen === "boolean") value = bed.on_oxygen ? "yes" : "no";
      if (key === "consciousness" && bed?.consciousness) value = `${bed.consciousness}, ${ACVPU[bed.consciousness]}`;
      return [sign?.label ?? INPUTS[key] ?? key, value, score && key in score.parts ? String(score.parts[key]) : "–"];
    });
    const key = JSON.stringify(inputs);
    if (this.partsKey === key) return;
    this.partsKey = key;
    this.parts.replaceChildren(...inputs.map(([label, value, points]) => el("tr", { data: { points } },
      el("th", { scope: "row" }, label), el("td", {}, value), el("td", {}, points))));
  }

  redraw() {
    if (!this.rows || !this.lanes) return;
    const limits = this.limits.lines();
    const { alerts, name, column, ...common } = this.trends.frame(this.openAlerts());
    this.lanes.set({ ...common, times: [], columns: [], limits: [], alerts, label: `Alerts ${name}: ${alerts.length}` });
    for (const { row, chart } of this.rows) {
      const isOf = (/** @type {{ sign?: string | null }} */ { sign }) => row.signs.some(({ key }) => key === sign);
      const columns = row.signs.map(({ key }) => column(key));
      chart.set({ ...common, columns, limits: limits.filter(isOf), alerts: alerts.filter(isOf), label: `${row.label} ${name}` });
    }
  }
}
