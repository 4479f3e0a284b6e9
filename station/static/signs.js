// How the signs are arranged: the order and pairs of bedside monitors. What a sign is, the station's table says; one that
// is not named here gets a row of its own at the end.

const ROWS = [["heart_rate"], ["spo2"], ["resp_rate"], ["systolic_bp", "diastolic_bp"], ["temperature"]];
const NAMES = { systolic_bp: "BP", temperature: "Temp", spo2: "SpO₂" };
const BIG = new Set(["heart_rate", "spo2"]);
// The least height of a curve, so that the noise of a steady patient looks steady.
const LEAST_SPAN = { heart_rate: 24, spo2: 8, resp_rate: 12, systolic_bp: 50, temperature: 1.2 };

/** The rows: { key, signs, name, unit, big }, of the signs that the station knows. */
export function rowsOf(hello) {
  const table = new Map(hello.signs.map((sign) => [sign.key, sign]));
  const arranged = ROWS.map((keys) => keys.filter((key) => table.has(key))).filter((keys) => keys.length);
  const known = new Set(ROWS.flat());
  const rows = [...arranged, ...hello.signs.filter((sign) => !known.has(sign.key)).map((sign) => [sign.key])];
  return rows.map((keys) => {
    const signs = keys.map((key) => table.get(key));
    return {
      key: keys[0],
      signs,
      name: NAMES[keys[0]] ?? signs[0].short,
      label: keys[0] === "systolic_bp" ? "Blood pressure" : signs[0].label,
      unit: signs[0].unit,
      big: BIG.has(keys[0]),
      span: LEAST_SPAN[keys[0]] ?? (signs[0].high - signs[0].low) / 10,
    };
  });
}
