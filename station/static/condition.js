// The condition of a bed. Computed from the clock at each tick, because no message announces silence.

/**
 * Silence has precedence: an old reading is never shown as normal.
 * @param {import("./types.js").Bed} bed
 * @param {number} now unix milliseconds
 * @returns {import("./types.js").Condition}
 */
export function bedCondition(bed, now) {
  if (bed.vacant_since !== undefined) return "VACANT"; // no value was measured since the discharge
  if (!bed.online) return "OFFLINE";
  if (bed.time === undefined) return "WAITING";
  if (now - bed.time > bed.silent_after * 1000) return "SILENT";
  return bed.sensor_off.length ? "SENSOR OFF" : "LIVE";
}

/**
 * Seconds since the last reading; null where there was none.
 * @param {import("./types.js").Bed} bed
 * @param {number} now unix milliseconds
 */
export function readingAge(bed, now) {
  return bed.time === undefined ? null : Math.max(0, (now - bed.time) / 1000);
}

/**
 * The present value of what an alert watches: its sign, or the NEWS2; undefined where it is not current.
 * @param {import("./types.js").Alert} alert
 * @param {import("./types.js").Bed | undefined} bed
 * @param {import("./types.js").Hello} hello
 * @param {number} now unix milliseconds
 */
export function presentValue(alert, bed, hello, now) {
  if (!bed || !["LIVE", "SENSOR OFF"].includes(bedCondition(bed, now))) return undefined;
  if (alert.rule === "news2") return bed.news2?.total;
  const sign = hello.signs.find(({ key }) => key === alert.sign);
  return sign && signState(bed, sign, hello, now).value;
}

/**
 * The state of one sign: its value, whether it was measured with the last reading ("now") or earlier ("held"), and
 * whether it is above or below its critical limit.
 * @param {import("./types.js").Bed} bed
 * @param {import("./types.js").Sign} sign
 * @param {{ held_for_s: number }} hello
 * @param {number} now unix milliseconds
 * @returns {import("./types.js").SignState}
 */
export function signState(bed, sign, hello, now) {
  if (bed.sensor_off.includes(sign.key)) return { state: "off" };
  const measured = bed.values[sign.key];
  if (!measured || bed.time === undefined) return { state: "none" };
  const [value, older] = measured;
  const age = (now - bed.time) / 1000 + older;
  if (age > hello.held_for_s) return { state: "none" };
  const beyond = sign.critical_above !== null && value > sign.critical_above ? "above"
    : sign.critical_below !== null && value < sign.critical_below ? "below" : null;
  return { state: older > 0 ? "held" : "now", value, age, beyond };
}
