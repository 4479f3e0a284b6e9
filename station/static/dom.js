// Making elements. What comes from the network only ever becomes text or an attribute: nothing here parses markup.

/** An element with properties and children. A property is `class`, `data`, `on` (listeners) or an attribute's name. */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") made.className = value;
    else if (name === "data") Object.assign(made.dataset, value);
    else if (name === "on") for (const [event, hear] of Object.entries(value)) made.addEventListener(event, hear);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== undefined && child !== null));
  return made;
}

/** Set a text only where it differs: a node that is not touched costs no layout. */
export function text(node, wanted) {
  if (node.textContent !== wanted) node.textContent = wanted;
}

/** Set an attribute, or take it away where there is no value. */
export function attribute(node, name, value) {
  if (value === undefined || value === null || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, String(value));
}

/** A name that may run in either direction, on one line; the whole of it is told on hovering. */
export function name(of, properties = {}) {
  return el("bdi", { title: of, ...properties }, of);
}

/** The address of a bed's page. */
export function bedAddress(device) {
  return `/bed?device=${encodeURIComponent(device)}`;
}
