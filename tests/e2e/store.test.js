// The file behind the rooms: what is wrong with it at the start, what happens when the disk is full or
// somebody else has locked it, what each --durability promises, and what retention takes away.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, closeSync, fstatSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync,
  writeSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { LOGGED, Member, Rich } from "./lib/chat.js";
import { request } from "./lib/http.js";
import { CLOSE, Raw, closeOf } from "./lib/raw.js";
import { freePort, runToEnd, startServer, withDirectory, withLives, withServer } from "./lib/server.js";
import { count, limit, ms, pause, until, within } from "./lib/wait.js";

const TWO = ["--workers", "2", "--rate", "0"];
const STRICT = [...TWO, "--durability", "strict"];

const named = (server, name, room = "lobby", query = "") =>
  Rich.join(server, room, { query: `?username=${name}${query}` });
const numbers = (from, to) => Array.from({ length: to - from }, (_, i) => `m${from + i}`);
const post = (rich, from, to) => Promise.all(numbers(from, to).map((message) => rich.say(message)));
const textsOf = (messages) => messages.map((m) => m.message);
const readiness = async (server) => (await request(server.port, "GET", "/readyz")).status;

/** The whole room as it is kept, oldest first. */
async function transcript(server, room = "lobby") {
  const reader = await Rich.join(server, room);
  const all = [];
  for (let more = true, before; more;) {
    const page = await reader.get("history", { type: "history", limit: 200, ...(before && { before }) });
    all.unshift(...page.messages);
    ({ more } = page);
    before = all[0]?.id;
  }
  await reader.leave();
  return all;
}

/** SQL on the file from another process, an implementation that is not ours; resolves once it is done. */
const sql = (file, statements) =>
  execFileSync("python3", ["-c", "import sqlite3, sys\nsqlite3.connect(sys.argv[1]).executescript(sys.argv[2])",
    file, statements]);

/** Holds the file locked until release() is called. */
async function locked(file) {
  const script = ["import sqlite3, sys", "db = sqlite3.connect(sys.argv[1], isolation_level=None)",
    'db.execute("BEGIN EXCLUSIVE")', 'print("locked", flush=True)', "sys.stdin.readline()", 'db.execute("ROLLBACK")'];
  const child = spawn("python3", ["-c", script.join("\n"), file], { stdio: ["pipe", "pipe", "inherit"] });
  const gone = new Promise((resolve) => child.once("close", resolve));
  await within(ms(10000), new Promise((resolve) => child.stdout.once("data", resolve)), "lock");
  return async () => {
    child.stdin.end("\n");
    await gone;
  };
}

/** The server refuses to start on this file, with code 1 and one line that says why. */
async function refuses(file, why, options) {
  const port = await freePort();
  const run = await runToEnd(["--listen", `127.0.0.1:${port}`, "--data", file], {}, options);
  assert.deepEqual([run.code, run.signal], [1, null], run.stderr);
  const errors = run.stderr.trim().split("\n").filter((line) => !line.includes("file_limit"));
  assert.equal(errors.length, 1, run.stderr);
  assert.match(errors[0], why);
  assert.ok(errors[0].includes(file), `${errors[0]} names the file`);
}

