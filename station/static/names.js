// Names of patients, where the site stores them and the user may act in the ward. Kept in memory only: they are in no URL,
// no storage of the browser and no frame of the live stream.

import { getJson } from "./api.js";
import { el } from "./dom.js";
import { noChanges, notify, onChange, store } from "./store.js";

const AGAIN_MS = 3000; // the name of a number that a hospital's system has merged is stored after it is assigned
const RETRY_MS = 5000;

/** @typedef {{ patient_id: string, name: string, birth_date: string | null }} NamedPatient */

/** @type {Map<string, NamedPatient>} by patient number */
let known = new Map();
/** @type {Map<string, number | undefined>} by device: the assignment whose name was asked for */
const asked = new Map();
let loaded = false;
let fetching = false;
let outdated = false;
let again = 0; // timer

/** Whether the site stores names. */
export function areNamesStored() {
  return Boolean(store.hello?.names);
}

/** Whether what the station has stored is known here, so that a form may show it and replace it. */
export function areNamesKnown() {
  return areNamesStored() && loaded && !outdated;
}

/**
 * What is known of a patient; undefined without a name.
 * @param {string | null | undefined} patient
 */
export function namedPatient(patient) {
  return patient ? known.get(patient) : undefined;
}

/**
 * The name of a patient, or the number where no name is known.
 * @param {string | null | undefined} patient
 */
export function patientText(patient) {
  return namedPatient(patient)?.name || (patient ?? "");
}

/**
 * Name, date of birth and number of a patient, as far as they are known.
 * @param {NamedPatient | undefined} named
 * @returns {(Node | string)[]}
 */
export function nameDetails(named) {
  if (!named) return [];
  const name = named.name ? [el("bdi", { class: "patient-name" }, named.name)] : [];
  return named.birth_date ? [...name, name.length ? `, born ${named.birth_date}` : `born ${named.birth_date}`] : name;
}

/** @param {NamedPatient[]} patients */
export function byNumber(patients) {
  return new Map(patients.map((patient) => [patient.patient_id, patient]));
}

async function fetchNames() {
  if (fetching) return; // what has changed since then is fetched after it
  fetching = true;
  while (outdated) {
    outdated = false;
    const answer = await getJson("/ui/names");
    if (answer.problem) {
      outdated = true; // names already shown stay: each belongs to its number
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      continue;
    }
    known = byNumber(answer);
    loaded = true;
    notify({ ...noChanges(), beds: new Set(store.beds.keys()), alerts: true });
  }
  fetching = false;
}

onChange((changes) => {
  if (!areNamesStored()) return;
  for (const device of changes.removed) asked.delete(device);
  let changed = false;
  for (const device of changes.snapshot ? store.beds.keys() : changes.beds) {
    const assigned = store.beds.get(device)?.assigned;
    if (asked.has(device) && asked.get(device) === assigned) continue;
    asked.set(device, assigned);
    changed = true;
  }
  if (!changed) return;
  refresh();
  clearTimeout(again);
  again = setTimeout(refresh, AGAIN_MS);
});

function refresh() {
  outdated = true;
  fetchNames();
}
