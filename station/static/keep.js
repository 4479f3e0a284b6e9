// What this browser keeps for its person: theme, ward, order, sound; and until the next page, why it is shown. Works
// without storage too.

const memory = new Map();

export function kept(name, otherwise) {
  try {
    return localStorage.getItem(`vitalflow.${name}`) ?? otherwise;
  } catch {
    return memory.get(name) ?? otherwise;
  }
}

export function keep(name, value) {
  memory.set(name, value);
  try {
    localStorage.setItem(`vitalflow.${name}`, value);
  } catch {
    // A browser that stores nothing: until the page is closed, then.
  }
}

/** Keep something for the next page in this tab. */
export function keepFor(name, value) {
  try {
    sessionStorage.setItem(`vitalflow.${name}`, value);
  } catch {
    // Then the next page does not know.
  }
}

/** What the page before has kept for this one; told once. */
export function takeFor(name) {
  try {
    const value = sessionStorage.getItem(`vitalflow.${name}`) ?? "";
    sessionStorage.removeItem(`vitalflow.${name}`);
    return value;
  } catch {
    return "";
  }
}
