// A database with damage in one place, as clients and operators see it: what needs that place is
// answered in words that are true, the rest goes on, and log, metrics and readiness tell of it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import path from "node:path";
import { test } from "node:test";
import { Api, startApi } from "./lib/api.js";
import { Rich } from "./lib/chat.js";
import { request } from "./lib/http.js";
import { runToEnd, withDirectory } from "./lib/server.js";
import { limit, ms, until } from "./lib/wait.js";

const SECRET = "a-room-whose-name-is-a-secret";

/**
 * Overwrites the first leaf of the table or index of that name in the closed file; as a disk does it,
 * which leaves the file's time as it was, or as a program.
 */
const garble = (file, name, by) => execFileSync("python3", ["-c", [
  "import os, sqlite3, sys",
  "db = sqlite3.connect(sys.argv[1])",
  'at = db.execute("SELECT pgoffset FROM dbstat WHERE name = ? AND pagetype = \'leaf\' ORDER BY path LIMIT 1",',
  "                [sys.argv[2]]).fetchone()[0]",
  "db.close()",
  "st = os.stat(sys.argv[1])",
  'with open(sys.argv[1], "r+b") as f:',
  "    f.seek(at)",
  '    f.write(b"Z" * 4096)',
  'if sys.argv[3] == "disk":',
  "    os.utime(sys.argv[1], ns=(st.st_atime_ns, st.st_mtime_ns))",
].join("\n"), file, name, by]);

/** Two rooms, the first of which lies on the page that is garbled then; a server on that. */
const withDamage = (name, by, use) => () => withDirectory(async (dir) => {
  const file = path.join(dir, "parlor.db");
  const first = await startApi(file);
  try {
    const api = new Api(first);
    for (let i = 0; i < 100; i++) await api.post(SECRET, `long ago ${i}`.padEnd(200, "."));
    for (let i = 0; i < 100; i++) await api.post("lobby", `today ${i}`.padEnd(200, "."));
    await api.search("/rooms/lobby/search?q=today");
  } finally {
    await first.stop();
  }
  garble(file, name, by);
  const server = await startApi(file);
  try {
    await use(new Api(server), server);
  } finally {
    await server.stop();
  }
});

async function unreadable(api, target) {
  const answer = await api.call("GET", target);
  assert.equal(answer.status, 503, answer.text);
  assert.equal(answer.json.error.code, "unavailable");
  assert.match(answer.json.error.detail, /cannot be read/);
}

async function told(server, reason = /database disk image is malformed" code=11 /) {
  await until(ms(2000), () => /store_trouble/.test(server.stderr), "the event");
  assert.match(server.stderr, new RegExp(`error store_trouble.*${reason.source}.*count=1\\b`));
  assert.ok(!server.stderr.includes(SECRET), "the name of the room is in the log");
  assert.equal(await server.metric(/^parlor_store_damaged$/), 1);
  const ready = await request(server.port, "GET", "/readyz");
  assert.match(ready.text, /damaged/);
  assert.equal(ready.status, 200);
}

test("a page that cannot be read", limit(60), withDamage("events", "disk", async (api, server) => {
  assert.equal((await request(server.port, "GET", "/readyz")).text, "ready\n");
  await unreadable(api, `/rooms/${SECRET}/messages?limit=100`);
  await told(server);
  assert.equal(await server.metric(/^parlor_store_read_errors_total$/), 1);
  assert.equal((await api.get("/rooms/lobby/messages?limit=10")).messages.length, 10);
  await api.post("lobby", "goes on");
  assert.equal(await server.metric(/^parlor_store_healthy$/), 1);
  const { store } = await api.get("/stats");
  assert.equal(`${store.damaged} ${store.read_errors}`, "true 1");
}));

test("a page that another program wrote over", limit(60), withDamage("events", "program", async (api, server) => {
  await told(server);
  assert.match(server.stderr, /warn +store_touched.*damaged/);
  assert.equal(await server.metric(/^parlor_store_file_faults_total$/), 1);
  await unreadable(api, `/rooms/${SECRET}/messages?limit=100`);
  await api.post("lobby", "goes on");
  assert.equal(await server.metric(/^parlor_store_healthy$/), 1);
}));

