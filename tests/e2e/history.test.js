// What a room remembers, as a plain browser socket sees it (protocol.md sections 2, 4 and 6, rung 1):
// the newest messages on entering, everything missed after `since`, and never a silent hole, whether
// the past comes from memory or from the file, after a lost connection, a kill -9 or a restart.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Member, Rich } from "./lib/chat.js";
import { request } from "./lib/http.js";
import { CLOSE, Raw, TEXT, closeOf } from "./lib/raw.js";
import { withLives, withServer } from "./lib/server.js";
import { count, limit, ms, until } from "./lib/wait.js";

const TWO = ["--workers", "2", "--rate", "0"];
/** Where the past is read from: all of it from memory as far as it is there, or all from the store. */
const ALL = [...TWO, "--keep-messages", "10000"];
const PATHS = { memory: ALL, store: [...ALL, "--memory-budget", "0"] };

const numbers = (from, to) => Array.from({ length: to - from }, (_, i) => `m${from + i}`);
const textsOf = (messages) => messages.map((m) => m.message);

/** Posts m<from>..m<to - 1> in order; resolves with their acks. */
const post = (rich, from, to) => Promise.all(numbers(from, to).map((message) => rich.say(message)));

const talker = (server, room = "lobby") => Rich.join(server, room, { query: "?username=ann" });
const join1 = (server, query, room = "lobby") => Member.join(server, room, { query });

async function take(member, n, time = ms(10000)) {
  const got = [];
  while (got.length < n) got.push(await member.next(time));
  return got;
}

/** These messages come, in order, as full objects; then only what is live. */
async function expectPast(member, texts, from = member) {
  const got = await take(member, texts.length);
  assert.deepEqual(textsOf(got), texts);
  for (const one of got) assert.equal(one.type, "message");
  for (let i = 1; i < got.length; i++) assert.ok(got[i].seq > got[i - 1].seq, "seq goes up");
  const marker = `live ${Math.random()}`;
  from.say(marker);
  assert.equal((await member.next()).message, marker, "more came than was missed");
  return got;
}

/** As expectPast, without a word to the room. */
async function readPast(server, query, n, room) {
  const member = await join1(server, query, room);
  const got = await take(member, n);
  await member.leave();
  assert.equal(member.waiting, 0, "more came than was asked for");
  return got;
}

/** Everything after since up to this text, in as many connections as the server makes of it (4202). */
async function catchUp(server, since, end) {
  const got = [];
  for (;;) {
    const one = await join1(server, `?since=${got.at(-1)?.id ?? since}`);
    try {
      for (;;) {
        const next = await one.next(ms(20000));
        if (next.message === end) return got;
        got.push(next);
      }
    } catch (error) {
      if (!/closed with 4202/.test(error.message)) throw error;
    } finally {
      one.socket.terminate();
    }
  }
}

