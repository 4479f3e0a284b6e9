// Creating and changing elements. Data from the network only becomes text or an attribute: nothing here parses markup.

/**
 * Create an element. A property is `class`, `data` (data-* values), `on` (listeners) or the name of an attribute; children
 * that are null are skipped.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any>} properties
 * @param {...(Node | string | null | undefined)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== undefined && child !== null));
  return element;
}

/**
 * The element with this id, which must exist.
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no element #${id}`);
  return element;
}

/**
 * Set a text only where it differs: an unchanged node costs no layout.
 * @param {Node} node
 * @param {string} value
 */
export function setText(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

/**
 * Set an attribute, or remove it where the value is null, undefined or false.
 * @param {Element} node
 * @param {string} name
 * @param {string | number | boolean | null | undefined} value
 */
export function setAttribute(node, name, value) {
  if (value === undefined || value === null || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, String(value));
}

/**
 * A name on one line, isolated because it may be written right to left; hovering shows all of it.
 * @param {string} value
 * @param {Record<string, any>} properties
 */
export function nameElement(value, properties = {}) {
  return el("bdi", { title: value, ...properties }, value);
}

/**
 * The URL of a bed's page.
 * @param {string} device
 */
export function bedUrl(device) {
  return `/bed?device=${encodeURIComponent(device)}`;
}

/**
 * Show a modal dialog that removes itself when closed; the user closes it with Escape too.
 * @param {HTMLDialogElement} dialog
 */
export function openDialog(dialog) {
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
}