test("what is wrong with the file is said at the start, in one line", limit(60), async (t) => {
  await withDirectory(async (directory) => {
    const at = (name) => path.join(directory, name);
    await t.test("no such directory", () => refuses(at("missing/parlor.db"), /directory does not exist/));
    await t.test("a directory", () => refuses(directory, /is a directory/));
    await t.test("a device", () => refuses("/dev/null", /not a regular file/));
    await t.test("not a database", async () => {
      writeFileSync(at("text"), "no database at all\n".repeat(1000));
      const before = readFileSync(at("text"));
      await refuses(at("text"), /not an SQLite database/);
      assert.ok(readFileSync(at("text")).equals(before), "it was left alone");
    });
    await t.test("of another program", async () => {
      sql(at("other.db"), "CREATE TABLE precious(x); INSERT INTO precious VALUES(1)");
      const before = readFileSync(at("other.db"));
      await refuses(at("other.db"), /another program/);
      assert.ok(readFileSync(at("other.db")).equals(before), "it was left alone");
    });
    await t.test("of a newer version", async () => {
      const server = await startServer(["--data", at("newer.db")]);
      await server.stop();
      sql(at("newer.db"), "PRAGMA user_version=1000");
      await refuses(at("newer.db"), /newer/);
    });
    await t.test("corrupt", async () => {
      const server = await startServer(["--data", at("corrupt.db")]);
      await server.stop();
      const bytes = readFileSync(at("corrupt.db"));
      bytes.fill(0xa5, 100); // the header stays
      writeFileSync(at("corrupt.db"), bytes);
      await refuses(at("corrupt.db"), /corrupt/);
    });
    await t.test("in use by another server", async () => {
      const server = await startServer(["--data", at("used.db")]);
      await refuses(at("used.db"), /in use by another Parlor/);
      const ann = await named(server, "ann");
      await ann.say("the first one is not disturbed");
      await ann.leave();
      await server.stop();
    });
    await t.test("locked by another process", async () => {
      const server = await startServer(["--data", at("locked.db")]);
      await server.stop();
      const release = await locked(at("locked.db"));
      await refuses(at("locked.db"), /locked by another process/);
      await release();
    });
    await t.test("no permission", async (sub) => {
      mkdirSync(at("closed"));
      chmodSync(directory, 0o755);
      chmodSync(at("closed"), 0o555);
      // Permissions are nothing to root, who runs tests in containers: then as somebody else.
      const options = process.getuid() === 0 ? { uid: 65534, gid: 65534 } : {};
      try {
        await refuses(at("closed/parlor.db"), /permission/, options);
      } catch (error) {
        if (error.code !== "EACCES") throw error;
        sub.skip("nobody may run the binary where it is");
      }
    });
  });
});

test("a plain name is in systemd's state directory if there is one; the file is its owner's alone", limit(20),
  () => withDirectory(async (directory) => {
    const server = await startServer(["--data", "chat.db"], { env: { STATE_DIRECTORY: directory } });
    await server.stop();
    assert.equal(statSync(path.join(directory, "chat.db")).mode & 0o777, 0o600);
  }));

test(":memory: keeps the newest 1000 of a room", limit(20), withServer(TWO, async (server) => {
  const ann = await named(server, "ann");
  await post(ann, 0, 1100);
  await ann.leave();
  const texts = await until(ms(10000), async () => {
    const all = textsOf(await transcript(server));
    return all.length <= 1000 && all;
  }, "the rest is gone");
  assert.deepEqual(texts, numbers(100, 1100));
}));

test(":memory: forgets; old ids are noticed", limit(20), withServer(TWO, async (server) => {
  const ann = await named(server, "ann");
  const acks = await post(ann, 0, 10);
  await server.stop();
  const next = await startServer([...TWO], { port: server.port });
  try {
    const bob = await named(next, "bob", "lobby", `&since=${acks[5].id}`);
    assert.deepEqual([bob.joined.recovered, bob.joined.replayed, bob.joined.seq], [false, 0, 0]);
    assert.notEqual(bob.joined.epoch, ann.joined.epoch);
    const plain = await Member.join(next, "lobby", { query: `?since=${acks[5].id}` });
    const fresh = await bob.say("anew");
    assert.equal((await plain.next()).id, fresh.id);
    assert.ok(acks.every((a) => a.id !== fresh.id), "not even a seq of before is an id of before");
    await bob.leave();
  } finally {
    await next.stop();
  }
}));

for (const args of [TWO, STRICT, [...TWO, "--durability", "relaxed"]]) {
  const durability = args.at(-1) === "0" ? "commit" : args.at(-1);
  test(`what was acked is there after kill -9 (${durability})`, limit(60), withLives(args, async (lives) => {
    const acked = [];
    for (let round = 0; round < count(5, 2); round++) {
      const ann = await named(lives.server, "ann");
      const talk = numbers(0, 2000).map((m) => ann.say(`${round} ${m}`).then((ack) => acked.push([ack.id, `${round} ${m}`])));
      const settled = Promise.allSettled(talk);
      await until(ms(10000), () => acked.length >= 100 * (round + 1), "some acks");
      await lives.killAndStart();
      await settled;
    }
    const kept = new Map((await transcript(lives.server)).map((m) => [m.id, m.message]));
    for (const [id, message] of acked) assert.equal(kept.get(id), message, "an acked message");
  }));
}

test("strict: what any member has received is there after kill -9", limit(60), withLives(STRICT, async (lives) => {
  const seen = [];
  for (let round = 0; round < count(8, 3); round++) {
    const speakers = [await named(lives.server, "ann"), await named(lives.server, "bob")];
    const members = [...speakers, await Member.join(lives.server, "lobby", { query: "?fields=full" })];
    let fresh = 0;
    for (const member of members)
      member.socket.on("message", (data) => {
        const frame = JSON.parse(data);
        if (frame.type === "message") seen.push(frame), fresh++;
      });
    for (let i = 0; i < 1000; i++) speakers[i % 2].send({ message: `${round} m${i}` });
    await until(ms(10000), () => fresh > 100 * (round + 1), "some received");
    await lives.killAndStart();
    await Promise.all(members.map((m) => m.closed));
  }
  const kept = new Map((await transcript(lives.server)).map((m) => [m.id, m]));
  for (const message of seen) assert.deepEqual(kept.get(message.id), message, "received, and not kept");
}));

