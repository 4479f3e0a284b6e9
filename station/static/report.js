// The report of a bed, for printing: a sheet for each day.

import { getJson } from "./api.js";
import { bedUrl, el, setText } from "./dom.js";
import { formatDuration, localTime, pastWorst, priorityMark, toSentence } from "./format.js";
import { areNamesStored, byNumber, nameDetails } from "./names.js";
import { mostUrgent, recorded, reportDays, reportLines, spreadText } from "./report_data.js";
import { now, store } from "./store.js";
import { setTabName } from "./tab.js";

const MAX_LINES = 42; // of hours, patients and alerts on a sheet
const MIN_ALERTS = 4;
const MAX_ALERTS = 500; // fetched of a day
const REMARK = "NEWS2 is the highest score of a minute in the hour, from averages without oxygen and consciousness: a lower bound. VitalFlow is not a medical device.";
const ONLY_WARDS = "Only what was recorded in the wards that the user may see.";

export class ReportPage {
  /**
   * @param {HTMLElement} tools
   * @param {HTMLElement} page
   * @param {URLSearchParams} query
   */
  constructor(tools, page, query) {
    this.device = query.get("device") ?? "";
    this.started = false;
    this.closed = false;
    this.names = byNumber([]);
    this.run = 0; // the newest request for sheets; earlier ones stop
    const today = localTime(now()).slice(0, 10);
    const days = reportDays(query.get("from") ?? "", query.get("to") ?? "", today);
    this.from = el("input", { type: "date", max: today, value: days[0], on: { change: () => this.showSheets() } });
    this.to = el("input", { type: "date", max: today, value: days[days.length - 1], on: { change: () => this.showSheets() } });
    this.print = el("button", { type: "button", class: "primary", disabled: true, on: { click: () => print() } }, "Print");
    this.note = el("p", { class: "note", role: "status" });
    this.sheets = el("div", { class: "sheets" });
    page.append(el("div", { class: "report" },
      el("div", { class: "report-tools" }, el("h1", {}, "Report of a bed"), el("label", {}, "From ", this.from), el("label", {}, "To ", this.to), this.print, this.note),
      this.sheets));
    tools.append(el("a", { class: "back", href: bedUrl(this.device) }, "← Bed"));
    this.stamp = () => this.showPrinted();
    addEventListener("beforeprint", this.stamp);
  }

  close() {
    this.closed = true;
    removeEventListener("beforeprint", this.stamp);
  }

  update() {
    if (this.started || !store.hello) return;
    this.started = true;
    this.showSheets();
  }

  tick() {
    // Nothing depends on the clock: the report is of the time at which it was fetched.
  }

  get bed() {
    return store.beds.get(this.device);
  }

  async showSheets() {
    const run = this.run += 1;
    const days = reportDays(this.from.value, this.to.value, localTime(now()).slice(0, 10));
    history.replaceState(null, "", `/report?${new URLSearchParams({ device: this.device, from: days[0], to: days[days.length - 1] })}`);
    setTabName(`${this.bed?.name ?? this.device} report`);
    this.print.disabled = true;
    this.sheets.replaceChildren();
    if (!store.hello?.history) {
      setText(this.note, "No report. This station keeps no history.");
      return;
    }
    await this.fetchNames();
    if (this.closed || this.run !== run) return;
    for (const [index, day] of days.entries()) {
      setText(this.note, `Loading day ${index + 1} of ${days.length} …`);
      const [report, alerts] = await this.fetchDay(day);
      if (this.closed || this.run !== run) return;
      this.sheets.append(this.sheet(day, report, alerts, `Sheet ${index + 1} of ${days.length}`));
    }
    this.showPrinted();
    this.print.disabled = false;
    const sheets = days.length === 1 ? "One sheet" : `${days.length} sheets`;
    setText(this.note, this.from.value < days[0] ? `${sheets}: a report has at most the last ${days.length} days.` : `${sheets}.`);
  }

  /** Fetch the names of all patients of the bed; a report without them has the numbers. */
  async fetchNames() {
    const answer = areNamesStored() ? await getJson(`/ui/names?device=${encodeURIComponent(this.device)}`) : [];
    this.names = byNumber(answer.problem ? [] : answer);
  }

  /** @param {string} day */
  async fetchDay(day) {
    const path = `/api/beds/${encodeURIComponent(this.device)}`;
    const report = await getJson(`${path}/report?day=${day}`);
    if (report.problem) return [report, null];
    const range = new URLSearchParams({ from: report.start, to: report.end, limit: String(MAX_ALERTS) });
    return [report, await getJson(`${path}/alerts?${range}`)];
  }

  /**
   * @param {string} day
   * @param {any} report of the API, or `{ problem }`
   * @param {any} alerts the same
   * @param {string} number
   */
  sheet(day, report, alerts, number) {
    const title = new Date(`${day}T12:00:00Z`).toLocaleDateString(undefined, { timeZone: "UTC", weekday: "long", day: "numeric", month: "long", year: "numeric" });
    const id = `sheet-${day}`;
    const content = report.problem ? [el("p", { class: "missing" }, `This day could not be read: ${toSentence(report.problem)}`)] : this.content(report, alerts);
    return el("article", { class: "sheet", "aria-labelledby": id },
      el("header", {}, el("h2", { id }, title),
        el("p", {}, "Bed ", el("bdi", {}, this.bed?.name ?? this.device), ", device ", el("bdi", {}, this.device), ...(report.time_zone ? [`. Times of ${report.time_zone}.`] : []))),
      ...content,
      el("footer", {}, el("p", {}, REMARK, store.hello?.user.viewable ? ` ${ONLY_WARDS}` : ""), el("p", {}, el("span", { class: "printed" }), ` ${number}.`)));
  }

