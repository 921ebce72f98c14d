// What the manual shows is what the server sends.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { Rich } from "./lib/chat.js";
import { REPO, withServer } from "./lib/server.js";
import { limit } from "./lib/wait.js";

/** The keys of an object and of the objects in it. */
const shape = (value) =>
  value && typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, shape(v)])) : typeof value;

test("docs/protocol.md shows welcome as it is", limit(20), withServer([], async (server) => {
  const page = readFileSync(path.join(REPO, "docs/protocol.md"), "utf8");
  const shown = /^ {4}\{"type":"welcome".*\n(?: {4}.*\n)*/m.exec(page);
  assert.ok(shown, "an example of welcome");
  const rich = await Rich.join(server, "lobby", { query: "?username=ann" });
  assert.deepEqual(shape(JSON.parse(shown[0])), shape(rich.welcome));
  for (const key of ["version", "server", "user", "room", "limits", "ping_s"])
    assert.ok(page.includes(`\`${key}\``), `${key} is explained`);
  await rich.leave();
}));