for (const [where, args] of Object.entries(PATHS)) {
  test(`?history=n gives the newest n, then what is new (${where})`, limit(30), withServer(args, async (server) => {
    const ann = await talker(server);
    const acks = await post(ann, 0, 60);
    /** @type {[string, number][]} */
    const cases = [["1", 59], ["7", 53], ["60", 0], ["61", 0], ["1000", 0], ["999999999999", 0]];
    for (const [n, from] of cases) {
      const one = await readPast(server, `?history=${n}`, 60 - from);
      assert.deepEqual(textsOf(one), numbers(from, 60), n);
      assert.deepEqual(one.map((m) => [m.id, m.seq, m.ts, m.username, m.room]),
        acks.slice(from).map((a) => [a.id, a.seq, a.ts, "ann", "lobby"]));
    }
    for (const query of ["?history=0", "?history=", "?fields=full", "?since="]) {
      const one = await join1(server, query, "lobby");
      await expectPast(one, [], one);
      await one.leave();
    }
    const nobody = await join1(server, "?history=50", "silent");
    await expectPast(nobody, []);
    await nobody.leave();
    await ann.leave();
  }));

  test(`?since= gives everything after it, once, in order (${where})`, limit(30), withServer(args, async (server) => {
    const ann = await talker(server);
    const acks = await post(ann, 0, 300);
    for (const i of [0, 1, 150, 297, 298, 299]) {
      const one = await readPast(server, `?since=${acks[i].id}`, 299 - i);
      assert.deepEqual(textsOf(one), numbers(i + 1, 300));
    }
    // What is given for a resume is not cut down by a number that is asked for on entering.
    const both = await readPast(server, `?since=${acks[100].id}&history=3`, 199);
    assert.deepEqual(textsOf(both), numbers(101, 300));
    const one = await join1(server, `?since=${acks[289].id}`);
    await post(ann, 300, 310);
    assert.deepEqual(textsOf(await take(one, 20)), numbers(290, 310));
    await Promise.all([one.leave(), ann.leave()]);
  }));

  test(`a room that everybody left remembers (${where})`, limit(30), withServer(args, async (server) => {
    const ann = await talker(server);
    const acks = await post(ann, 0, 20);
    await ann.leave();
    const other = await join1(server, "?fields=full", "elsewhere"); // somebody to see that all is quiet
    const one = await readPast(server, `?since=${acks[4].id}`, 15);
    assert.deepEqual(textsOf(one), numbers(5, 20));
    assert.deepEqual(textsOf(await readPast(server, "?history=2", 2)), numbers(18, 20));
    await other.expectNothing("quiet");
    await other.leave();
  }));

  test(`an id that cannot be resumed gets the newest page (${where})`, limit(30), withServer(args, async (server) => {
    const ann = await talker(server);
    const acks = await post(ann, 0, 80);
    const [epoch, seq] = acks[79].id.split("-");
    const elsewhere = await talker(server, "elsewhere");
    const foreign = (await elsewhere.say("hi")).id;
    const bad = ["garbage", "1", "-", encodeURIComponent("\0ü&%"), foreign, `${epoch}-${Number(seq) + 1}`,
      `${epoch}-9007199254740991`, `${epoch}-9007199254740993`, `${epoch}-007`, `${epoch}-`, `${epoch}-1e1`,
      `${epoch}--1`, "zzzzzzzz-5", "x".repeat(4000), `${epoch}-${seq}%00`];
    for (const since of bad) {
      const one = await readPast(server, `?since=${since}`, 50);
      assert.deepEqual(textsOf(one), numbers(30, 80), since);
    }
    const few = await readPast(server, "?since=garbage&history=3", 3);
    assert.deepEqual(textsOf(few), numbers(77, 80));
    await Promise.all([ann.leave(), elsewhere.leave()]);
  }));

  test(`edits are in place and deleted messages left out, and changes never reach rung 1 (${where})`, limit(30),
    withServer(args, async (server) => {
      const ann = await talker(server);
      const bare = await Member.join(server);
      const full = await join1(server, "?fields=full");
      const acks = await post(ann, 0, 10);
      await take(bare, 10);
      await take(full, 10);
      await ann.get("ack", { type: "edit", id: acks[3].id, message: "edited 3" });
      await ann.get("ack", { type: "edit", id: acks[3].id, message: "edited again" });
      await ann.get("ack", { type: "delete", id: acks[5].id });
      await ann.get("ack", { type: "react", id: acks[3].id, emoji: "👍" });
      await ann.get("ack", { type: "unreact", id: acks[3].id, emoji: "👍" });
      await bare.expectNothing("nothing for the bare one");
      assert.equal((await full.next()).message, "nothing for the bare one");
      const texts = numbers(0, 10);
      texts[3] = "edited again";
      texts.splice(5, 1);
      texts.push("nothing for the bare one");
      const all = await readPast(server, "?history=50", texts.length);
      assert.deepEqual(textsOf(all), texts);
      assert.equal(all[3].id, acks[3].id, "an edited message keeps its place");
      assert.ok(all[3].edited >= all[3].ts, "and says so");
      const since = await readPast(server, `?since=${acks[1].id}`, texts.length - 2);
      assert.deepEqual(textsOf(since), texts.slice(2));
      // The newest n are n messages, whatever changes lie between them.
      assert.deepEqual(textsOf(await readPast(server, "?history=2", 2)), texts.slice(-2));
      // A client whose newest message was deleted goes on from there.
      await ann.get("ack", { type: "delete", id: acks[9].id });
      assert.deepEqual(textsOf(await readPast(server, `?since=${acks[9].id}`, 1)), texts.slice(-1));
      await Promise.all([ann.leave(), bare.leave(), full.leave()]);
    }));

  test(`more than 1,000 missed: the first 1,000, then 4202, and on from there (${where})`, limit(60),
    withServer(args, async (server) => {
      const ann = await talker(server);
      const n = 2500;
      const first = await ann.say("first");
      await post(ann, 0, n);
      let since = first.id;
      const got = [];
      for (const want of [1000, 1000]) {
        const one = await join1(server, `?since=${since}`);
        const part = await take(one, want, ms(20000));
        await one.closesWith(4202);
        assert.equal(one.waiting, 0);
        since = part.at(-1).id;
        got.push(...part);
      }
      const last = await join1(server, `?since=${since}`);
      got.push(...await expectPast(last, numbers(2000, n)));
      assert.deepEqual(textsOf(got), numbers(0, n));
      const exactly = await readPast(server, `?since=${got[n - 1001].id}`, 1001 - 1);
      assert.equal(exactly.length, 1000);
      await Promise.all([ann.leave(), last.leave()]);
    }));

  test(`clients drop and return 50 times while a talker never stops: exactly once (${where})`, limit(60),
    withServer(args, async (server) => {
      const ann = await talker(server);
      let said = 0;
      let talking = true;
      const talk = (async () => {
        while (talking) await post(ann, said, (said += 10));
      })();
      const wanderers = Array.from({ length: 4 }, async (_, who) => {
        const texts = [];
        const known = new Set();
        let last = "";
        for (let i = 0; i < count(50, 15); i++) {
          const one = await join1(server, i ? `?since=${last}` : "?history=1000");
          for (let k = 0; k <= (i * 7 + who) % 13; k++) {
            const got = await one.next(ms(20000));
            last = got.id;
            if (!known.has(got.id)) texts.push(got.message);
            known.add(got.id);
          }
          one.socket.terminate();
        }
        return { last, texts, known };
      });
      const all = await Promise.all(wanderers);
      talking = false;
      await talk;
      await ann.say("the end");
      for (const { last, texts, known } of all) {
        const rest = await catchUp(server, last, "the end");
        texts.push(...textsOf(rest.filter((m) => !known.has(m.id))));
        const from = Number(texts[0].slice(1));
        assert.deepEqual(texts, numbers(from, said));
      }
      await ann.leave();
    }));
}

