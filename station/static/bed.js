// One bed: its signs live and over days, its alerts, its NEWS2 with the parts, its limits, its past alerts.

import { AlertList, CommonButtons } from "./alerts.js";
import { getJson } from "./api.js";
import { Chart } from "./chart.js";
import { bedCondition, readingAge } from "./condition.js";
import { el, nameElement, setAttribute, setText } from "./dom.js";
import { formatDateTime, formatDuration, formatValue, pastWorst, priorityMark, sortByUrgency, toSentence } from "./format.js";
import { LimitsPanel } from "./limits.js";
import { signRows } from "./signs.js";
import { now, store } from "./store.js";
import { fetchRecent } from "./stream.js";
import { setTabName } from "./tab.js";
import { news2Level, rowAlert, rowReading } from "./tile.js";

/** @type {{ key: string, name: string, seconds: number, points?: number }[]} */
const RANGES = [
  { key: "live", name: "5 minutes, live", seconds: 300 },
  { key: "day", name: "24 hours", seconds: 86400, points: 288 },
  { key: "month", name: "30 days", seconds: 30 * 86400, points: 360 },
];
const REFETCH_MS = 60_000; // trends and past alerts are fetched again after this time
const LIVE_GAP_S = 10; // live values further apart are not joined
const TREND_GAP_STEPS = 2.5; // the same for a trend, in steps between its points
/** @type {Record<string, string>} */
const INPUTS = { on_oxygen: "Oxygen", consciousness: "Consciousness" };
/** @type {Record<string, string>} */
const ACVPU = { A: "alert", C: "new confusion", V: "responds to voice", P: "responds to pain", U: "unresponsive" };
const CONDITIONS = { GONE: "Not on the ward", OFFLINE: "Offline", SILENT: "Silent", WAITING: "Waiting", "SENSOR OFF": "Sensor off", LIVE: "Live" };
const NO_DATABASE = "This station keeps no history.";

