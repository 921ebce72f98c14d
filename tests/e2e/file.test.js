// The files of the database under a running server's feet, and between two lives of it: gone, replaced,
// written over, put back from a backup. What is wrong is said in the log, the metrics and the readiness
// within two seconds; an id never stands for two things; what is not the file that ran last has new epochs.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, cpSync, existsSync, linkSync, mkdirSync, readFileSync, readdirSync, readlinkSync, renameSync, rmSync, symlinkSync,
  truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { Rich } from "./lib/chat.js";
import { request } from "./lib/http.js";
import { runToEnd, startServer, withDirectory, withLives } from "./lib/server.js";
import { limit, ms, pause, until } from "./lib/wait.js";

const TWO = ["--workers", "2", "--rate", "0"];

const named = (server, name, query = "", room = "lobby") =>
  Rich.join(server, room, { query: `?username=${name}${query}` });
const ready = async (server) => request(server.port, "GET", "/readyz");
const faults = (server) => server.metric(/^parlor_store_file_faults_total$/);

/** Posts n messages; resolves with their acks as [id, text]. */
async function post(server, n, word) {
  const ann = await named(server, "ann");
  const acked = await Promise.all(Array.from({ length: n }, async (_, i) => {
    const text = `${word} ${i}`;
    return /** @type {[string, string]} */ ([(await ann.say(text)).id, text]);
  }));
  await ann.leave();
  return acked;
}

/** A copy by SQLite itself, as docs/operations.md says. */
const backup = (file, to) =>
  execFileSync("python3", ["-c", "import sqlite3, sys\nsqlite3.connect(sys.argv[1]).backup(sqlite3.connect(sys.argv[2]))",
    file, to]);

/** Overwrites the file, which stays the same file. */
const pour = (from, to) => writeFileSync(to, readFileSync(from), { flag: "r+" });

/** Everything the room holds: Map of id to text. */
async function kept(server) {
  const reader = await named(server, "reader");
  const all = new Map();
  for (let more = true, before; more;) {
    const page = await reader.get("history", { type: "history", limit: 200, ...(before && { before }) });
    for (const m of page.messages) all.set(m.id, m.message);
    ({ more } = page);
    before = page.messages[0]?.id;
  }
  await reader.leave();
  return all;
}

/** The new life gives none of these ids to another text, and does not pretend to know the newest. */
async function noIdTwice(server, given, newest) {
  const said = new Map(given);
  for (const [id, text] of await post(server, 700, "afterwards")) {
    assert.ok(!said.has(id), `${id} was "${said.get(id)}" and is "${text}"`);
    said.set(id, text);
  }
  for (const [id, text] of await kept(server))
    if (said.has(id)) assert.equal(text, said.get(id), `${id} in the history`);
  const back = await named(server, "back", `&since=${newest}`);
  assert.equal(back.joined.recovered, false, "who knows more is told so");
  await back.leave();
}

const WRONGS = {
  "the database deleted": (file) => rmSync(file),
  "the database replaced by another": (file) => {
    backup(file, `${file}.copy`);
    renameSync(`${file}.copy`, file);
  },
  "the database renamed": (file) => renameSync(file, `${file}.old`),
  "the database renamed, with a link in its place": (file) => {
    renameSync(file, `${file}.old`);
    symlinkSync(path.basename(`${file}.old`), file);
  },
  "the -witness renamed, with a link in its place": (file) => {
    renameSync(`${file}-witness`, `${file}.old`);
    symlinkSync(path.basename(`${file}.old`), `${file}-witness`);
  },
  "the -wal deleted": (file) => rmSync(`${file}-wal`),
  "the -shm deleted": (file) => rmSync(`${file}-shm`),
  "the directory renamed": (file) => renameSync(path.dirname(file), `${path.dirname(file)}-away`),
};

for (const [what, wrong] of Object.entries(WRONGS)) {
  test(`while it runs, ${what}: said within two seconds, nothing is taken, and no ack was a lie`, limit(60),
    withLives(TWO, async (lives) => {
      const { server } = lives;
      const acked = await post(server, 100, "before");
      const ann = await named(server, "ann");
      assert.equal((await ready(server)).status, 200);
      const before = await faults(server);
      wrong(lives.file);
      await pause(ms(200)); // names are looked at every 100 ms
      const answer = await ann.ask({ message: "into nothing" });
      assert.deepEqual([answer.type, answer.code], ["error", "unavailable"]);
      const red = await until(ms(2000), async () => {
        const r = await ready(server);
        return r.status === 503 && r;
      }, "readiness");
      assert.match(red.text, /reason: .*(is gone|was replaced)/);
      assert.ok(await faults(server) > before, "counted");
      await server.says(/store_failed.*(is gone|was replaced)/, ms(2000));
      assert.equal(server.stderr.match(/store_failed/g).length, 1, "said once");
      const { messages } = await ann.get("history", { type: "history", limit: 200 });
      assert.equal(messages.length, acked.length, "history is read");
      if (what === "the directory renamed") renameSync(`${lives.directory}-away`, lives.directory);
    }));
}