  /**
   * @param {any} report
   * @param {any} alerts
   */
  content(report, alerts) {
    const at = now(), clock = clockOf(report.time_zone);
    const lines = reportLines(report, at);
    const stays = lines.filter(({ stay }) => stay).length;
    const { minutes, passed } = recorded(report, at);
    const isOver = Date.parse(report.end) <= at;
    const share = passed ? ` (${Math.floor(minutes / passed * 100)} %)` : "";
    return [
      ...this.assignments(report, clock),
      el("p", {}, `Recorded: ${minutes} of ${passed} minutes have a reading${share}.`, isOver ? "" : " The day is not over."),
      ...(report.hours.length ? [el("p", {}, "Signs by hour: minimum / mean / maximum."), this.table(lines, clock)] : [el("p", { class: "missing" }, "No readings are stored for this day.")]),
      el("h3", {}, "Alerts"),
      ...this.alerts(alerts, Math.max(MIN_ALERTS, MAX_LINES - (report.hours.length ? lines.length + stays : 0)), Date.parse(report.start), clock),
    ];
  }

  /**
   * The patients who were assigned to the bed, with the times within the day.
   * @param {{ start: string, end: string, assignments: { patient_id: string | null, from_time: string, to_time: string | null }[] }} report
   * @param {(time: number) => string} clock
   */
  assignments({ start, end, assignments }, clock) {
    const patients = assignments.filter(({ patient_id: patient }) => patient !== null);
    if (!patients.length) return [];
    return [el("p", {}, "Assigned: ", ...patients.flatMap(({ patient_id: patient, from_time: from, to_time: to }, index) => [
      index ? "; " : "", el("bdi", {}, patient ?? ""), ...this.nameOf(patient),
      Date.parse(from) > Date.parse(start) ? ` from ${clock(Date.parse(from))}` : "",
      to && Date.parse(to) < Date.parse(end) ? ` to ${clock(Date.parse(to))}` : "",
    ]), ".")];
  }

  /** @param {string | null} patient */
  nameOf(patient) {
    const details = nameDetails(this.names.get(patient ?? ""));
    return details.length ? [" (", ...details, ")"] : [];
  }

  /**
   * @param {import("./report_data.js").Line[]} lines
   * @param {(time: number) => string} clock
   */
  table(lines, clock) {
    const signs = store.hello?.signs ?? [];
    const width = signs.length + 3;
    const head = (/** @type {string} */ text, /** @type {string} */ below) => el("th", { scope: "col" }, text, el("small", {}, below));
    return el("div", { class: "table", role: "region", tabindex: "0", "aria-label": "Signs by hour" }, el("table", {},
      el("thead", {}, el("tr", {}, head("Hour", ""), ...signs.map(({ label, unit }) => head(label, unit)), head("NEWS2", "highest"), head("Recorded", "minutes"))),
      el("tbody", {}, ...lines.flatMap(({ time, hour, stay }) => [
        stay && el("tr", { class: "stay" }, el("th", { colspan: width, scope: "colgroup" }, el("bdi", {}, stay))),
        el("tr", {}, el("th", { scope: "row" }, clock(time)), ...(hour
          ? [...signs.map((sign) => el("td", {}, spreadText(hour.signs[sign.key], sign))), el("td", {}, hour.news2 === null ? "–" : `≥ ${hour.news2}`), el("td", {}, String(hour.minutes))]
          : [el("td", { colspan: width - 1, class: "missing" }, "No readings")])),
      ]).filter((row) => row !== null))));
  }

  /**
   * @param {any} answer of the API, or `{ problem }`
   * @param {number} count
   * @param {number} start of the day, unix milliseconds
   * @param {(time: number) => string} clock
   */
  alerts(answer, count, start, clock) {
    if (answer.problem) return [el("p", { class: "missing" }, `The alerts could not be read: ${toSentence(answer.problem)}`)];
    if (!answer.total) return [el("p", {}, "None.")];
    const shown = mostUrgent(answer.alerts, count);
    return [
      el("ol", {}, ...shown.map((/** @type {any} */ alert) => el("li", {},
        el("span", {}, Date.parse(alert.raised_at) < start ? "before" : clock(Date.parse(alert.raised_at))), el("strong", {}, priorityMark(alert)),
        el("span", {}, el("bdi", {}, alert.text, pastWorst(alert, now(), clock)), ", ", alert.cleared_at ? `for ${formatDuration(alert.duration_s)}` : "open",
          ...(alert.acknowledged_by ? [", acknowledged by ", el("bdi", {}, alert.acknowledged_by)] : []),
          ...(alert.patient_id ? [", patient ", el("bdi", {}, alert.patient_id)] : []))))),
      ...(shown.length < answer.total ? [el("p", { class: "missing" }, `These are ${shown.length} of ${answer.total} alerts, the most urgent. The alarm review lists all.`)] : []),
    ];
  }

  /** Who prints, and when, on every sheet. */
  showPrinted() {
    const time = new Date(now()).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    for (const place of this.sheets.querySelectorAll(".printed")) {
      place.replaceChildren("Printed by ", el("bdi", {}, store.hello?.user.name ?? "?"), `, ${time} (${zone}), from VitalFlow ${store.hello?.version ?? ""}.`);
    }
  }
}

/**
 * The time of day in a time zone, UTC where the browser does not know it.
 * @param {string} zone
 * @returns {(time: number) => string} of unix milliseconds
 */
function clockOf(zone) {
  /** @type {Intl.DateTimeFormatOptions} */
  const form = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  let format;
  try {
    format = new Intl.DateTimeFormat(undefined, { ...form, timeZone: zone });
  } catch {
    format = new Intl.DateTimeFormat(undefined, { ...form, timeZone: "UTC", timeZoneName: "short" });
  }
  return (time) => format.format(time);
}