/** Each way a server's life can end, between the last message seen and the return. */
const ENDS = {
  "a kill -9": (lives, args) => lives.killAndStart(args),
  "a restart": (lives, args) => lives.restart(args),
};

for (const [how, end] of Object.entries(ENDS)) {
  test(`after ${how} a client gets what it missed, and ids go on`, limit(60), withLives(TWO, async (lives) => {
    const before = [];
    let ann = await talker(lives.server);
    const elsewhere = await talker(lives.server, "elsewhere");
    const one = await join1(lives.server, "?fields=full");
    before.push(...await post(ann, 0, 40));
    const seen = await take(one, 20);
    const other = await elsewhere.say("other room");
    await ann.get("ack", { type: "edit", id: before[30].id, message: "edited" });
    await ann.get("ack", { type: "delete", id: before[31].id });
    const texts = numbers(20, 40);
    texts[10] = "edited";
    texts.splice(11, 1);
    for (const args of [TWO, PATHS.store]) {
      await end(lives, args);
      const missed = await readPast(lives.server, `?since=${seen.at(-1).id}`, texts.length);
      assert.deepEqual(textsOf(missed), texts);
      assert.deepEqual(textsOf(await readPast(lives.server, "?history=3", 3)), texts.slice(-3));
      assert.deepEqual(textsOf(await readPast(lives.server, "?history=9", 1, "elsewhere")), ["other room"]);
      ann = await talker(lives.server);
      assert.equal(ann.joined.epoch, before[0].id.split("-")[0], "the log goes on");
      const ack = await ann.say("after");
      assert.ok(ack.seq > Math.max(...before.map((a) => a.seq)), `seq ${ack.seq}`);
      assert.ok(!before.some((a) => a.id === ack.id));
      texts.push("after");
      before.push(ack);
      // Whoever had everything has nothing to catch up with.
      assert.deepEqual(await readPast(lives.server, `?since=${ack.id}`, 0), []);
    }
    assert.notEqual(other.id.split("-")[0], before[0].id.split("-")[0], "each room has an epoch of its own");
  }));
}