test("an idle server notices by itself; a file that comes back is used again", limit(60),
  withLives(TWO, async (lives) => {
    const { server } = lives;
    const acked = await post(server, 10, "before");
    renameSync(lives.file, `${lives.file}.away`);
    await until(ms(2000), async () => (await ready(server)).status === 503, "readiness");
    renameSync(`${lives.file}.away`, lives.file);
    await until(ms(15000), async () => (await ready(server)).status === 200, "recovery");
    acked.push(...await post(server, 10, "after"));
    await lives.killAndStart();
    assert.deepEqual(await kept(lives.server), new Map(acked));
  }));

test("the -wal deleted, then kill -9: what was acknowledged before is there", limit(60),
  withLives(TWO, async (lives) => {
    const acked = await post(lives.server, 427, "before");
    rmSync(`${lives.file}-wal`);
    await until(ms(2000), async () => (await ready(lives.server)).status === 503, "readiness");
    await lives.killAndStart();
    assert.deepEqual(await kept(lives.server), new Map(acked));
    assert.doesNotMatch(lives.server.stderr, /store_lost|store_restored|store_touched/);
  }));

for (const suffix of ["-wal", "-shm"])
  test(`the ${suffix} deleted, then an orderly end: nobody else has written to the database`, limit(60),
    withLives(TWO, async (lives) => {
      const acked = await post(lives.server, 427, "before");
      rmSync(lives.file + suffix);
      await until(ms(2000), async () => (await ready(lives.server)).status === 503, "readiness");
      await lives.restart();
      assert.deepEqual(await kept(lives.server), new Map(acked));
      assert.doesNotMatch(lives.server.stderr, /store_lost|store_restored|store_stale|store_touched/);
    }));

/** A program that reads, and so keeps all that was written since out of the database file. */
async function outsideReader(file) {
  const child = spawn("python3", ["-c", 'import sqlite3, sys\nc = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, isolation_level=None)\n'
    + 'c.execute("BEGIN").execute("SELECT count(*) FROM events").fetchall()\nprint("reads", flush=True)\nsys.stdin.read()', file],
  { stdio: ["pipe", "pipe", "inherit"] });
  await once(child.stdout, "data");
  return async () => {
    child.stdin.end();
    await once(child, "close");
  };
}

for (const ends of ["while the server runs", "after it was stopped", "after kill -9"])
  test(`the -wal deleted while another program reads, until ${ends}: nothing acknowledged is lost`, limit(60),
    withLives(TWO, async (lives) => {
      const acked = await post(lives.server, 20, "before");
      const end = await outsideReader(lives.file);
      acked.push(...await post(lives.server, 427, "behind the reader"));
      rmSync(`${lives.file}-wal`);
      await until(ms(2000), async () => (await ready(lives.server)).status === 503, "readiness");
      if (ends === "while the server runs") {
        await end();
        await pause(ms(6000)); // it tries again, at most every five seconds
      }
      await (ends === "after kill -9" ? lives.server.killHard() : lives.server.stop());
      if (ends !== "while the server runs") await end();
      await lives.start();
      assert.deepEqual(await kept(lives.server), new Map(acked));
      assert.doesNotMatch(lives.server.stderr, /store_lost|store_restored|store_stale/);
    }));

test("a server whose file was replaced does not take the -wal of the one that runs on it now", limit(60),
  withLives(TWO, async (lives) => {
    await post(lives.server, 10, "old");
    rmSync(lives.file);
    await until(ms(2000), async () => (await ready(lives.server)).status === 503, "readiness");
    const other = await startServer([...TWO, "--data", lives.file]);
    try {
      const acked = await post(other, 300, "new");
      await lives.server.stop();
      acked.push(...await post(other, 10, "newer"));
      assert.equal((await ready(other)).status, 200);
      await other.killHard();
      await lives.start();
      assert.deepEqual(await kept(lives.server), new Map(acked));
    } finally {
      other.kill("SIGKILL");
    }
  }));

