// The ward: a tile a bed, in an order that stays, as many as fit without scrolling.

import { el, text } from "./dom.js";
import { keep, kept } from "./keep.js";
import { now, store } from "./store.js";
import { measureAgain, Tile } from "./tile.js";
import { inOrder, natural, RANKS } from "./words.js";

const GAP = 6; // pixels between tiles
const LEAST = { width: 158, height: 158 };
const MOST = { width: 460, height: 400 };
const SHAPE = 1.22; // a tile's favourite width by height
const URGENCY_EVERY = 2000; // milliseconds: tiles that jump about cannot be read

const ALL = "";

export class WardPage {
  constructor(tools, page) {
    this.page = page;
    this.tiles = new Map();
    this.ward = kept("ward", ALL);
    this.order = kept("order", "bed");
    this.sortedAt = 0;
    this.list = el("ul", { class: "ward", "aria-label": "Beds" });
    this.nobody = el("p", { class: "nobody" });
    this.title = el("h1", { class: "unseen" }, "Ward");
    page.append(this.title, this.nobody, this.list);
    this.select = el("select", { id: "ward-filter", on: { change: () => this.choose(this.select.value) } });
    this.orders = ["bed", "urgency"].map((order) => el("button", {
      type: "button", data: { order }, on: { click: () => this.sortBy(order) },
    }, order === "bed" ? "By bed" : "By urgency"));
    tools.append(
      el("label", { class: "unseen", for: "ward-filter" }, "Ward"), this.select,
      el("div", { class: "pair", role: "group", "aria-label": "Order" }, ...this.orders),
      (this.summary = el("span", { class: "summary" })));
    this.seen = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        const tile = this.tiles.get(entry.target.dataset.device);
        if (!tile) continue;
        tile.show(entry.isIntersecting);
      }
    });
    this.resized = new ResizeObserver(() => this.fit());
    this.resized.observe(document.documentElement);
    this.onKey = (event) => this.key(event);
    this.list.addEventListener("keydown", this.onKey);
    this.sortBy(this.order);
  }

  close() {
    this.seen.disconnect();
    this.resized.disconnect();
  }

  /** The alerts that concern what is shown here: those of the ward chosen, and of the equipment of all. */
  concerns(alert) {
    return this.ward === ALL || alert.ward === this.ward || !store.beds.has(alert.device);
  }

  choose(ward) {
    this.ward = ward;
    keep("ward", ward);
    this.update({ whole: true, beds: new Set(), gone: [] });
  }

  sortBy(order) {
    this.order = order;
    keep("order", order);
    for (const button of this.orders) button.setAttribute("aria-pressed", String(button.dataset.order === order));
    this.sortedAt = 0;
    if (store.hello) this.arrange();
  }

  update(changed) {
    if (!store.hello) return;
    const alerts = this.alertsByBed();
    const many = this.wards().length > 1 && this.ward === ALL;
    const wanted = new Set([...store.beds.values()].filter((bed) => this.ward === ALL || bed.ward === this.ward).map((bed) => bed.device));
    let different = false;
    for (const [device, tile] of this.tiles) {
      if (wanted.has(device)) continue;
      this.seen.unobserve(tile.node);
      tile.node.remove();
      this.tiles.delete(device);
      different = true;
    }
    for (const device of wanted) {
      let tile = this.tiles.get(device);
      const made = !tile;
      if (made) {
        tile = new Tile(device);
        this.tiles.set(device, tile);
        this.list.append(tile.node);
        this.seen.observe(tile.node);
        different = true;
      }
      const mine = alerts.get(device) ?? [];
      const said = mine.map((alert) => `${alert.id} ${alert.revision} ${alert.stale ?? ""}`).join();
      if (made || changed.whole || changed.beds.has(device) || tile.said !== said) {
        tile.said = said;
        tile.update(store.beds.get(device), mine, many);
      }
    }
    if (different || changed.whole) {
      this.fillSelect();
      this.fit();
      this.sortedAt = 0;
    }
    this.arrange();
    this.tell();
  }

  tick(at) {
    for (const tile of this.tiles.values()) tile.tick(at);
    this.arrange();
    this.tell();
  }

  tell() {
    text(this.nobody, this.tiles.size ? "" : "No bed has been heard yet.");
    const beds = `${this.tiles.size} ${this.tiles.size === 1 ? "bed" : "beds"}`;
    const silent = [...this.tiles.values()].filter((tile) => ["SILENT", "OFFLINE"].includes(tile.node.dataset.condition)).length;
    text(this.summary, silent ? `${beds}, ${silent} silent` : beds);
  }

  alertsByBed() {
    const found = new Map();
    for (const alert of inOrder(store.alerts.values())) {
      if (!found.has(alert.device)) found.set(alert.device, []);
      found.get(alert.device).push(alert);
    }
    return found;
  }

  wards() {
    return [...new Set([...store.beds.values()].map((bed) => bed.ward))].sort(natural);
  }

  fillSelect() {
    const wards = this.wards();
    if (this.ward !== ALL && !wards.includes(this.ward)) wards.push(this.ward); // chosen, and empty now
    const listed = [...this.select.options].slice(1).map((option) => option.value);
    if (this.select.options.length && wards.join("\n") === listed.join("\n")) return;
    this.select.replaceChildren(el("option", { value: ALL }, "All wards"), ...wards.map((ward) => el("option", { value: ward }, ward)));
    this.select.value = this.ward;
  }

  /** Order by `order`, not by moving nodes: what has the keyboard's focus keeps it, and a screen reader its place. */
  arrange() {
    const at = performance.now();
    if (this.sortedAt && (this.order === "bed" || at - this.sortedAt < URGENCY_EVERY)) return;
    this.sortedAt = at;
    const rank = (tile) => {
      const first = tile.alerts?.[0];
      const silent = ["SILENT", "OFFLINE"].includes(tile.node.dataset.condition) ? 0.5 : 0;
      if (!first) return silent;
      return (RANKS[first.priority] ?? 0) * 2 + (first.state === "active" ? 1 : 0);
    };
    const place = (a, b) => natural(a.bed.ward, b.bed.ward) || natural(a.device, b.device);
    const sorted = [...this.tiles.values()].filter((tile) => tile.bed).sort((a, b) =>
      (this.order === "urgency" ? rank(b) - rank(a) || (b.bed.news2?.total ?? -1) - (a.bed.news2?.total ?? -1) : 0) || place(a, b));
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

  /** As many columns as make the tiles largest; where they would become too small, the page scrolls. */
  fit() {
    const count = this.tiles.size;
    if (!count) return;
    const top = this.list.getBoundingClientRect().top + window.scrollY;
    const width = this.page.clientWidth - 2 * GAP, height = window.innerHeight - top - 2 * GAP;
    let best = null;
    for (let columns = 1; columns <= count; columns += 1) {
      const rows = Math.ceil(count / columns);
      const wide = Math.min((width - GAP * (columns - 1)) / columns, MOST.width);
      const high = Math.min((height - GAP * (rows - 1)) / rows, MOST.height);
      if (wide < LEAST.width || high < LEAST.height) continue;
      const size = Math.min(wide / SHAPE, high);
      if (!best || size > best.size) best = { columns, wide, high: Math.min(high, wide / 0.8), size };
    }
    if (!best) {
      const columns = Math.max(1, Math.floor((width + GAP) / (Math.min(190, Math.max(LEAST.width, width / 2 - GAP)) + GAP)));
      const wide = (width - GAP * (columns - 1)) / columns;
      best = { columns, wide, high: Math.max(LEAST.height, Math.min(wide / SHAPE, 200)) };
    }
    this.columns = best.columns;
    this.list.style.setProperty("--columns", String(best.columns));
    this.list.style.setProperty("--tile-width", `${Math.floor(best.wide)}px`);
    this.list.style.setProperty("--tile-height", `${Math.floor(best.high)}px`);
    measureAgain();
    for (const tile of this.tiles.values()) tile.draw();
  }

  /** The alert that a key is about: the worst of the bed that has the focus. */
  selected() {
    const node = document.activeElement?.closest?.(".tile");
    return node ? this.tiles.get(node.dataset.device)?.alerts[0] ?? null : null;
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns }[event.key];
    if (step === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    const tiles = [...this.list.children];
    const here = tiles.indexOf(event.target.closest(".tile"));
    const there = tiles[here + step];
    if (here < 0 || !there) return;
    event.preventDefault();
    there.querySelector("a").focus();
  }
}