/** A room of which nothing was committed has another epoch. */
const isLater = (a, b) => a.seq > b.seq || a.id.split("-")[0] !== b.id.split("-")[0];

test("what was seen but never committed is not resumed as something else after kill -9", limit(60),
  withLives(TWO, async (lives) => {
    for (let round = 0; round < count(6, 3); round++) {
      const ann = await talker(lives.server);
      const one = await join1(lives.server, "?fields=full");
      const seen = [];
      one.socket.on("message", (data) => seen.push(JSON.parse(data)));
      for (let i = 0; i < 500; i++) ann.send({ message: `round ${round} m${i}` });
      await until(ms(10000), () => seen.length > 10 + round * 40, "some delivered");
      await lives.killAndStart();
      await one.closed; // now it has seen everything
      const last = seen.at(-1);
      const back = await join1(lives.server, `?since=${last.id}`);
      back.say("back", { username: "bob" });
      const known = new Set(seen.map((m) => m.id));
      let before = last;
      let next = await back.next();
      for (; next.message !== "back"; next = await back.next()) { // committed, but not delivered yet
        assert.ok(next.message.startsWith(`round ${round} m`), `not "${next.message}" of before`);
        assert.ok(!known.has(next.id) && isLater(next, before), `${next.id} after ${before.id}`);
        before = next;
      }
      assert.ok(!known.has(next.id) && isLater(next, before), `${next.id} after ${before.id}`);
      await back.leave();
    }
  }));

test("ids are unique over rooms", limit(20), withServer(TWO, async (server) => {
  const rooms = await Promise.all(Array.from({ length: 20 }, (_, i) => talker(server, `room-${i}`)));
  const acks = (await Promise.all(rooms.map((rich) => post(rich, 0, 5)))).flat();
  assert.equal(new Set(acks.map((a) => a.id)).size, 100);
  assert.equal(new Set(acks.map((a) => a.id.split("-")[0])).size, 20, "an epoch for each");
  await Promise.all(rooms.map((rich) => rich.leave()));
}));

test("bare clients get nothing of all this", limit(30), withLives(TWO, async (lives) => {
  const ann = await talker(lives.server);
  await post(ann, 0, 10);
  const bare = await Member.join(lives.server, "lobby", { query: "?username=bob" });
  const { id } = await ann.say("live");
  assert.equal(await bare.nextText(), '{"message":"live","username":"ann"}');
  await ann.get("ack", { type: "edit", id, message: "changed" });
  await ann.get("ack", { type: "react", id, emoji: "👍" });
  await ann.send({ type: "typing" });
  await ann.get("ack", { type: "delete", id });
  const others = await Promise.all([1, 2, 3].map(() => talker(lives.server)));
  await Promise.all(others.map((rich) => rich.leave()));
  await bare.expectNothing("still bare");
  await lives.restart();
  const again = await Member.join(lives.server);
  await again.expectNothing("nothing of the past");
  await again.leave();
}));