test("the database written over while it runs: said, checked, and refused for good if it is damaged", limit(60),
  withLives(TWO, async (lives) => {
    const { server } = lives;
    await post(server, 300, "before");
    await lives.restart();
    const before = await faults(lives.server);
    const bytes = readFileSync(lives.file);
    bytes.fill(0xa5, 4096, 12288);
    writeFileSync(lives.file, bytes, { flag: "r+" });
    await until(ms(2000), async () => (await ready(lives.server)).status === 503, "readiness");
    await lives.server.says(/store_failed.*changed by another program/, ms(2000));
    assert.ok(await faults(lives.server) > before);
    await pause(ms(1000));
    assert.equal((await ready(lives.server)).status, 503, "it stays damaged");
  }));

// ---- between two lives ----

const AGES = { "after an orderly end": (server) => server.stop(), "after kill -9": (server) => server.killHard() };
const RETURNS = {
  "copied over it": (from, to) => pour(from, to),
  "moved in its place": (from, to) => {
    copyFileSync(from, `${to}.new`);
    renameSync(`${to}.new`, to);
  },
};

for (const [when, end] of Object.entries(AGES))
  for (const [how, put] of Object.entries(RETURNS))
    for (const stale of ["removed", "left there"])
      test(`${when} a backup is ${how}, the -wal ${stale}: new epochs, no id twice`, limit(60),
        withLives(TWO, async (lives) => {
          const given = await post(lives.server, 300, "in the backup");
          backup(lives.file, `${lives.file}.backup`);
          given.push(...await post(lives.server, 600, "not in the backup"));
          await end(lives.server);
          put(`${lives.file}.backup`, lives.file);
          if (stale === "removed")
            for (const suffix of ["-wal", "-shm"]) rmSync(lives.file + suffix, { force: true });
          await lives.start();
          const { stderr } = lives.server;
          const whole = when === "after kill -9" && stale === "left there";
          if (!whole) {
            assert.match(stderr, /store_lost|store_restored/, "said");
            assert.ok(await faults(lives.server) > 0, "counted");
            await noIdTwice(lives.server, given, given.at(-1)[0]);
          } else {
            // The -wal holds all that the backup lacks: nothing was lost.
            assert.deepEqual(await kept(lives.server), new Map(given));
          }
        }));

test("a stale -wal beside a backup from before it was begun is set aside, not mixed in", limit(120),
  withLives(TWO, async (lives) => {
    const given = await post(lives.server, 300, "in the backup");
    backup(lives.file, `${lives.file}.backup`);
    // Never more under way than a member may lag, however slow we are: it hears itself.
    for (let i = 0; i < 48; i++) given.push(...await post(lives.server, 250, `later ${i} ${"x".repeat(2500)}`));
    await lives.server.killHard();
    pour(`${lives.file}.backup`, lives.file);
    writeFileSync(`${lives.file}-wal-stale`, "of the last time"); // is somebody's, too
    await lives.start();
    assert.match(lives.server.stderr, /store_stale/);
    assert.match(lives.server.stderr, /store_lost.* 12000 events/);
    assert.ok(existsSync(`${lives.file}-wal-stale-2`));
    assert.equal(readFileSync(`${lives.file}-wal-stale`, "utf8"), "of the last time");
    assert.equal((await kept(lives.server)).size, 300);
    await noIdTwice(lives.server, given, given.at(-1)[0]);
  }));

test("after kill -9 the -wal is lost or cut: said with the number, new epochs, no id twice", limit(60), async (t) => {
  for (const [how, lose] of Object.entries({ lost: (wal) => rmSync(wal), cut: (wal) => truncateSync(wal, 100000),
    emptied: (wal) => truncateSync(wal, 0) }))
    await t.test(how, withLives(TWO, async (lives) => {
      const given = await post(lives.server, 600, "acknowledged");
      await lives.server.killHard();
      lose(`${lives.file}-wal`);
      await lives.start();
      const lost = Number(/store_lost.* (\d+) events/.exec(lives.server.stderr)?.[1]);
      assert.equal(lost, 600 - (await kept(lives.server)).size);
      await noIdTwice(lives.server, given, given.at(-1)[0]);
    }));
});

