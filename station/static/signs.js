// The order and pairs of the signs, as on bedside monitors. The station's table describes the signs; one that is not
// listed here has its own row at the end.

const ROWS = [["heart_rate"], ["spo2"], ["resp_rate"], ["systolic_bp", "diastolic_bp"], ["temperature"]];
/** @type {Record<string, string>} */
const NAMES = { systolic_bp: "BP", temperature: "Temp", spo2: "SpO₂" };
const BIG = new Set(["heart_rate", "spo2"]);
/** The least height of a curve, so that the noise of a steady patient looks steady. @type {Record<string, number>} */
const MIN_SPANS = { heart_rate: 24, spo2: 8, resp_rate: 12, systolic_bp: 50, temperature: 1.2 };

/**
 * The rows to show, of the signs that the station has.
 * @param {{ signs: import("./types.js").Sign[] }} hello
 * @returns {import("./types.js").Row[]}
 */
export function signRows(hello) {
  const table = new Map(hello.signs.map((sign) => [sign.key, sign]));
  const listed = new Set(ROWS.flat());
  const others = hello.signs.filter((sign) => !listed.has(sign.key)).map((sign) => [sign.key]);
  return [...ROWS, ...others].flatMap((keys) => {
    const signs = keys.flatMap((key) => table.get(key) ?? []);
    if (signs.length === 0) return [];
    const [{ key, label, short, unit, low, high }] = signs;
    return [{
      key,
      signs,
      name: NAMES[key] ?? short,
      label: key === "systolic_bp" ? "Blood pressure" : label,
      unit,
      big: BIG.has(key),
      span: MIN_SPANS[key] ?? (high - low) / 10,
    }];
  });
}