test("a history that is no number is refused before the upgrade", limit(20), withServer(TWO, async (server) => {
  const headers = { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==" };
  for (const value of ["-1", "1.5", "ten", "1x", "%00", "0x10", "+1"]) {
    const answer = await request(server.port, "GET", `/ws/chat/lobby/?history=${value}`, headers);
    assert.equal(answer.status, 400, value);
    assert.equal(answer.json.error.code, "bad_field", value);
  }
}));

test("older than what is kept: the newest page; the rest is gone", limit(60),
  withLives([...TWO, "--keep-messages", "100"], async (lives) => {
    const ann = await talker(lives.server);
    const acks = await post(ann, 0, 500);
    const one = await readPast(lives.server, `?since=${acks[449].id}`, 50);
    assert.deepEqual(textsOf(one), numbers(450, 500));
    const trimmed = async () => (await lives.server.metric(/^parlor_store_trimmed_total$/)) >= 400;
    await until(ms(20000), trimmed, "the oldest trimmed");
    for (let life = 0; life < 2; life++) {
      const old = await readPast(lives.server, `?since=${acks[10].id}`, 50);
      assert.deepEqual(textsOf(old), numbers(450, 500));
      const kept = await readPast(lives.server, "?history=1000", 100);
      assert.deepEqual(textsOf(kept), numbers(400, 500));
      const inside = await readPast(lives.server, `?since=${acks[405].id}`, 94);
      assert.deepEqual(textsOf(inside), numbers(406, 500));
      if (life === 0) await lives.killAndStart(PATHS.store.concat("--keep-messages", "100"));
    }
  }));

/** As much as the kernel takes for a peer that does not read (see robust.test.js). */
const KERNEL_HOLDS = (2 << 20) +
  Number(readFileSync("/proc/sys/net/ipv4/tcp_wmem", "utf8").trim().split(/\s+/)[2]);

test("a slow reader that was closed with 4202 comes back and misses nothing", limit(60),
  withServer([...TWO, "--lag-max-bytes", "512k"], async (server) => {
    const ann = await talker(server);
    const slow = await Raw.open(server.port, "/ws/chat/lobby/?fields=full");
    slow.socket.pause();
    const n = Math.ceil((KERNEL_HOLDS + (4 << 20)) / 16000);
    const texts = numbers(0, n).map((m) => m.padEnd(16000, "."));
    // Read at once then: the server does not wait longer than 10 s for its last bytes to be taken.
    const resumed = until(ms(40000), async () => (await server.metric(/^parlor_lag_closes_total$/)) === 1, "the lag close")
      .then(() => slow.socket.resume());
    resumed.catch(() => {}); // waited for below
    for (let from = 0; from < n; from += 16)
      await Promise.all(texts.slice(from, from + 16).map((message) => ann.say(message)));
    await resumed;
    const got = [];
    for (;;) {
      const frame = await slow.next(ms(20000));
      if (frame.opcode === CLOSE) {
        assert.equal(closeOf(frame.payload).code, 4202);
        break;
      }
      assert.equal(frame.opcode, TEXT);
      got.push(JSON.parse(frame.payload.toString()));
    }
    slow.destroy();
    assert.ok(got.length > 0 && got.length < n, `${got.length} of ${n}`);
    // It reads at its own pace now: the whole past is longer than it may lag behind the room.
    const back = await join1(server, `?since=${got.at(-1).id}`);
    got.push(...await take(back, n - got.length, ms(20000)));
    assert.ok(textsOf(got).every((message, i) => message === texts[i]), "order and content");
    await Promise.all([back.leave(), ann.leave()]);
  }));