test("the whole directory put back from a copy, in place and as new files: new epochs", limit(120), async (t) => {
  for (const how of ["in place", "as new files"])
    for (const running of [false, true])
      await t.test(`${how}, copied ${running ? "while it ran" : "when it had stopped"}`, withLives(TWO, async (lives) => {
        const given = await post(lives.server, 300, "in the copy");
        if (!running) await lives.server.stop();
        const copy = `${lives.directory}-copy`;
        cpSync(lives.directory, copy, { recursive: true, preserveTimestamps: true });
        try {
          if (!running) await lives.start();
          given.push(...await post(lives.server, 600, "later"));
          await lives.server.killHard();
          await pause(1100); // a copy put back within a second is not one that an operator makes
          for (const name of readdirSync(lives.directory)) {
            const to = path.join(lives.directory, name);
            if (how === "in place" && existsSync(path.join(copy, name))) truncateSync(to, 0);
            else rmSync(to);
          }
          mkdirSync(lives.directory, { recursive: true });
          for (const name of readdirSync(copy)) {
            const to = path.join(lives.directory, name);
            writeFileSync(to, readFileSync(path.join(copy, name)));
          }
          await lives.start();
          assert.match(lives.server.stderr, /store_restored/);
          await noIdTwice(lives.server, given, given.at(-1)[0]);
        } finally {
          rmSync(copy, { recursive: true });
        }
      }));
});

test("a database that is gone or empty at the start is said", limit(60), async (t) => {
  for (const [how, lose] of Object.entries({ gone: (file) => rmSync(file), empty: (file) => truncateSync(file, 0) }))
    await t.test(how, withLives(TWO, async (lives) => {
      const given = await post(lives.server, 100, "before");
      await lives.server.stop();
      lose(lives.file);
      await lives.start();
      assert.match(lives.server.stderr, /store_lost.*gone or empty/);
      assert.ok(await faults(lives.server) > 0);
      await noIdTwice(lives.server, given, given.at(-1)[0]);
    }));
});

test("what is no reason for new epochs: restarts, kills, VACUUM, a backup of links, another program that reads", limit(60),
  withLives(TWO, async (lives) => {
    const python = (statements) => execFileSync("python3", ["-c",
      "import sqlite3, sys\nsqlite3.connect(sys.argv[1]).executescript(sys.argv[2])", lives.file, statements]);
    const acked = await post(lives.server, 50, "first");
    await lives.server.killHard();
    python("PRAGMA quick_check; PRAGMA wal_checkpoint(TRUNCATE)"); // its -wal is written back, and gone
    await lives.start();
    acked.push(...await post(lives.server, 50, "second"));
    backup(lives.file, `${lives.file}.backup`);
    await lives.server.stop();
    python("VACUUM");
    await lives.start();
    assert.match(lives.server.stderr, /store_touched.*passes/, "but it is said that somebody has written to it");
    acked.push(...await post(lives.server, 50, "third"));
    await pause(1500);
    for (const suffix of ["", "-wal", "-witness"]) linkSync(lives.file + suffix, `${lives.file}.link${suffix}`);
    await pause(1500); // the links changed the files' times, which is made good within a second
    await lives.killAndStart();
    await lives.restart();
    const back = await named(lives.server, "bob", `&since=${acked[120][0]}`);
    assert.deepEqual([back.joined.recovered, back.joined.replayed], [true, 29]);
    assert.deepEqual(await kept(lives.server), new Map(acked));
    assert.doesNotMatch(lives.server.stderr, /store_lost|store_restored|store_touched/);
    assert.equal(await faults(lives.server), 0);
    await back.leave();
  }));

// ---- parlor check, parlor restore ----

const python = (file, statements) => execFileSync("python3", ["-c",
  "import sqlite3, sys\nsqlite3.connect(sys.argv[1]).executescript(sys.argv[2])", file, statements]);
const check = (file) => runToEnd(["check", file, "--data", file]); // or the helper would put its own in front
const damagedLines = (run) => run.stdout.split("\n").filter((line) => line.startsWith("damaged"));

test("parlor check: a sound database, while it is in use and after a crash; nothing is left behind", limit(60),
  withLives(TWO, async (lives) => {
    const bob = await named(lives.server, "bob");
    const acked = await post(lives.server, 200, "said");
    await bob.get("ack", { type: "edit", id: (await bob.say("typo")).id, message: "type" });
    await bob.get("ack", { type: "react", id: acked[0][0], emoji: "+" });
    await bob.get("ack", { type: "read", id: acked[1][0] });
    for (const end of [() => {}, () => lives.server.killHard(), () => lives.restart().then(() => lives.server.stop())]) {
      await end();
      const before = readdirSync(lives.directory);
      const run = await check(lives.file);
      assert.deepEqual([run.code, damagedLines(run)], [0, []], run.stdout);
      assert.ok(run.stdout.split("\n").length > 15, run.stdout);
      assert.deepEqual(readdirSync(lives.directory), before);
      if (lives.server.status?.signal === "SIGKILL") await lives.start();
    }
    await lives.start();
    await bob.closed;
  }));