const limitFiles = (server, bytes) => execFileSync("prlimit", ["--pid", String(server.pid), `--fsize=${bytes}:`]);

for (const [durability, args] of [["commit", TWO], ["strict", STRICT]]) {
  test(`a full disk: refused, not lost, and over by itself (${durability})`, limit(60), withLives(args, async (lives) => {
    const { server } = lives;
    const ann = await named(server, "ann");
    const bob = await named(server, "bob");
    const plain = await Member.join(server, "lobby", { query: "?fields=full" });
    const other = await named(server, "cid", "idle");
    const acked = (await post(ann, 0, 50)).map((ack, i) => [ack.id, `m${i}`]);
    const refused = [];
    for (let outage = 0; outage < 2; outage++) {
      assert.equal(await readiness(server), 200);
      limitFiles(server, 4096); // no file can grow, nor be written but at its beginning
      const answers = await Promise.all(Array.from({ length: 20 }, (_, i) =>
        ann.ask({ message: `full ${outage} ${i}`, nonce: `o${outage} ${i}` })));
      for (const [i, answer] of answers.entries()) {
        assert.deepEqual([answer.type, answer.code, answer.temporary], ["error", "unavailable", true]);
        refused.push(`full ${outage} ${i}`);
      }
      await until(ms(5000), async () => (await readiness(server)) === 503, "readiness goes red");
      await other.refused("unavailable", { message: "in another room" });
      const degraded = (await request(server.port, "GET", "/readyz")).text;
      const [, since, refusals, whose] =
        /^the store fails since (\d{4}-\S+Z) \(\d+ s\): (\d+) refused, of them (.*)$/m.exec(degraded) ?? [];
      assert.match(whose, /^2[1-5] messages in 2 rooms from 1 clients$/);
      assert.ok(Math.abs(Date.parse(since) - Date.now()) < ms(60000), degraded);
      assert.ok(Number(refusals) >= 21 && Number(refusals) <= 25, degraded);
      plain.say("from rung 1", { username: "dora" });
      await until(ms(5000), async () => (await plain.next()).error?.code === "unavailable", "a refusal on rung 1");
      // What is there can still be read, and what was refused is not in it.
      const page = await bob.get("history", { type: "history", limit: 200 });
      assert.deepEqual(textsOf(page.messages), acked.map(([, text]) => text));
      const back = await Member.join(server, "lobby", { query: `?since=${acked[10][0]}` });
      for (const [id, text] of acked.slice(11)) {
        const got = await back.next();
        assert.deepEqual([got.id, got.message], [id, text]);
      }
      await back.leave();
      assert.equal(back.waiting, 0);
      limitFiles(server, "unlimited");
      await until(ms(15000), async () => (await readiness(server)) === 200, "recovery by itself");
      // The sender tries again, with the same nonce: it was never posted.
      const again = await ann.say(`full ${outage} 0 again`, { nonce: `o${outage} 0` });
      assert.equal(again.dup, false);
      acked.push([again.id, `full ${outage} 0 again`]);
      acked.push(...(await post(ann, 100, 110)).map((ack, i) => [ack.id, `m${100 + i}`]));
    }
    assert.equal(new Set(acked.map(([id]) => id)).size, acked.length, "an id twice");
    if (durability === "strict") {
      await bob.settled();
      const got = await bob.take(bob.unread(LOGGED).length);
      assert.deepEqual(got.map((m) => [m.id, m.message]), acked, "nobody has seen what was refused");
    }
    assert.match(server.stderr, /store_failed/);
    const ends = / store_recovered .* since=(\S+Z) after_ms=(\d+) refused=(\d+) messages=(\d+) rooms=2 clients=1$/gm;
    for (const [, since, afterMs, lost, messages] of server.stderr.matchAll(ends)) {
      assert.ok(Number(afterMs) > 0 && lost >= 22 && lost < 30 && messages >= 22 && messages <= lost, server.stderr);
      assert.ok(Math.abs(Date.parse(since) - Date.now()) < ms(60000), since);
    }
    assert.equal(server.stderr.match(ends)?.length, 2, server.stderr);
    assert.doesNotMatch(server.stderr, /lobby|store_refused/, "no names at this level");
    assert.equal(server.stderr.match(/ store_recovered .* refused=/g).length, 2);
    assert.ok(server.stderr.split("\n").filter((line) => line.includes("store_failed")).length <= 4, "told once each");
    await lives.killAndStart();
    const kept = await transcript(lives.server);
    assert.deepEqual(kept.map((m) => [m.id, m.message]), acked);
    assert.ok(!kept.some((m) => refused.includes(m.message)));
  }));
}

