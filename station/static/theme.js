// Day and night: the same on every page, remembered by this browser.

import { keep, kept } from "./keep.js";

const root = document.documentElement;

/** Make the button `button` switch; `changed` is called after each change, and now. */
export function themed(button, changed = () => {}) {
  const set = (theme) => {
    root.dataset.theme = theme;
    keep("theme", theme);
    const other = theme === "night" ? "day" : "night";
    button.textContent = theme === "night" ? "☀" : "☾";
    button.setAttribute("aria-label", `Switch to ${other}`);
    button.title = `Switch to ${other}`;
    changed();
  };
  button.addEventListener("click", () => set(root.dataset.theme === "night" ? "day" : "night"));
  set(kept("theme", "night"));
}
