// A disk that is really full: a tmpfs of a few megabytes, filled to its last page by somebody else. Needs
// the right to mount one.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { Api, KEY } from "./lib/api.js";
import { Rich } from "./lib/chat.js";
import { request } from "./lib/http.js";
import { Lives, withDirectory } from "./lib/server.js";
import { limit, ms, until } from "./lib/wait.js";

const TWO = ["--workers", "2", "--rate", "0"];
const named = (server, name, query = "") => Rich.join(server, "lobby", { query: `?username=${name}${query}` });
const ready = (server) => request(server.port, "GET", "/readyz");

/** The body with a server on a disk of its own, of so many bytes; fill() leaves no byte free, free() ends that. */
function withDisk(bytes, body, args = []) {
  return (t) => withDirectory(async (directory) => {
    const disk = path.join(directory, "disk");
    mkdirSync(disk);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", disk], { stdio: "pipe" });
    } catch (error) {
      t.skip(`cannot mount a tmpfs: ${error.stderr}`);
      return;
    }
    const lives = new Lives(disk, [...TWO, ...args]);
    const filler = path.join(disk, "filler");
    const fill = () => {
      const fd = openSync(filler, "a");
      try {
        for (const piece of [65536, 4096]) for (;;) if (writeSync(fd, Buffer.alloc(piece, 1)) < piece) break;
      } catch (error) {
        assert.equal(error.code, "ENOSPC");
      }
      closeSync(fd);
    };
    try {
      await lives.start();
      await body(lives, { fill, free: () => rmSync(filler), t });
      await lives.server.stop();
    } finally {
      lives.server?.kill("SIGKILL");
      await lives.server?.gone;
      execFileSync("umount", ["-l", disk]);
    }
  });
}

async function post(server, n, word) {
  const ann = await named(server, "ann");
  const acked = [];
  for (let i = 0; i < n; i++) {
    /* Two of them fit on a page of the database: else the -wal alone fills the disk. */
    const answer = await ann.ask({ type: "message", message: `${word} ${i} ${"x".repeat(1900)}` });
    if (answer.type === "error") {
      assert.equal(answer.code, "unavailable");
      break;
    }
    acked.push(answer.id);
  }
  await ann.leave();
  return acked;
}

/** Ids of the room, as a newcomer to the API reads them. */
async function kept(server) {
  const ids = [];
  const api = new Api(server);
  for (let more = true, before = ""; more;) {
    const page = await api.get(`/rooms/lobby/messages?limit=200${before}`);
    ids.unshift(...page.messages.map((m) => m.id));
    ({ more } = page);
    before = `&before=${page.messages[0]?.id}`;
  }
  return ids;
}

/** It says in all places that the disk is full, which one, and the system's word for it. */
async function saysFull(lives) {
  const red = await until(ms(5000), async () => {
    const r = await ready(lives.server);
    return r.status === 503 && r;
  }, "readiness");
  assert.match(red.text, /the disk is full \(No space left on device\): .*parlor\.db/);
  assert.match(lives.server.stderr, /store_failed.*the disk is full \(No space left on device\): .*parlor\.db/);
  assert.equal(await lives.server.metric(/^parlor_store_healthy$/), 0);
}

const greens = (server) => until(ms(15000), async () => (await ready(server)).status === 200, "recovery by itself");

for (const [how, end] of Object.entries({ "an orderly end": (server) => server.stop(), "kill -9": (server) => server.killHard() }))
  test(`a full disk after ${how}: the server starts, history is read, and it recovers by itself`, limit(60),
    withDisk("4m", async (lives, disk) => {
      const acked = await post(lives.server, 200, "before");
      assert.equal(acked.length, 200);
      disk.fill();
      await post(lives.server, 400, "more"); // what the -wal still has place for
      const all = await kept(lives.server);
      await saysFull(lives);
      await end(lives.server);
      disk.fill();
      await lives.start();
      assert.deepEqual(await kept(lives.server), all, "history is read");
      await post(lives.server, 400, "again").catch(() => {}); // or the room cannot be entered
      await saysFull(lives);
      disk.free();
      await greens(lives.server);
      const now = await kept(lives.server);
      const fresh = await post(lives.server, 10, "after");
      assert.equal(fresh.length, 10);
      assert.equal(new Set([...now, ...fresh]).size, now.length + 10, "no id twice");
      assert.deepEqual(now.slice(0, all.length), all);
      await lives.killAndStart();
      assert.deepEqual(await kept(lives.server), [...now, ...fresh]);
    }, ["--api-key", KEY]));

// What the failing start has written in part must not look like somebody else's database to the next one.
test("a start on a full disk that ends before it could recover takes nothing along", limit(60),
  withDisk("24m", async (lives, disk) => {
    const acked = await post(lives.server, 700, "before");
    assert.equal(acked.length, 700);
    await lives.server.killHard();
    disk.fill();
    await lives.start();
    await saysFull(lives);
    await until(ms(10000), async () => (await lives.server.metric(/^parlor_uptime_seconds$/)) > 2.5, "a few tries to recover");
    await lives.server.killHard();
    disk.free();
    await lives.start();
    await greens(lives.server);
    assert.deepEqual(await kept(lives.server), acked);
    assert.doesNotMatch(lives.server.stderr, /wal-stale|new epoch/);
  }, ["--api-key", KEY]));
