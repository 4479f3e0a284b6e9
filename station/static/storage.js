// Settings of this browser (theme, ward, order, sound) and messages for the next page. Works without web storage too,
// until the page is closed.

/** @type {Map<string, string>} */
const memory = new Map();

/**
 * @param {string} name
 * @param {string} fallback
 */
export function load(name, fallback) {
  try {
    return localStorage.getItem(`vitalflow.${name}`) ?? fallback;
  } catch {
    return memory.get(name) ?? fallback;
  }
}

/**
 * @param {string} name
 * @param {string} value
 */
export function save(name, value) {
  memory.set(name, value);
  try {
    localStorage.setItem(`vitalflow.${name}`, value);
  } catch {
    // Web storage is disabled: `memory` keeps the value.
  }
}

/**
 * Save a value for the next page in this tab.
 * @param {string} name
 * @param {string} value
 */
export function saveForNextPage(name, value) {
  try {
    sessionStorage.setItem(`vitalflow.${name}`, value);
  } catch {
    // Web storage is disabled: the next page finds no value.
  }
}

/**
 * The value that the previous page saved, removed by reading it; "" where there is none.
 * @param {string} name
 */
export function takeFromPreviousPage(name) {
  try {
    const value = sessionStorage.getItem(`vitalflow.${name}`) ?? "";
    sessionStorage.removeItem(`vitalflow.${name}`);
    return value;
  } catch {
    return "";
  }
}
