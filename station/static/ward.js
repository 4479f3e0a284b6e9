// The ward: one tile for each bed, in a stable order, sized so that as many as possible fit without scrolling.

import { el, setText } from "./dom.js";
import { load, save } from "./storage.js";
import { noChanges, now, store } from "./store.js";
import { invalidateLayout, Tile } from "./tile.js";
import { compareNatural, PRIORITY_RANKS, sortByUrgency } from "./format.js";

const GAP = 6; // pixels between tiles
const MIN_SIZE = { width: 158, height: 158 };
const MAX_SIZE = { width: 460, height: 400 };
const ASPECT = 1.22; // preferred width by height of a tile
const SORT_INTERVAL_MS = 2000; // between two sortings by urgency: tiles that move often cannot be read

const ALL = "";

export class WardPage {
  constructor(tools, page) {
    this.page = page;
    this.tiles = new Map();
    this.ward = load("ward", ALL);
    this.order = load("order", "bed");
    this.sortedAt = 0;
    this.list = el("ul", { class: "ward", "aria-label": "Beds" });
    this.empty = el("p", { class: "empty" });
    this.title = el("h1", { class: "visually-hidden" }, "Ward");
    page.append(this.title, this.empty, this.list);
    this.select = el("select", { id: "ward-filter", on: { change: () => this.choose(this.select.value) } });
    this.orders = ["bed", "urgency"].map((order) => el("button", {
      type: "button", data: { order }, on: { click: () => this.sortBy(order) },
    }, order === "bed" ? "By bed" : "By urgency"));
    tools.append(
      el("label", { class: "visually-hidden", for: "ward-filter" }, "Ward"), this.select,
      el("div", { class: "pair", role: "group", "aria-label": "Order" }, ...this.orders),
      (this.summary = el("span", { class: "summary" })));
    this.visibility = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        const tile = this.tiles.get(entry.target.dataset.device);
        if (!tile) continue;
        tile.show(entry.isIntersecting);
      }
    });
    this.resize = new ResizeObserver(() => this.fit());
    this.resize.observe(document.documentElement);
    this.list.addEventListener("keydown", (event) => this.moveFocus(event));
    this.sortBy(this.order);
  }

  close() {
    this.visibility.disconnect();
    this.resize.disconnect();
  }

  /** Whether an alert belongs to what is shown: to a bed of the selected ward, or to no bed at all. */
  includes(alert) {
    return this.ward === ALL || alert.ward === this.ward || !store.beds.has(alert.device);
  }

  choose(ward) {
    this.ward = ward;
    save("ward", ward);
    this.update({ ...noChanges(), snapshot: true });
  }

  sortBy(order) {
    this.order = order;
    save("order", order);
    for (const button of this.orders) button.setAttribute("aria-pressed", String(button.dataset.order === order));
    this.sortedAt = 0;
    if (store.hello) this.arrange();
  }

  update(changes) {
    if (!store.hello) return;
    const alerts = this.alertsByBed();
    const many = this.wards().length > 1 && this.ward === ALL;
    const wanted = new Set([...store.beds.values()].filter((bed) => this.ward === ALL || bed.ward === this.ward).map((bed) => bed.device));
    let different = false;
    for (const [device, tile] of this.tiles) {
      if (wanted.has(device)) continue;
      this.visibility.unobserve(tile.node);
      tile.node.remove();
      this.tiles.delete(device);
      different = true;
    }
    for (const device of wanted) {
      let tile = this.tiles.get(device);
      const isNew = !tile;
      if (isNew) {
        tile = new Tile(device);
        this.tiles.set(device, tile);
        this.list.append(tile.node);
        this.visibility.observe(tile.node);
        different = true;
      }
      const bedAlerts = alerts.get(device) ?? [];
      const key = bedAlerts.map((alert) => `${alert.id} ${alert.revision} ${alert.stale ?? ""}`).join();
      if (isNew || changes.snapshot || changes.beds.has(device) || tile.alertsKey !== key) {
        tile.alertsKey = key;
        tile.update(store.beds.get(device), bedAlerts, many);
      }
    }
    if (different || changes.snapshot) {
      this.fillSelect();
      this.fit();
      this.sortedAt = 0;
    }
    this.arrange();
    this.showSummary();
  }

  tick(at) {
    for (const tile of this.tiles.values()) tile.tick(at);
    this.arrange();
    this.showSummary();
  }

  showSummary() {
    setText(this.empty, this.tiles.size ? "" : "No bed has sent data yet.");
    const beds = `${this.tiles.size} ${this.tiles.size === 1 ? "bed" : "beds"}`;
    const silent = [...this.tiles.values()].filter((tile) => ["SILENT", "OFFLINE"].includes(tile.node.dataset.condition)).length;
    setText(this.summary, silent ? `${beds}, ${silent} silent` : beds);
  }

  alertsByBed() {
    const byBed = new Map();
    for (const alert of sortByUrgency(store.alerts.values())) {
      if (!byBed.has(alert.device)) byBed.set(alert.device, []);
      byBed.get(alert.device).push(alert);
    }
    return byBed;
  }

  wards() {
    return [...new Set([...store.beds.values()].map((bed) => bed.ward))].sort(compareNatural);
  }

  fillSelect() {
    const wards = this.wards();
    if (this.ward !== ALL && !wards.includes(this.ward)) wards.push(this.ward); // selected, and empty now
    const listed = [...this.select.options].slice(1).map((option) => option.value);
    if (this.select.options.length && wards.join("\n") === listed.join("\n")) return;
    this.select.replaceChildren(el("option", { value: ALL }, "All wards"), ...wards.map((ward) => el("option", { value: ward }, ward)));
    this.select.value = this.ward;
  }

  /** Sort the tiles. Nodes move only where the order has changed, and the focus stays where it was. */
  arrange() {
    const at = performance.now();
    if (this.sortedAt && (this.order === "bed" || at - this.sortedAt < SORT_INTERVAL_MS)) return;
    this.sortedAt = at;
    const rank = (tile) => {
      const first = tile.alerts?.[0];
      const silent = ["SILENT", "OFFLINE"].includes(tile.node.dataset.condition) ? 0.5 : 0;
      if (!first) return silent;
      return (PRIORITY_RANKS[first.priority] ?? 0) * 2 + (first.state === "active" ? 1 : 0);
    };
    const byName = (a, b) => compareNatural(a.bed.ward, b.bed.ward) || compareNatural(a.device, b.device);
    const sorted = [...this.tiles.values()].filter((tile) => tile.bed).sort((a, b) =>
      (this.order === "urgency" ? rank(b) - rank(a) || (b.bed.news2?.total ?? -1) - (a.bed.news2?.total ?? -1) : 0) || byName(a, b));
    let moved = false;
    sorted.forEach((tile, position) => {
      if (this.list.children[position] !== tile.node) moved = true;
    });
    if (!moved) return;
    const focused = document.activeElement;
    this.list.append(...sorted.map((tile) => tile.node));
    if (this.list.contains(focused) && focused !== document.activeElement) focused.focus({ preventScroll: true });
    for (const tile of sorted) tile.draw();
  }

  /** Choose the number of columns that makes the tiles largest; where they would be too small, the page scrolls. */
  fit() {
    const count = this.tiles.size;
    if (!count) return;
    const top = this.list.getBoundingClientRect().top + window.scrollY;
    const width = this.page.clientWidth - 2 * GAP, height = window.innerHeight - top - 2 * GAP;
    let best = null;
    for (let columns = 1; columns <= count; columns += 1) {
      const rows = Math.ceil(count / columns);
      const tileWidth = Math.min((width - GAP * (columns - 1)) / columns, MAX_SIZE.width);
      const tileHeight = Math.min((height - GAP * (rows - 1)) / rows, MAX_SIZE.height);
      if (tileWidth < MIN_SIZE.width || tileHeight < MIN_SIZE.height) continue;
      const size = Math.min(tileWidth / ASPECT, tileHeight);
      if (!best || size > best.size) best = { columns, width: tileWidth, height: Math.min(tileHeight, tileWidth / 0.8), size };
    }
    if (!best) {
      const columns = Math.max(1, Math.floor((width + GAP) / (Math.min(190, Math.max(MIN_SIZE.width, width / 2 - GAP)) + GAP)));
      const tileWidth = (width - GAP * (columns - 1)) / columns;
      best = { columns, width: tileWidth, height: Math.max(MIN_SIZE.height, Math.min(tileWidth / ASPECT, 200)) };
    }
    this.columns = best.columns;
    this.list.style.setProperty("--columns", String(best.columns));
    this.list.style.setProperty("--tile-width", `${Math.floor(best.width)}px`);
    this.list.style.setProperty("--tile-height", `${Math.floor(best.height)}px`);
    invalidateLayout();
    for (const tile of this.tiles.values()) tile.draw();
  }

  /** The most urgent alert of the bed that has the focus. */
  selected() {
    const node = document.activeElement?.closest?.(".tile");
    return node ? this.tiles.get(node.dataset.device)?.alerts[0] ?? null : null;
  }

  moveFocus(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns }[event.key];
    if (step === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    const tiles = [...this.list.children];
    const index = tiles.indexOf(event.target.closest(".tile"));
    const target = tiles[index + step];
    if (index < 0 || !target) return;
    event.preventDefault();
    target.querySelector("a").focus();
  }
}