const DAMAGE = {
  "ids that were given twice": "INSERT INTO events SELECT id + 1000, room, seq, ts_ms, kind, target, reply_to, edited_ms, " +
    "deleted, bytes, username, user, message, data, nonce FROM events WHERE id = 3",
  "the order of ids": "UPDATE events SET seq = 5000 WHERE id = 3",
  "epochs": "UPDATE rooms SET epoch = 'k3f9-d2A'",
  "names and numbers of rooms": "UPDATE rooms SET trimmed_seq = -9",
  "texts": "UPDATE events SET message = CAST(x'ff00fe' AS TEXT), bytes = bytes - length(message) + 3 WHERE id = 3",
  "tables and indexes": "CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM events WHERE id = new.id; END",
  "the weight of an event": "UPDATE events SET message = 'longer than before' WHERE id = 3",
  "numbers and kinds": ["UPDATE events SET kind = 7 WHERE id = 3", "UPDATE events SET id = 9223372036854775807 WHERE id = 20"],
  "outages": ["UPDATE meta SET outages = 1 << 40", "UPDATE rooms SET outages = -(1 << 40)"],
  "what the database says of itself": ["DELETE FROM meta", "UPDATE meta SET clean = 7", "UPDATE meta SET removed = -1",
    "UPDATE meta SET checkpoints = -1", "UPDATE meta SET indexed = -1"],
  "the length of texts": "UPDATE events SET message = hex(zeroblob(9000000)), bytes = bytes - length(message) + 18000000 WHERE id = 3",
  "the time of a room": "UPDATE rooms SET oldest_ms = 5",
  "what is without a room": "UPDATE events SET room = 99 WHERE id = 3",
  "read markers": "INSERT INTO marks VALUES(77, 'ann', 3, 1)",
  "reactions": "INSERT INTO reaction_counts VALUES(1, 3, '+', 4, 2)",
  "the index for search": "INSERT INTO search(rowid, in_room, words) VALUES(3, 1, 'nobody said this')",
  "nonces": "PRAGMA writable_schema=1; UPDATE sqlite_schema SET sql = replace(sql, 'nonce IS NOT NULL', 'nonce = 5') " +
    "WHERE name = 'events_nonces'; PRAGMA writable_schema=RESET; UPDATE events SET nonce = 'n', bytes = bytes + 1 WHERE id = 3; " +
    "PRAGMA writable_schema=1; UPDATE sqlite_schema SET sql = replace(sql, 'nonce = 5', 'nonce IS NOT NULL') " +
    "WHERE name = 'events_nonces'",
};

test("parlor check: each kind of damage has a line of its own, and the exit code says so", limit(120),
  withLives(TWO, async (lives) => {
    await post(lives.server, 20, "said");
    await lives.server.stop();
    const copy = `${lives.file}.copy`;
    for (const [name, statements] of Object.entries(DAMAGE).flatMap(([n, s]) => [s].flat().map((one) => [n, one]))) {
      copyFileSync(lives.file, copy);
      python(copy, statements);
      const run = await check(copy);
      assert.equal(run.code, 1, `${name}: ${run.stdout}`);
      assert.ok(damagedLines(run).some((line) => line.startsWith(`damaged  ${name}`)), `${name}: ${run.stdout}`);
      for (const suffix of ["", "-wal", "-shm"]) rmSync(copy + suffix, { force: true });
    }
    copyFileSync(lives.file, copy);
    const bytes = readFileSync(copy);
    bytes.fill(0x5a, 8192, 12288);
    writeFileSync(copy, bytes);
    const run = await check(copy);
    assert.equal(run.code, 1);
    assert.match(run.stdout, /^damaged {2}pages: /m);
    const other = await check("/etc/passwd");
    assert.equal(other.code, 1);
    assert.match(other.stdout, /not an SQLite database/);
    const none = await check("/nonexistent/x.db");
    assert.deepEqual([none.code, none.stdout], [2, ""]);
    assert.match(none.stderr, /check: \/nonexistent\/x\.db: No such file/);
    await lives.start();
  }));

