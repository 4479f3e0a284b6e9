// Types of what the station sends. Erased at run time: only the type checker reads this file.

/**
 * @typedef {{
 *   key: string, label: string, short: string, unit: string, decimals: number, low: number, high: number,
 *   critical_above: number | null, critical_below: number | null,
 * }} Sign
 *
 * @typedef {{ key: string, signs: Sign[], name: string, label: string, unit: string, big: boolean, span: number }} Row
 *   signs that share a row; `span`: the least height of its curves
 *
 * @typedef {{ name: string, viewable: string[] | null, actionable: string[] | null }} User  null: all wards
 *
 * @typedef {{
 *   version: string, signs: Sign[], score_inputs: { key: string, hold_s: number }[], history: boolean, names?: boolean,
 *   silent_after_s: number, held_for_s: number, user: User,
 * }} Hello
 *
 * @typedef {{ total: number, worst: number, parts: Record<string, number>, missing: string[], stale: string[] }} Score
 *
 * @typedef {{
 *   device: string, ward: string, name: string, patient?: string, time?: number, online: boolean,
 *   silent_after: number, values: Record<string, [value: number, older: number]>, sensor_off: string[],
 *   on_oxygen?: boolean, consciousness?: string, news2?: Score, own_limits?: boolean,
 *   assigned?: number, vacant_since?: number,
 * }} Bed  `time` in unix milliseconds; `values` with the seconds by which each is older than `time`;
 *   `assigned`: when the assignment changed last; `vacant_since`: the discharge, without a value measured after it
 *
 * @typedef {"VACANT" | "OFFLINE" | "WAITING" | "SILENT" | "SENSOR OFF" | "LIVE"} Condition
 *
 * @typedef {{ state: "off" | "none" | "held" | "now", value?: number, age?: number, beyond?: "above" | "below" | null }} SignState
 *
 * @typedef {{
 *   key: string, id: string, ward: string, device: string, name: string, rule: string, priority: string,
 *   kind: string, state: string, text: string, raised: number, changed: number, revision: number, patient?: string,
 *   sign?: string, acknowledged_by?: string, acknowledged_at?: number, paused_until?: number, stale?: boolean,
 *   unanswered_since?: number, worst_value?: number, worst_at?: number,
 * }} Alert
 *
 * @typedef {{
 *   alert_id: string, rule: string, kind: string, sign: string | null, ward: string, device: string,
 *   patient_id: string | null, state: string, priority: string, text: string, limit: number | null,
 *   first_value: number | null, worst_value: number | null, worst_value_at: string | null, raised_at: string,
 *   acknowledged_at: string | null, acknowledged_by: string | null, cleared_at: string | null, duration_s: number,
 * }} PastAlert  a stored alert; times in RFC 3339
 *
 * @typedef {{ name: string, since: number, text: string }} Outage
 *
 * @typedef {{
 *   number: number, at: number, snapshot?: boolean, beds?: (Partial<Bed> & { device: string })[], removed_beds?: string[], alerts?: Alert[],
 *   removed_alerts?: string[], outages?: Outage[],
 * }} Frame
 *
 * @typedef {{ snapshot: boolean, beds: Set<string>, removed: string[], alerts: boolean, state: boolean }} Changes
 *
 * @typedef {{ time: number[], [sign: string]: (number | null)[] }} Recent
 */

export {};