/** A server with a room, in which ann is; another program runs the statements on its database. */
const whileItRuns = (statements, use) => () => withDirectory(async (dir) => {
  const file = path.join(dir, "parlor.db");
  const server = await startApi(file);
  try {
    const ann = await Rich.join(server, "lobby", { query: "?username=ann" });
    const { id } = await ann.say("before");
    execFileSync("python3", ["-c", "import sqlite3, sys\nsqlite3.connect(sys.argv[1]).executescript(sys.argv[2])", file, statements]);
    await server.says(/store_failed.*changed by another program/, ms(2000));
    await use(server, ann, id);
    await ann.leave();
  } finally {
    await server.stop();
  }
  assert.equal((await runToEnd(["check", file, "--data", file])).code, 1);
});

test("a table taken away while it runs: said, and what needs it fails alone", limit(60),
  whileItRuns("DROP TABLE reactions", async (server, ann, id) => {
    await server.says(/store_recovered/, ms(10000));
    await told(server, /a table or index is missing, or is another" code=1 /);
    const answers = await Promise.all([ann.ask({ type: "react", id, emoji: "+" }), ann.ask({ message: "goes on" })]);
    assert.deepEqual(answers.map((a) => a.code ?? a.type), ["unavailable", "ack"]);
    assert.equal(server.stderr.match(/store_failed/g).length, 1, server.stderr);
  }));

test("the row that counts outages taken away while it runs: said, and nothing is stored any more", limit(60),
  whileItRuns("DELETE FROM meta", async (server, ann) => {
    await until(ms(5000), async () => await server.metric(/^parlor_store_damaged$/) === 1, "the metric");
    const ready = await request(server.port, "GET", "/readyz");
    assert.equal(ready.status, 503);
    assert.match(ready.text, /reason: the database is damaged/);
    assert.equal((await ann.ask({ message: "into nothing" })).code, "unavailable");
  }));

/** Numbers and texts that nobody has written: what one bit more or less makes of them. */
const WRONG_VALUES = {
  "the target of an edit": "UPDATE events SET target = -122 WHERE kind = 1",
  "what a message replies to": "UPDATE events SET reply_to = -1 WHERE id = 2",
  "a read marker": "UPDATE marks SET seq = -1",
  "what retention has removed": 'UPDATE rooms SET trimmed_seq = -9 WHERE name = "bad"',
  "the newest seq of a room": 'UPDATE rooms SET last_seq = 1 << 60 WHERE name = "bad"',
  "the outages of a room": 'UPDATE rooms SET outages = -9223372036854775807 WHERE name = "bad"',
  "the weight of a room": 'UPDATE rooms SET bytes = 9223372036854775807 WHERE name = "bad"',
  "an epoch": 'UPDATE rooms SET epoch = CAST(x\'22000a5c22222222\' AS TEXT) WHERE name = "bad"',
  "the text of a message": "UPDATE events SET message = CAST(x'ff00fe' AS TEXT), bytes = 3 WHERE id = 2",
  "the kind of an event": "UPDATE events SET kind = 2147483648 WHERE id = 2",
};

for (const [what, statement] of Object.entries(WRONG_VALUES))
  test(`a value that cannot be: ${what}`, limit(60), () => withDirectory(async (dir) => {
    const file = path.join(dir, "parlor.db");
    const first = await startApi(file);
    const ann = await Rich.join(first, "bad", { query: "?username=ann" });
    const { id } = await ann.say("typo");
    await ann.say("an answer");
    await ann.get("ack", { type: "edit", id, message: "type" });
    await ann.get("ack", { type: "read", id });
    await new Api(first).post("good", "here");
    await ann.leave();
    await first.stop();
    execFileSync("python3", ["-c", "import sqlite3, sys\nsqlite3.connect(sys.argv[1]).executescript(sys.argv[2])", file, statement]);
    const checked = await runToEnd(["check", file, "--data", file]);
    assert.equal(checked.code, 1, checked.stdout);
    const server = await startApi(file);
    try {
      const api = new Api(server);
      for (const query of ["?username=ann", `?username=ann&since=${id}`, "?username=ann&history=10"])
        await Rich.join(server, "bad", { query }).then((member) => member.say("more").catch(() => {})).catch(() => {});
      await api.call("GET", "/rooms/bad/messages");
      await api.call("GET", "/export?room=bad");
      assert.deepEqual((await api.get("/rooms/good/messages")).messages.map((m) => m.message), ["here"]);
      await api.post("good", "and there");
      await until(ms(2000), () => /error store_trouble.*code=11 /.test(server.stderr), "the event");
      assert.match((await request(server.port, "GET", "/readyz")).text, /damaged/);
    } finally {
      await server.stop();
    }
  }));