test("parlor restore: a backup takes the place of the database; new epochs, the old one is kept", limit(60),
  withLives(TWO, async (lives) => {
    const given = await post(lives.server, 300, "in the backup");
    const copy = path.join(lives.directory, "copy.db");
    backup(lives.file, copy);
    given.push(...await post(lives.server, 600, "not in the backup"));
    let run = await runToEnd(["restore", copy, "--data", lives.file]);
    assert.equal(run.code, 1);
    assert.match(run.stderr, /in use by a running Parlor/);
    assert.equal((await ready(lives.server)).status, 200, "nothing happened to it");
    await lives.server.killHard();
    run = await runToEnd(["restore", copy, "--data", lives.file]);
    assert.deepEqual([run.code, run.stderr], [0, ""]);
    assert.match(run.stdout, /restored .*parlor\.db; every room has a new epoch/);
    await lives.start();
    assert.doesNotMatch(lives.server.stderr, /store_lost|store_restored|store_stale/, "that was in order");
    assert.deepEqual([...(await kept(lives.server)).values()].sort(), given.slice(0, 300).map(([, text]) => text).sort());
    await noIdTwice(lives.server, given, given.at(-1)[0]);
    // The old database, with its -wal, is whole.
    const old = await startServer([...TWO, "--data", `${lives.file}-replaced`]);
    assert.equal((await kept(old)).size, 900);
    await old.stop();
    await lives.server.stop();
    run = await runToEnd(["restore", copy, "--data", lives.file]);
    assert.match(run.stderr, /move it away first/);
    run = await runToEnd(["restore", "/etc/passwd", "--data", path.join(lives.directory, "new.db")]);
    assert.match(run.stderr, /not a(n SQLite)? database/);
    assert.ok(!existsSync(path.join(lives.directory, "new.db")));
    await lives.start();
  }));

test("parlor restore looks at what it is given", limit(60), () => withDirectory(async (directory) => {
  const at = (name) => path.join(directory, name);
  const restore = (from, to) => runToEnd(["restore", from, "--data", to]);
  const server = await startServer([...TWO, "--data", at("real.db")]);
  await post(server, 10, "said");
  await server.stop();
  copyFileSync(at("real.db"), at("copy.db"));
  const before = readFileSync(at("real.db"));
  writeFileSync(at("empty.db"), "");
  execFileSync("mkfifo", [at("pipe")]);
  /** @type {[string, string, RegExp][]} */
  const refused = [["empty.db", "real.db", /empty\.db: it is empty/], ["pipe", "real.db", /pipe: it is not a regular file/],
    ["copy.db", "pipe", /pipe: it is not a regular file/], ["nothing.db", "real.db", /nothing\.db: No such file/]];
  for (const [from, to, why] of refused) {
    const run = await restore(at(from), at(to));
    assert.equal(run.code, 1, run.stdout);
    assert.match(run.stderr, why);
  }
  // What has the name that the copy gets is not deleted, however it is spelled.
  copyFileSync(at("real.db"), at("real.db-restoring"));
  symlinkSync("real.db-restoring", at("link"));
  for (const from of ["real.db-restoring", "link"]) {
    const run = await restore(at(from), `${directory}/./real.db`);
    assert.equal(run.code, 1, run.stdout);
    assert.match(run.stderr, /give the backup another/);
    assert.ok(readFileSync(at("real.db-restoring")).equals(before));
  }
  assert.ok(readFileSync(at("real.db")).equals(before));
  mkdirSync(at("app"));
  symlinkSync("../real.db", at("app/link.db"));
  const run = await restore(at("copy.db"), at("app/link.db"));
  assert.equal(run.code, 0, run.stderr);
  assert.equal(readlinkSync(at("app/link.db")), "../real.db");
  assert.deepEqual(readdirSync(at("app")), ["link.db"]);
  assert.ok(existsSync(at("real.db-replaced")));
}));

test("parlor restore of a damaged backup changes nothing", limit(60), () => withDirectory(async (directory) => {
  const file = path.join(directory, "parlor.db");
  const server = await startServer([...TWO, "--data", file]);
  await post(server, 300, "said");
  await server.stop();
  const bytes = readFileSync(file);
  bytes.fill(0x5a, 8192, 12288);
  writeFileSync(`${file}.bad`, bytes);
  const before = readFileSync(file);
  const run = await runToEnd(["restore", `${file}.bad`, "--data", file]);
  assert.equal(run.code, 1);
  assert.match(run.stderr, /corrupt/);
  assert.ok(readFileSync(file).equals(before));
  assert.deepEqual(readdirSync(directory).filter((name) => /restoring|replaced/.test(name)), []);
}));
