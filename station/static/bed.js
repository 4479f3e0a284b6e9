// One bed: its signs live and over days, its alerts, its score with the parts, its limits.

import { AlertList } from "./alerts.js";
import { Chart } from "./chart.js";
import { age, condition, reading } from "./condition.js";
import { attribute, el, name, text } from "./dom.js";
import { LimitsPanel } from "./limits.js";
import { rowsOf } from "./signs.js";
import { hasEnded } from "./session.js";
import { fetchRecent, now, store } from "./store.js";
import { level } from "./tile.js";
import { inOrder, MARKS, moment, shown, span } from "./words.js";

const RANGES = [
  { key: "live", name: "5 minutes, live", seconds: 300 },
  { key: "day", name: "24 hours", seconds: 86400, points: 288 },
  { key: "month", name: "30 days", seconds: 30 * 86400, points: 360 },
];
const AGAIN = 60_000; // milliseconds after which trends and past alerts are asked for again
const INPUTS = { on_oxygen: "Oxygen", consciousness: "Consciousness" };
const ACVPU = { A: "alert", C: "new confusion", V: "responds to voice", P: "responds to pain", U: "unresponsive" };

export class BedPage {
  constructor(tools, page, query) {
    this.device = query.get("device") ?? "";
    this.range = RANGES[0];
    this.trend = null;
    this.askedAt = -Infinity;
    this.title = el("h1", {});
    this.where = el("p", { class: "lead" });
    this.condition = el("span", { class: "condition" });
    this.score = el("span", { class: "score" });
    this.alerts = new AlertList({ withPlace: false });
    this.tabs = RANGES.map((range) => el("button", { type: "button", on: { click: () => this.choose(range) } }, range.name));
    this.note = el("p", { class: "note", role: "status" });
    this.strips = el("div", { class: "strips" });
    this.parts = el("tbody");
    this.scored = el("p", { class: "note" });
    this.past = el("ol", { class: "past" });
    this.pastNote = el("p", { class: "note" });
    this.limits = new LimitsPanel(this.device, () => this.redraw());
    page.append(el("div", { class: "bedpage" },
      el("div", { class: "bedhead" }, el("div", {}, this.title, this.where), this.condition, this.score),
      this.alerts.node,
      el("section", { class: "signs-panel", "aria-labelledby": "signs-title" },
        el("div", { class: "panelhead" }, el("h2", { id: "signs-title" }, "Signs"), el("div", { class: "pair", role: "group", "aria-label": "Range" }, ...this.tabs)),
        this.note, this.strips),
      el("div", { class: "side" },
        el("section", { "aria-labelledby": "score-title" }, el("h2", { id: "score-title" }, "NEWS2"), this.scored,
          el("table", { class: "parts" }, el("caption", { class: "unseen" }, "Parts of the score"),
            el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Input"), el("th", { scope: "col" }, "Value"), el("th", { scope: "col" }, "Points"))), this.parts)),
        this.limits.node,
        el("section", { "aria-labelledby": "past-title" }, el("h2", { id: "past-title" }, "Past alerts"), this.pastNote, this.past))));
    tools.append(el("a", { class: "back", href: "/" }, "← All beds"));
    this.resized = new ResizeObserver(() => this.redraw());
    this.resized.observe(this.strips);
    this.choose(this.range);
  }

  close() {
    this.resized.disconnect();
    this.closed = true;
  }

  concerns() {
    return true;
  }

  selected() {
    return this.alerts.selected() ?? this.mine()[0] ?? null;
  }

  mine() {
    return inOrder([...store.alerts.values()].filter((alert) => alert.device === this.device));
  }

  choose(range) {
    this.range = range;
    this.trend = null;
    RANGES.forEach((one, place) => this.tabs[place].setAttribute("aria-pressed", String(one === range)));
    if (!store.hello) return;
    if (range.points) this.fetchTrend();
    else text(this.note, "");
    this.redraw();
  }

  /** Rows for the signs, once the table of signs is known. */
  prepare() {
    if (this.rows) return;
    fetchRecent(this.device);
    this.limits.fetch();
    this.rows = rowsOf(store.hello).map((row) => {
      const chart = new Chart(row);
      const value = el("span", { class: "value" });
      const when = el("span", { class: "when" });
      const node = el("div", { class: "strip", data: { sign: row.key } },
        el("div", { class: "now" }, el("span", { class: "label" }, row.label, el("small", {}, row.unit)), value, when), chart.node);
      this.strips.append(node);
      return { row, chart, value, when, node };
    });
    if (this.range.points) this.fetchTrend();
  }

  update(changed) {
    if (!store.hello) return;
    this.prepare();
    const at = now();
    const bed = store.beds.get(this.device);
    if (changed.whole || changed.alerts) this.limits.fetch();
    if (changed.beds.has(this.device) || changed.whole) {
      if (bed && this.ownLimits !== bed.own_limits) {
        this.ownLimits = bed.own_limits;
        this.limits.fetch();
      }
      if (this.range.key === "live") this.redraw();
    }
    this.tick(at);
  }

  tick(at) {
    if (!this.rows) return;
    const bed = store.beds.get(this.device);
    const mine = this.mine();
    this.alerts.update(mine, at);
    text(this.title, bed ? bed.name : this.device);
    document.title = `${bed ? bed.name : this.device} – VitalFlow`;
    const called = bed ? condition(bed, at) : "GONE";
    const old = bed ? age(bed, at) : null;
    const told = { GONE: "Not on the ward", OFFLINE: "Offline", SILENT: "Silent", WAITING: "Waiting", "SENSOR OFF": "Sensor off", LIVE: "Live" }[called];
    text(this.condition, old === null ? told : `${told}, last reading ${span(old)} ago`);
    attribute(this.condition, "data-condition", called);
    const where = bed ? [["Ward", bed.ward], ["Patient", bed.patient ?? "not known"], ["Device", bed.device]] : [["Device", this.device]];
    const line = where.map(([what, of]) => `${what} ${of}`).join("\n");
    if (this.whereLine !== line) {
      this.whereLine = line;
      this.where.replaceChildren(...where.map(([what, of]) => el("span", {}, `${what} `, name(of, { class: "of" }))));
    }
    for (const { row, value, when, node } of this.rows) {
      const found = bed ? row.signs.map((sign) => reading(bed, sign, store.hello, at)) : row.signs.map(() => ({ state: "none" }));
      const worst = mine.find((alert) => alert.kind === "physiological" && row.signs.some((sign) => sign.key === alert.sign));
      const arrow = found.map((one) => one.beyond).find(Boolean);
      const said = found[0].state === "off" ? "off" : row.signs.map((sign, place) => shown(found[place].value, sign)).join("/");
      text(value, said === "–/–" ? "–" : said);
      attribute(value, "data-beyond", found[0].state === "off" ? null : arrow);
      text(when, found[0].state === "held" ? `${span(found[0].old)} ago` : "");
      attribute(node, "data-state", called === "LIVE" || called === "SENSOR OFF" ? found[0].state : "old");
      attribute(node, "data-alert", worst?.priority);
      attribute(node, "data-silenced", worst && worst.state !== "active" ? "true" : null);
    }
    this.showScore(bed, called);
    if (performance.now() - this.askedAt > AGAIN) this.fetchPast();
    if (this.range.key === "live") this.redraw();
    else if (this.trend && performance.now() - this.trend.at > AGAIN) this.fetchTrend();
  }

  showScore(bed, called) {
    const score = bed?.news2;
    text(this.score, score ? `NEWS2 ${score.missing.length ? "≥ " : ""}${score.total}` : "");
    attribute(this.score, "data-level", score ? level(score) : null);
    const old = called === "LIVE" || called === "SENSOR OFF" ? "" : " As of the last reading.";
    text(this.scored, !score ? "Nothing to score yet." : (score.missing.length ? "At least: not all inputs were measured lately." : "All seven inputs are there.") + old);
    const inputs = store.hello.score_inputs.map(({ key }) => {
      const sign = store.hello.signs.find((one) => one.key === key);
      const held = bed?.values?.[key];
      let value = sign && held ? `${shown(held[0], sign)} ${sign.unit}` : "–";
      if (key === "on_oxygen" && bed && typeof bed.on_oxygen === "boolean") value = bed.on_oxygen ? "yes" : "no";
      if (key === "consciousness" && bed?.consciousness) value = `${bed.consciousness}, ${ACVPU[bed.consciousness]}`;
      return [sign?.label ?? INPUTS[key] ?? key, value, score && key in score.parts ? String(score.parts[key]) : "–"];
    });
    const line = JSON.stringify(inputs);
    if (this.partsLine === line) return;
    this.partsLine = line;
    this.parts.replaceChildren(...inputs.map(([label, value, points]) => el("tr", { data: { points } },
      el("th", { scope: "row" }, label), el("td", {}, value), el("td", {}, points))));
  }

  redraw() {
    if (!this.rows) return;
    const limits = this.limits.lines();
    const end = now() / 1000, begin = end - this.range.seconds;
    const kept = store.recent.get(this.device);
    for (const { row, chart } of this.rows) {
      const mine = row.signs.flatMap((sign) => limits.filter((line) => line.sign === sign.key));
      if (this.range.key === "live") {
        const times = kept?.time ?? [];
        const from = Math.max(0, times.findIndex((time) => time >= begin));
        const columns = row.signs.map((sign) => ({ avg: (kept?.[sign.key] ?? []).slice(from) }));
        chart.set({ times: times.slice(from), columns, begin, end, gap: 10, limits: mine });
      } else {
        const trend = this.trend;
        const times = trend?.times ?? [];
        const columns = row.signs.map((sign) => trend?.signs[sign.key] ?? { avg: [] });
        chart.set({ times, columns, begin, end, gap: (trend?.step ?? 0) * 2.5, limits: mine });
      }
      const label = `${row.label} over ${this.range.name}`;
      attribute(chart.canvas, "aria-label", label);
    }
  }

  async fetchTrend() {
    const range = this.range;
    if (!store.hello.history) {
      text(this.note, "No trends: this station has no database to ask.");
      return;
    }
    if (this.trend) this.trend.at = performance.now();
    else text(this.note, "Asking the database …");
    const end = new Date(now()), begin = new Date(now() - range.seconds * 1000);
    const query = new URLSearchParams({ from: begin.toISOString(), to: end.toISOString(), points: range.points });
    const answer = await ask(`/api/beds/${encodeURIComponent(this.device)}/series?${query}`);
    if (this.closed || this.range !== range) return;
    if (answer.problem) {
      text(this.note, `No trends: ${answer.problem}.`);
      this.trend = { at: performance.now(), times: [], signs: {}, step: 0 };
    } else {
      const times = answer.time.map((time) => Date.parse(time) / 1000);
      const steps = times.slice(1).map((time, place) => time - times[place]);
      this.trend = { at: performance.now(), times, signs: answer.signs, step: steps.length ? Math.min(...steps) : range.seconds };
      text(this.note, times.length ? "Average, and the band from lowest to highest." : "Nothing is stored for this time.");
    }
    this.redraw();
  }

  async fetchPast() {
    this.askedAt = performance.now();
    if (!store.hello.history) {
      text(this.pastNote, "This station has no database to ask.");
      return;
    }
    const answer = await ask(`/api/beds/${encodeURIComponent(this.device)}/alerts?limit=30`);
    if (this.closed) return;
    if (answer.problem) {
      text(this.pastNote, `No history: ${answer.problem}.`);
      return;
    }
    text(this.pastNote, answer.alerts.length ? "" : "None in the last 30 days.");
    const at = now();
    this.past.replaceChildren(...answer.alerts.map((alert) => el("li", { data: { priority: alert.priority } },
      el("span", { class: "mark" }, alert.kind === "technical" ? `[${MARKS[alert.priority]}]` : MARKS[alert.priority]),
      el("div", {}, el("bdi", { class: "text" }, alert.text),
        el("span", { class: "note" }, `${moment(Date.parse(alert.raised_at), at)}, `, alert.cleared_at ? `for ${span(alert.duration_s)}` : "open",
          ...(alert.acknowledged_by ? [", seen by ", el("bdi", {}, alert.acknowledged_by)] : []))))));
  }
}

/** JSON, or { problem } in words. */
export async function ask(address) {
  try {
    const answer = await fetch(address);
    if (hasEnded(answer)) return { problem: "your login has ended" };
    const told = await answer.json().catch(() => ({}));
    return answer.ok ? told : { problem: typeof told.detail === "string" ? told.detail : `the station answered ${answer.status}` };
  } catch {
    return { problem: "the station does not answer" };
  }
}