test("a disk that fills up in the middle of a lot of traffic, again and again", limit(60),
  withLives(TWO, async (lives) => {
    const talkers = await Promise.all([1, 2, 3, 4].map((i) => named(lives.server, `t${i}`, `room-${i % 2}`)));
    const acked = new Map();
    let talking = true;
    const talk = talkers.map(async (talker, who) => {
      for (let i = 0; talking; i++) {
        const texts = Array.from({ length: 20 }, (_, k) => `${who} ${i} ${k}`);
        const answers = await Promise.all(texts.map((message) => talker.ask({ message })));
        for (const [k, answer] of answers.entries()) {
          if (answer.type === "ack") acked.set(`${answer.room} ${answer.id}`, texts[k]);
          else assert.equal(answer.code, "unavailable");
        }
        if (answers.some((a) => a.type === "error")) {
          await talker.settled(); // an answer that is none of the refusals over and over
          await pause(20);
        }
      }
    });
    const all = Promise.all(talk);
    for (let outage = 0; outage < 4; outage++) {
      const before = acked.size;
      await within(ms(20000), Promise.race([all, until(ms(20000), () => acked.size > before + 500, "traffic")]), "traffic");
      limitFiles(lives.server, 4096 + outage * 300000);
      await until(ms(10000), async () => (await readiness(lives.server)) === 503, "failure");
      limitFiles(lives.server, "unlimited");
      await until(ms(15000), async () => (await readiness(lives.server)) === 200, "recovery");
    }
    talking = false;
    await all;
    await lives.killAndStart();
    const kept = new Map();
    for (const room of ["room-0", "room-1"])
      for (const m of await transcript(lives.server, room)) kept.set(`${room} ${m.id}`, m.message);
    for (const [id, text] of acked) assert.equal(kept.get(id), text, "an acked message");
    assert.equal(kept.size, acked.size, "and nothing that was refused");
  }));

test("another process locks the database: for a moment, and for longer", limit(60), withLives(TWO, async (lives) => {
  const { server } = lives;
  const ann = await named(server, "ann");
  const acked = (await post(ann, 0, 20)).map((ack) => ack.id);
  // Shorter than the server waits for it: acks are late, that is all.
  let release = await locked(lives.file);
  let answered = false;
  const late = ann.say("late").finally(() => (answered = true));
  await until(ms(5000), async () => (await server.metric(/^parlor_store_in_flight$/)) === 1, "a commit that waits");
  assert.equal(answered, false, "acked before it was committed");
  await release();
  acked.push((await late).id);
  assert.equal(await readiness(server), 200);
  // Longer: refused, until it is over.
  release = await locked(lives.file);
  const answer = await ann.ask({ message: "refused" }, ms(20000));
  assert.deepEqual([answer.type, answer.code], ["error", "unavailable"]);
  assert.equal((await ann.refused("unavailable", { type: "read", id: acked[9] })).temporary, true);
  assert.equal(await readiness(server), 503);
  const { messages } = await ann.get("history", { type: "history" });
  assert.deepEqual(messages.map((m) => m.id), acked);
  assert.match(server.stderr, /store_failed.*locked/);
  await release();
  await until(ms(20000), async () => (await readiness(server)) === 200, "recovery by itself");
  acked.push((await ann.say("after")).id);
  const again = (on) => Rich.join(on, "lobby", { guest: ann.key });
  assert.equal("read" in (await again(server)).joined, false, "what was refused moved nothing");
  await ann.get("ack", { type: "read", id: acked[9] });
  await lives.killAndStart();
  assert.deepEqual((await transcript(lives.server)).map((m) => m.id), acked);
  assert.equal((await again(lives.server)).joined.read, acked[9]);
}));

