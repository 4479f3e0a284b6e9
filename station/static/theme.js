// The day and night theme: the same on every page, remembered by this browser.

import { load, save } from "./storage.js";

/**
 * Apply the saved theme and let a button switch it.
 * @param {HTMLElement} button
 * @param {() => void} onChange called after each change, and once now
 */
export function initTheme(button, onChange = () => {}) {
  const root = document.documentElement;
  /** @param {string} theme */
  const apply = (theme) => {
    root.dataset.theme = theme;
    save("theme", theme);
    const other = theme === "night" ? "day" : "night";
    button.textContent = theme === "night" ? "☀" : "☾";
    button.setAttribute("aria-label", `Switch to ${other}`);
    button.title = `Switch to ${other}`;
    onChange();
  };
  button.addEventListener("click", () => apply(root.dataset.theme === "night" ? "day" : "night"));
  apply(load("theme", "night"));
}