export class BedPage {
  /**
   * @param {HTMLElement} tools
   * @param {HTMLElement} page
   * @param {URLSearchParams} query
   */
  constructor(tools, page, query) {
    this.device = query.get("device") ?? "";
    this.range = RANGES[0];
    /** @type {{ fetchedAt: number, times: number[], signs: Record<string, any>, step: number } | null} */
    this.trend = null;
    this.pastFetchedAt = -Infinity;
    /** @type {boolean | undefined} */
    this.hasOwnLimits = undefined;
    this.closed = false;
    this.detailsKey = ""; // what is shown, so that it is only replaced where it has changed
    this.partsKey = "";
    this.title = el("h1", {});
    this.details = el("p", { class: "lead" });
    this.condition = el("span", { class: "condition" });
    this.score = el("span", { class: "score" });
    this.alerts = new AlertList({ withBed: false });
    this.common = new CommonButtons({ pausesBed: true });
    this.tabs = RANGES.map((range) => el("button", { type: "button", on: { click: () => this.selectRange(range) } }, range.name));
    this.note = el("p", { class: "note", role: "status" });
    this.strips = el("div", { class: "strips" });
    this.parts = el("tbody");
    this.scoreNote = el("p", { class: "note" });
    this.past = el("ol", { class: "past" });
    this.pastNote = el("p", { class: "note" });
    this.limits = new LimitsPanel(this.device, () => this.redraw());
    page.append(el("div", { class: "bedpage" },
      el("div", { class: "bedhead" }, el("div", {}, this.title, this.details), this.condition, this.score),
      this.common.node, this.alerts.node,
      el("section", { class: "signs-panel", "aria-labelledby": "signs-title" },
        el("div", { class: "panelhead" }, el("h2", { id: "signs-title" }, "Signs"), el("div", { class: "pair", role: "group", "aria-label": "Range" }, ...this.tabs)),
        this.note, this.strips),
      el("div", { class: "side" },
        el("section", { "aria-labelledby": "score-title" }, el("h2", { id: "score-title" }, "NEWS2"), this.scoreNote,
          el("table", { class: "parts" }, el("caption", { class: "visually-hidden" }, "Parts of the score"),
            el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Input"), el("th", { scope: "col" }, "Value"), el("th", { scope: "col" }, "Points"))), this.parts)),
        this.limits.node,
        el("section", { "aria-labelledby": "past-title" }, el("h2", { id: "past-title" }, "Past alerts"), this.pastNote, this.past))));
    tools.append(el("a", { class: "back", href: "/" }, "← All beds"));
    this.resize = new ResizeObserver(() => this.redraw());
    this.resize.observe(this.strips);
    this.selectRange(this.range);
  }

  close() {
    this.resize.disconnect();
    for (const { chart } of this.rows ?? []) chart.close();
    this.closed = true;
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

  /** @param {typeof RANGES[number]} selected */
  selectRange(selected) {
    this.range = selected;
    this.trend = null;
    RANGES.forEach((range, index) => this.tabs[index].setAttribute("aria-pressed", String(range === selected)));
    if (!store.hello) return;
    if (selected.points) this.fetchTrend();
    else setText(this.note, "");
    this.redraw();
  }

  /** Create the rows, once the table of signs has arrived. */
  createRows() {
    if (this.rows || !store.hello) return;
    fetchRecent(this.device);
    this.limits.fetch();
    this.rows = signRows(store.hello).map((row) => {
      const chart = new Chart(row);
      const value = el("span", { class: "value" });
      const age = el("span", { class: "measured" });
      const node = el("div", { class: "strip", data: { sign: row.key } },
        el("div", { class: "reading" }, el("span", { class: "label" }, row.label, el("small", {}, row.unit)), value, age), chart.node);
      this.strips.append(node);
      return { row, chart, value, age, node };
    });
    if (this.range.points) this.fetchTrend();
  }

  /** @param {import("./types.js").Changes} changes */
  update(changes) {
    if (!store.hello) return;
    this.createRows();
    const bed = store.beds.get(this.device);
    if (changes.snapshot || changes.alerts) this.limits.fetch();
    if (changes.beds.has(this.device) || changes.snapshot) {
      if (bed && this.hasOwnLimits !== bed.own_limits) {
        this.hasOwnLimits = bed.own_limits;
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
    if (performance.now() - this.pastFetchedAt > REFETCH_MS) this.fetchPast();
    if (this.range.key === "live") this.redraw();
    else if (this.trend && performance.now() - this.trend.fetchedAt > REFETCH_MS) this.fetchTrend();
  }

  /** @param {import("./types.js").Bed | undefined} bed */
  showDetails(bed) {
    const details = bed ? [["Ward", bed.ward], ["Patient", bed.patient ?? "not known"], ["Device", bed.device]] : [["Device", this.device]];
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
    setText(this.scoreNote, score ? inputsNote + (isLive ? "" : " As of the last reading.") : "No score yet.");
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
    if (!this.rows) return;
    const limits = this.limits.lines();
    const end = now() / 1000, begin = end - this.range.seconds;
    const recent = store.recent.get(this.device);
    const isLive = this.range.key === "live";
    for (const { row, chart } of this.rows) {
      const rowLimits = limits.filter((limit) => row.signs.some((sign) => sign.key === limit.sign));
      const label = `${row.label} over ${this.range.name}`;
      if (isLive) {
        const times = recent?.time ?? [];
        const from = Math.max(0, times.findIndex((time) => time >= begin));
        const columns = row.signs.map((sign) => ({ avg: (recent?.[sign.key] ?? []).slice(from) }));
        chart.set({ times: times.slice(from), columns, begin, end, gap: LIVE_GAP_S, limits: rowLimits, label });
      } else {
        const { times = [], signs = {}, step = 0 } = this.trend ?? {};
        const columns = row.signs.map((sign) => signs[sign.key] ?? { avg: [] });
        chart.set({ times, columns, begin, end, gap: step * TREND_GAP_STEPS, limits: rowLimits, label });
      }
    }
  }

  async fetchTrend() {
    const range = this.range;
    if (!store.hello?.history) {
      setText(this.note, `No trends. ${NO_DATABASE}`);
      return;
    }
    if (this.trend) this.trend.fetchedAt = performance.now();
    else setText(this.note, "Loading …");
    const end = new Date(now()), begin = new Date(now() - range.seconds * 1000);
    const query = new URLSearchParams({ from: begin.toISOString(), to: end.toISOString(), points: String(range.points) });
    const answer = await getJson(`/api/beds/${encodeURIComponent(this.device)}/series?${query}`);
    if (this.closed || this.range !== range) return;
    if (answer.problem) {
      setText(this.note, `No trends: ${toSentence(answer.problem)}`);
      this.trend = { fetchedAt: performance.now(), times: [], signs: {}, step: 0 };
    } else {
      /** @type {number[]} */
      const times = answer.time.map((/** @type {string} */ time) => Date.parse(time) / 1000);
      const steps = times.slice(1).map((time, index) => time - times[index]);
      this.trend = { fetchedAt: performance.now(), times, signs: answer.signs, step: steps.length ? Math.min(...steps) : range.seconds };
      setText(this.note, times.length ? "Average, with the band from minimum to maximum." : "No data is stored for this period.");
    }
    this.redraw();
  }

  async fetchPast() {
    this.pastFetchedAt = performance.now();
    if (!store.hello?.history) {
      setText(this.pastNote, NO_DATABASE);
      return;
    }
    const answer = await getJson(`/api/beds/${encodeURIComponent(this.device)}/alerts?limit=30`);
    if (this.closed) return;
    if (answer.problem) {
      setText(this.pastNote, toSentence(answer.problem));
      return;
    }
    setText(this.pastNote, answer.alerts.length ? "" : "None in the last 30 days.");
    const at = now();
    this.past.replaceChildren(...answer.alerts.map((/** @type {any} */ alert) => el("li", { data: { priority: alert.priority } },
      el("span", { class: "mark" }, priorityMark(alert)),
      el("div", {}, el("bdi", { class: "text" }, alert.text, pastWorst(alert, at)),
        el("span", { class: "note" }, `${formatDateTime(Date.parse(alert.raised_at), at)}, `, alert.cleared_at ? `for ${formatDuration(alert.duration_s)}` : "open",
          ...(alert.acknowledged_by ? [", acknowledged by ", el("bdi", {}, alert.acknowledged_by)] : []))))));
  }
}