test("more read markers than can be stored: refused, counted, logged, and told by /readyz", limit(120), withLives(TWO, async (lives) => {
  const { server } = lives;
  const ann = await named(server, "ann");
  const [first] = (await post(ann, 0, 1)).map((ack) => ack.id);
  const refused = () => server.metric(/^parlor_store_refused_total$/);
  assert.equal(await refused(), 0);
  // The server gives a lock up after two seconds; on a slow machine one may not be enough.
  for (let tries = 0; tries < 9 && (await refused()) === 0; tries++) {
    const release = await locked(lives.file);
    for (let i = 0; i < 18000; i++) ann.send({ type: "read", id: first });
    await until(ms(20000), async () => (await refused()) > 0 || (await readiness(server)) === 503, "a full queue");
    await release();
    await until(ms(20000), async () => (await readiness(server)) === 200, "recovery");
  }
  assert.ok((await refused()) > 0);
  await server.says(/warn +store_busy/, ms(5000));
  assert.match((await request(server.port, "GET", "/readyz")).body.toString(), /^ready, but more came than could be stored: \d+ messages/);
  assert.equal((await ann.say("after")).type, "ack");
}));

test("a file that breaks while a client is given its past: closed with 1013, not left with a hole", limit(60),
  withLives([...TWO, "--memory-budget", "0"], async (lives) => {
    const ann = await Rich.join(lives.server, "lobby", { query: "?username=ann" });
    const first = await ann.say("first");
    for (let i = 0; i < 9; i++) await Promise.all(Array.from({ length: 100 }, () => ann.say("x".repeat(16000))));
    await ann.leave();
    await lives.restart();
    const raw = await Raw.open(lives.server.port, `/ws/chat/lobby/?since=${first.id}`,
      { headers: { "Sec-WebSocket-Protocol": "parlor.v1" } });
    raw.socket.pause();
    for (let reads = 0, last = -1; reads !== last; await pause(ms(200))) // until its socket takes no more
      [last, reads] = [reads, await lives.server.metric(/^parlor_store_reads_total/)];
    const file = openSync(lives.file, "r+");
    const { size } = fstatSync(file);
    writeSync(file, Buffer.alloc(size - 65536), 0, size - 65536, 65536);
    closeSync(file);
    raw.socket.resume();
    const got = [];
    let frame;
    while ((frame = await raw.next()).opcode !== CLOSE) got.push(JSON.parse(frame.payload.toString()));
    assert.equal(closeOf(frame.payload).code, 1013);
    const types = got.map((f) => f.type);
    assert.ok(types.includes("joined") && !types.includes("error"), `${new Set(types)}`);
    assert.ok(got.length < 900, "the file was read before it broke");
    raw.destroy();
  }));

test("retention by age: what is too old is given to nobody, and is removed", limit(60),
  withLives([...TWO, "--keep-age", "2s"], async (lives) => {
    const ann = await named(lives.server, "ann");
    const acks = await post(ann, 0, 20);
    await until(ms(20000), async () =>
      (await ann.get("history", { type: "history" })).messages.length === 0, "all gone");
    await until(ms(5000), async () => (await lives.server.metric(/^parlor_store_trimmed_total$/)) === 20, "20 counted");
    const back = await named(lives.server, "bob", "lobby", `&since=${acks[5].id}`);
    assert.deepEqual([back.joined.recovered, back.joined.replayed], [false, 0]);
    const head = await named(lives.server, "cid", "lobby", `&since=${acks[19].id}`);
    assert.deepEqual([head.joined.recovered, head.joined.replayed], [true, 0], "it had everything");
    const next = await ann.say("new");
    assert.ok(next.seq > acks[19].seq, "an empty room goes on");
    assert.equal((await back.next("message")).id, next.id);
    await lives.restart();
    const { joined } = await named(lives.server, "ann"); // on a slow machine nothing was left by then
    assert.ok(joined.epoch !== ann.joined.epoch || joined.seq >= next.seq, `${joined.epoch}-${joined.seq}`);
  }));

test("retention by bytes: the newest are kept", limit(60), withLives([...TWO, "--keep-bytes", "20k"], async (lives) => {
  const ann = await named(lives.server, "ann");
  for (let i = 0; i < 100; i++) await ann.say(`m${i} `.padEnd(1000, "."));
  const kept = async () => textsOf((await ann.get("history", { type: "history", limit: 200 })).messages);
  await until(ms(20000), async () => (await kept()).length <= 20, "trimmed");
  const texts = await kept();
  assert.ok(texts.length >= 15, `${texts.length} are kept`);
  assert.ok(texts.at(-1).startsWith("m99 "));
  texts.forEach((text, i) => assert.ok(text.startsWith(`m${100 - texts.length + i} `)));
  await ann.leave();
}));
