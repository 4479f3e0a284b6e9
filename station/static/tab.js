// The tab of the browser: its title and icon have the number of open alerts, for when another tab is in front.

import { byId } from "./dom.js";

let name = "VitalFlow";
let count = 0;
/** @type {string | undefined} */
let priority;
let current = true;

/**
 * The title of the tab: the number of open alerts before the name of the page; without current data no number is known.
 * @param {string} page
 * @param {number} alerts
 * @param {boolean} isCurrent
 */
export function tabTitle(page, alerts, isCurrent) {
  const mark = !isCurrent ? "(no data) " : alerts ? `(${alerts}) ` : "";
  return `${mark}${page} – VitalFlow`;
}

/**
 * The URL of the icon.
 * @param {number} alerts
 * @param {string | undefined} highest priority among them
 */
export function tabIcon(alerts, highest) {
  return highest ? `/ui/icon.svg?${new URLSearchParams({ count: String(alerts), priority: highest })}` : "/static/icon.svg";
}

function show() {
  const title = tabTitle(name, count, current), icon = tabIcon(count, priority);
  if (document.title !== title) document.title = title;
  if (byId("icon").getAttribute("href") !== icon) byId("icon").setAttribute("href", icon);
}

/** @param {string} page */
export function setTabName(page) {
  name = page;
  show();
}

/**
 * @param {[string, unknown[]][]} groups open alerts by priority, the highest first
 * @param {boolean} isCurrent
 */
export function setTabAlerts(groups, isCurrent) {
  count = groups.reduce((sum, [, group]) => sum + group.length, 0);
  priority = groups[0]?.[0];
  current = isCurrent;
  show();
}
