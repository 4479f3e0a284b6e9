// What to call a bed, worked out here again and again, because silence is something that no message tells.

/** WAITING, OFFLINE, SILENT, SENSOR OFF or LIVE. Silence comes first: no old reading is an all-clear. */
export function condition(bed, now) {
  if (!bed.online) return "OFFLINE";
  if (bed.time === undefined) return "WAITING";
  if (now - bed.time > bed.silent_after * 1000) return "SILENT";
  return bed.off.length ? "SENSOR OFF" : "LIVE";
}

/** Seconds since the last reading. */
export function age(bed, now) {
  return bed.time === undefined ? null : Math.max(0, (now - bed.time) / 1000);
}

/** One sign of a bed: its value, whether it is held from an earlier reading, off the patient, or beyond its critical limit. */
export function reading(bed, sign, hello, now) {
  if (bed.off.includes(sign.key)) return { state: "off" };
  const found = bed.values[sign.key];
  if (!found) return { state: "none" };
  const [value, held] = found;
  const old = (now - bed.time) / 1000 + held;
  if (old > hello.held_for_s) return { state: "none" };
  const beyond = sign.critical_above !== null && value > sign.critical_above ? "above"
    : sign.critical_below !== null && value < sign.critical_below ? "below" : null;
  return { state: held > 0 ? "held" : "now", value, old, beyond };
}
