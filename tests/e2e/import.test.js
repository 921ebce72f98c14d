// An import that does not end: killed, interrupted, or on a disk that gets full. It is whole or not there
// at all, the next start says so, and the same file can be imported then.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createWriteStream, existsSync, readFileSync, statSync } from "node:fs";
import { once } from "node:events";
import path from "node:path";
import { test } from "node:test";
import { Api, startApi } from "./lib/api.js";
import { request } from "./lib/http.js";
import { BIN, runToEnd, withDirectory } from "./lib/server.js";
import { count, limit, ms, until, within } from "./lib/wait.js";

const EVENTS = count(400000, 60000);
const ROOMS = ["first", "second"];

/** An export as the API writes it, of two rooms. */
async function writeExport(file) {
  const out = createWriteStream(file);
  const text = "a message of the length that people write when they have time".repeat(2);
  for (const room of ROOMS) {
    let lines = [`{"type":"room","room":"${room}","epoch":"abcdefgh"}\n`];
    for (let seq = 1; seq <= EVENTS / 2; seq++) {
      lines.push(`{"type":"event","seq":${seq},"ts":${1e12 + seq},"kind":"message","username":"u","message":"${text}"}\n`);
      if (seq % 5000 !== 0) continue;
      if (!out.write(lines.join(""))) await once(out, "drain");
      lines = [];
    }
    out.write(`${lines.join("")}{"type":"end","events":${EVENTS / 2}}\n`);
  }
  out.end();
  await once(out, "close");
}

const sizeOf = (file) => (existsSync(file) ? statSync(file).size : 0);
const written = (data) => sizeOf(data) + sizeOf(`${data}-wal`) + sizeOf(`${data}-journal`);

/** An import that got the signal when so much was written. */
async function interrupted(from, data, bytes, signal) {
  const child = spawn(BIN, ["import", from, "--data", data], { stdio: ["ignore", "ignore", "ignore"], env: {} });
  const gone = once(child, "close");
  await until(ms(60000), () => child.exitCode !== null || written(data) > bytes, "a part of the import");
  assert.equal(child.exitCode, null, "it was quicker than the signal");
  child.kill(signal);
  const [, by] = await within(ms(10000), gone, "end");
  assert.equal(by, signal);
}

/** How many events the file beside the database says that were committed. */
const marked = (data) => Number(readFileSync(`${data}-witness`).readBigUInt64LE(32));

/** Nothing of it is there, and the log says so once. */
async function expectNothing(data) {
  let server = await startApi(data);
  try {
    assert.equal(marked(data), 1);
    assert.doesNotMatch(server.stderr, /store_(lost|restored|touched|stale)/);
    assert.match(server.stderr, /warn {2}import_undone .*began_s=\d{10}/);
    const api = new Api(server);
    assert.deepEqual((await api.get("/rooms")).rooms.map((room) => room.room), ["before"]);
    await api.fails(404, "not_found", "GET", "/rooms/first");
    await api.fails(404, "not_found", "GET", "/export?room=first");
    assert.equal((await request(server.port, "GET", "/readyz")).text, "ready\n");
  } finally {
    await server.stop();
  }
  server = await startApi(data);
  await server.stop();
  assert.doesNotMatch(server.stderr, /import_undone/);
}

test("an import that is killed is taken back, and said", limit(240), () => withDirectory(async (dir) => {
  const from = path.join(dir, "export.ndjson");
  const data = path.join(dir, "parlor.db");
  await writeExport(from);
  let server = await startApi(data);
  await new Api(server).post("before", "was here");
  await server.stop();
  const bytes = statSync(from).size;
  /** @type {[number, string][]} */
  const ends = [[0.05, "SIGKILL"], [0.3, "SIGINT"], [0.6, "SIGKILL"]];
  for (const [part, signal] of ends) {
    await interrupted(from, data, bytes * part, signal);
    await expectNothing(data);
  }

  const full = spawn("prlimit", [`--fsize=${Math.round(bytes / 2)}`, BIN, "import", from, "--data", data],
    { stdio: ["ignore", "ignore", "pipe"], env: { PATH: process.env.PATH } });
  let stderr = "";
  full.stderr.on("data", (text) => (stderr += text));
  const [code] = await within(ms(60000), once(full, "close"), "end on a full disk");
  assert.equal(code, 1);
  assert.match(stderr, /cannot be stored.*nothing was imported/);

  const again = await runToEnd(["import", from, "--data", data], {}, {}, ms(60000));
  assert.equal(again.code, 0, again.stderr);
  assert.doesNotMatch(again.stderr, /import_undone/, "an end that was said is none to be said again");
  assert.equal(marked(data), 1 + EVENTS);
  assert.ok(!existsSync(`${data}-wal`), "all of it is in the database file");
  server = await startApi(data);
  try {
    assert.doesNotMatch(server.stderr, /store_(lost|restored|touched|stale)/);
    const api = new Api(server);
    const rooms = (await api.get("/rooms")).rooms;
    assert.deepEqual(rooms.map((room) => `${room.room} ${room.events}`),
      ["before 1", `first ${EVENTS / 2}`, `second ${EVENTS / 2}`]);
  } finally {
    await server.stop();
  }
}));
