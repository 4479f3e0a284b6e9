// Requests to the station: no failure is an exception, and each has a text.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { detailText, getJson, sendJson } from "../../station/static/api.js";

const original = globalThis.fetch;
afterEach(() => { globalThis.fetch = original; });

/** Let the station give this response; returns the requests that it got. */
function respond(status, body) {
  const requests = [];
  globalThis.fetch = async (url, options) => {
    requests.push({ url, ...options });
    return new Response(body, { status });
  };
  return requests;
}

test("JSON is sent as JSON, and a success has no problem", async () => {
  const requests = respond(200, "{}");
  assert.deepEqual(await sendJson("PUT", "/ui/limits", { device: "bed-1" }), { ok: true, problem: "" });
  assert.deepEqual(requests, [{ url: "/ui/limits", method: "PUT", headers: { "Content-Type": "application/json" }, body: '{"device":"bed-1"}' }]);
});

test("a rejection has the station's reason", async () => {
  respond(409, '{"detail": "this alert has ended"}');
  assert.deepEqual(await sendJson("POST", "/ui/alerts", {}), { ok: false, problem: "this alert has ended" });
  assert.deepEqual(await getJson("/api/x"), { problem: "this alert has ended" });
});

test("a response that is no JSON has its status as the reason", async () => {
  respond(502, "<html>Bad gateway</html>");
  assert.deepEqual(await getJson("/api/x"), { problem: "the station could not do this; try again, and call technical support if it fails again (error 502)" });
});

test("without a station nothing was sent", async () => {
  globalThis.fetch = async () => { throw new TypeError("Failed to fetch"); };
  assert.deepEqual(await sendJson("POST", "/ui/alerts", {}), { ok: false, problem: "nothing was changed, because the station does not respond; watch the patients directly" });
  assert.deepEqual(await getJson("/api/x"), { problem: "the station does not respond; watch the patients directly" });
});

test("validation errors name no field of a program", () => {
  const detail = [{ loc: ["body", "limits", "spo2-low"], msg: "Input should be a valid list" }, { loc: ["body", "device"], msg: "Field required" }];
  assert.equal(detailText(detail), "the station did not accept this; reload the page and try again");
  assert.equal(detailText({ surprising: 1 }), undefined);
});

test("a session that has ended leads to the sign-in page, which returns here", async () => {
  const visited = [];
  globalThis.location = { pathname: "/bed", search: "?device=bed-1", replace: (url) => visited.push(url) };
  try {
    respond(401, '{"detail": "sign in first"}');
    assert.deepEqual(await getJson("/api/x"), { problem: "your login has ended" });
    await getJson("/api/x");
    assert.deepEqual(visited, ["/signin?to=%2Fbed%3Fdevice%3Dbed-1"], "once");
  } finally {
    delete globalThis.location;
  }
});
