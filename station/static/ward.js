// The ward: one tile for each bed, in a stable order, sized so that as many as possible fit without scrolling.

import { byId, el, setText } from "./dom.js";
import { compareNatural, sortByUrgency } from "./format.js";
import { load, save } from "./storage.js";
import { noChanges, store } from "./store.js";
import { invalidateLayout, Tile } from "./tile.js";
import { GAP, keepInPlace, urgency, wardLayout } from "./ward_layout.js";

const SORT_INTERVAL_MS = 10_000; // between two sortings by urgency: tiles that move often cannot be read

const ALL = "";

/** @typedef {import("./types.js").Alert} Alert */

export class WardPage {
  /**
   * @param {HTMLElement} tools
   * @param {HTMLElement} page
   */
  constructor(tools, page) {
    this.page = page;
    /** @type {Map<string, Tile>} */
    this.tiles = new Map();
    this.columns = 1;
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
        this.tiles.get(deviceOf(entry.target))?.show(entry.isIntersecting);
      }
    });
    this.resize = new ResizeObserver(() => this.fit());
    for (const node of [document.documentElement, byId("banner"), byId("sound-note")]) this.resize.observe(node);
    this.sortBy(this.order);
  }

  close() {
    this.visibility.disconnect();
    this.resize.disconnect();
  }

  /**
   * Whether an alert belongs to what is shown: to a bed of the selected ward, or to no bed at all.
   * @param {Alert} alert
   */
  includes(alert) {
    return this.ward === ALL || alert.ward === this.ward || !store.beds.has(alert.device);
  }

  /** @param {string} ward */
  choose(ward) {
    this.ward = ward;
    save("ward", ward);
    this.sortedAt = 0;
    this.update({ ...noChanges(), snapshot: true });
  }

  /** @param {string} order */
  sortBy(order) {
    this.order = order;
    save("order", order);
    for (const button of this.orders) button.setAttribute("aria-pressed", String(button.dataset.order === order));
    this.sortedAt = 0;
    if (store.hello) this.arrange();
  }

  /** @param {import("./types.js").Changes} changes */
  update(changes) {
    if (!store.hello) return;
    const alerts = this.alertsByBed();
    const many = this.wards().length > 1 && this.ward === ALL;
    const wanted = new Map([...store.beds].filter(([, bed]) => this.ward === ALL || bed.ward === this.ward));
    let different = false;
    for (const [device, tile] of this.tiles) {
      if (wanted.has(device)) continue;
      this.visibility.unobserve(tile.node);
      tile.node.remove();
      this.tiles.delete(device);
      different = true;
    }
    for (const [device, bed] of wanted) {
      let tile = this.tiles.get(device);
      const isNew = !tile;
      if (!tile) {
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
        tile.update(bed, bedAlerts, many);
      }
    }
    if (different || changes.snapshot) {
      this.fillSelect();
      this.fit();
      if (this.order === "bed") this.sortedAt = 0; // by urgency a new bed is last until the next sorting
    }
    this.arrange();
    this.showSummary();
  }

  /** @param {number} at unix milliseconds */
  tick(at) {
    for (const tile of this.tiles.values()) tile.tick(at);
    this.arrange();
    this.showSummary();
  }

  showSummary() {
    setText(this.empty, this.tiles.size ? "" : "No bed has sent data yet.");
    const beds = `${this.tiles.size} ${this.tiles.size === 1 ? "bed" : "beds"}`;
    const silent = [...this.tiles.values()].filter(isSilent).length;
    setText(this.summary, silent ? `${beds}, ${silent} silent` : beds);
  }

  alertsByBed() {
    /** @type {Map<string, Alert[]>} */
    const byBed = new Map();
    for (const alert of sortByUrgency(store.alerts.values())) {
      const alerts = byBed.get(alert.device);
      if (alerts) alerts.push(alert);
      else byBed.set(alert.device, [alert]);
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

  /** Sort the tiles. By urgency the tiles under the pointer and with the focus stay where they are. */
  arrange() {
    const at = performance.now();
    if (this.sortedAt && (this.order === "bed" || at - this.sortedAt < SORT_INTERVAL_MS)) return;
    this.sortedAt = at;
    /** @param {Tile} tile */
    const rank = (tile) => urgency(tile.alerts[0], isSilent(tile));
    /** @param {Tile} tile */
    const score = (tile) => tile.bed?.news2?.total ?? -1;
    const sorted = [...this.tiles.values()].sort((a, b) =>
      (this.order === "urgency" ? rank(b) - rank(a) || score(b) - score(a) : 0) ||
      compareNatural(a.bed?.ward ?? "", b.bed?.ward ?? "") || compareNatural(a.device, b.device));
    const shown = [...this.list.children];
    const pinned = new Set(this.order === "urgency" ? this.list.querySelectorAll(".tile:hover, .tile:focus-within") : []);
    const wanted = keepInPlace(sorted.map((tile) => /** @type {Element} */ (tile.node)), shown, pinned);
    if (wanted.every((node, position) => node === shown[position])) return;
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    wanted.forEach((node, position) => {
      // A node that is moved loses the focus and a click that has begun: others make room for a pinned one.
      if (pinned.has(node)) while (this.list.children[position] !== node) this.list.append(this.list.children[position]);
      else if (this.list.children[position] !== node) this.list.insertBefore(node, this.list.children[position]);
    });
    if (focused && this.list.contains(focused) && focused !== document.activeElement) focused.focus({ preventScroll: true });
    for (const tile of sorted) tile.draw();
  }

  /** Choose the columns and the size of the tiles. */
  fit() {
    if (!this.tiles.size) return;
    const top = this.list.getBoundingClientRect().top + window.scrollY;
    const layout = wardLayout(this.tiles.size, this.page.clientWidth - 2 * GAP, window.innerHeight - top - 2 * GAP);
    this.columns = layout.columns;
    this.list.style.setProperty("--columns", String(layout.columns));
    this.list.style.setProperty("--tile-width", `${Math.floor(layout.width)}px`);
    this.list.style.setProperty("--tile-height", `${Math.floor(layout.height)}px`);
    invalidateLayout();
    for (const tile of this.tiles.values()) tile.draw();
  }

  /** The most urgent alert of the bed that has the focus. */
  selected() {
    const tile = document.activeElement?.closest(".tile");
    return tile ? this.tiles.get(deviceOf(tile))?.alerts[0] ?? null : null;
  }

  /**
   * Move the focus with an arrow key to a neighbouring tile, or to the first one where none has it. Returns whether it
   * has moved.
   * @param {string} key
   */
  moveSelection(key) {
    /** @type {Record<string, number>} */
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns };
    const tiles = [...this.list.children];
    const current = document.activeElement?.closest(".tile");
    const target = current ? tiles[tiles.indexOf(current) + steps[key]] : tiles[0];
    target?.querySelector("a")?.focus();
    return Boolean(target);
  }
}

/** @param {Element} node of a tile */
function deviceOf(node) {
  return /** @type {HTMLElement} */ (node).dataset.device ?? "";
}

/** @param {Tile} tile */
function isSilent(tile) {
  return ["SILENT", "OFFLINE", "WAITING"].includes(tile.node.dataset.condition ?? "");
}
