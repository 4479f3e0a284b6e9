// What this browser keeps for its person: name, theme, ward, order, sound. Works without storage too.

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
