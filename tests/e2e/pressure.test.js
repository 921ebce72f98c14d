// Memory and the disk under clients that ask for much and read nothing: what they pin is bounded, each
// of them and all together; whoever does read gets everything, complete and in order; and one address
// that asks and asks does not keep others out.
import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
import { Member, Rich } from "./lib/chat.js";
import { NO_PROXIES } from "./lib/clients.js";
import { HttpConnection, request } from "./lib/http.js";
import { RICH, handshake, jsonText } from "./lib/raw.js";
import { NO_SLACK, startServer, withDirectory, withLives, withServer } from "./lib/server.js";
import { SANITIZED, count, limit, ms, pause, until, within } from "./lib/wait.js";

const MIB = 1 << 20;
const TWO = ["--workers", "2", "--rate", "0"];
const ATTACKER = "127.0.0.66";

/** The worst that a text can be: each byte becomes six, or two, in JSON. */
const worst = (i, bytes) => `${i}:`.padEnd(bytes, i % 3 ? "\u0001" : '"\u0002\\');

/** A socket that sends this and never reads; from another address if that is wanted. */
async function mute(server, bytes, localAddress) {
  const socket = net.connect({ host: "127.0.0.1", port: server.port, localAddress });
  socket.on("error", () => {});
  await within(ms(20000), new Promise((resolve) => {
    socket.once("connect", resolve);
    socket.once("close", resolve);
  }), "TCP connection");
  socket.pause();
  socket.write(bytes);
  return socket;
}

/** Rooms r0, r1, ... with so many of the worst texts, as they lie in the file. */
async function fillRooms(lives, rooms, messages, bytes) {
  const anns = await Promise.all(Array.from({ length: rooms }, (_, i) =>
    Rich.join(lives.server, `r${i}`, { query: "?username=ann" })));
  for (const ann of anns) {
    ann.frames.push = () => 0; // they are many, and nobody looks at them
    for (let i = 0; i < messages; i += 10) // so few that ann, however slow, is never behind by lag-max-bytes
      await Promise.all(Array.from({ length: Math.min(10, messages - i) }, (_, k) => ann.say(worst(i + k, bytes))));
  }
  await Promise.all(anns.map((ann) => ann.leave()));
}

/** A life of its own for what follows: nothing of the filling is in memory. */
/** @param {Record<string, string>} env */
async function begin(lives, args, env = NO_SLACK) {
  await lives.server.stop();
  lives.server = await startServer(["--data", lives.file, ...args], { port: lives.port, env });
  return lives.server;
}

const handshakes = (server) => server.metric(/^parlor_http_requests_total\{status="101"\}$/);

test("a hundred that ask for a thousand messages and never read pin little, together within the budget",
  limit(180), withLives(TWO, async (lives) => {
    const sockets = 100;
    await fillRooms(lives, 10, 130, 10000);
    const server = await begin(lives, [...TWO, "--memory-budget", "64m"]);
    const before = server.residentBytes();
    const all = await Promise.all(Array.from({ length: sockets }, (_, i) =>
      mute(server, handshake(`/ws/chat/r${i % 10}/?history=1000`))));
    await until(ms(60000), async () => (await handshakes(server)) === sockets, "all of them in");
    let most = 0;
    for (let i = 0; i < 20; i++) {
      await pause(100);
      most = Math.max(most, server.residentBytes() - before);
    }
    const counted = await server.metric(/^parlor_memory_bytes$/);
    // A reader of its own still gets all that there is, from the store.
    const one = await Member.join(server, "r3", { query: "?history=1000" });
    const got = [];
    while (got.at(-1)?.message !== worst(129, 10000)) got.push(await one.next(ms(30000)));
    assert.deepEqual(got.map((m) => m.message), Array.from(got, (_, i) => worst(130 - got.length + i, 10000)));
    assert.ok(got.length > 80, `${got.length} of 130`);
    assert.ok(counted <= 64 * MIB, `${counted} counted`);
    if (!SANITIZED) assert.ok(most < 96 * MIB, `${(most / MIB).toFixed(1)} MiB more`);
    await one.leave();
    for (const socket of all) socket.destroy();
  }));

test("a rich socket that enters rooms and asks for pages and never reads pins no more than it may lag",
  limit(180), withLives(TWO, async (lives) => {
    await fillRooms(lives, 8, 130, 10000);
    const server = await begin(lives, [...TWO, "--memory-budget", "64m", "--workers", "1"]);
    const before = server.residentBytes();
    const socket = await mute(server, handshake("/ws/chat/r0/?history=1000", RICH));
    await until(ms(20000), async () => (await handshakes(server)) === 1, "the handshake");
    for (let i = 1; i < 8; i++) socket.write(jsonText({ type: "join", room: `r${i}`, history: 1000, ref: i }));
    for (let i = 0; i < 200; i++) socket.write(jsonText({ type: "history", room: "r0", limit: 200, ref: 100 + i }));
    let most = 0;
    for (let i = 0; i < 20; i++) {
      await pause(100);
      most = Math.max(most, server.residentBytes() - before);
    }
    // Eight pasts of half a MiB, which anybody may share, what is on its way to this one, and what any
    // server needs once it has read from its file.
    if (!SANITIZED) assert.ok(most < 24 * MIB, `${(most / MIB).toFixed(1)} MiB more`);
    socket.destroy();
  }));

for (const [how, args] of Object.entries({ memory: TWO, store: [...TWO, "--memory-budget", "0"] })) {
  test(`who reads slowly gets its past whole and in order, then what is new (${how})`, limit(120),
    withLives(TWO, async (lives) => {
      await fillRooms(lives, 1, 400, 2000);
      const server = await begin(lives, args, {});
      const texts = Array.from({ length: 400 }, (_, i) => worst(i, 2000));
      const live = Array.from({ length: 30 }, (_, i) => `live ${i}`);
      const ann = await Rich.join(server, "r0", { query: "?username=bob" });
      const bare = await Member.join(server, "r0", { query: "?history=1000" });
      const rich = await Rich.open(server, "r0", { query: "?history=1000" });
      const slow = [bare, rich].map((who) => {
        const timer = setInterval(() => {
          who.socket.pause();
          setTimeout(() => who.socket.readyState === 1 && who.socket.resume(), 20);
        }, 25);
        return () => clearInterval(timer);
      });
      for (const one of live) await ann.say(one);
      const got = [];
      while (got.at(-1) !== live.at(-1)) got.push((await bare.next(ms(30000))).message);
      assert.deepEqual(got, [...texts, ...live].slice(-got.length));
      assert.ok(got.length >= 400, `${got.length}`);
      const joined = await rich.next("joined", ms(30000));
      const past = await rich.take(joined.replayed, "message", ms(30000));
      assert.equal(joined.replayed >= 370, true, `${joined.replayed}`);
      const rest = await rich.take(live.length - (past.some((m) => m.message === "live 0") ? live.length : 0), "message", ms(30000));
      const all = [...past, ...rest].map((m) => m.message);
      assert.deepEqual(all, [...texts, ...live].slice(-all.length));
      for (const stop of slow) stop();
      await Promise.all([rich.cut(), ann.cut(), bare.socket.terminate()]);
    }));
}

test("a page of history that is too long is shorter, says so, and nothing is left out", limit(120),
  withLives(TWO, async (lives) => {
    await fillRooms(lives, 1, 60, 10000);
    const ann = await Rich.join(lives.server, "r0");
    const texts = Array.from({ length: 60 }, (_, i) => worst(i, 10000));
    let before;
    const got = [];
    for (;;) {
      const page = await ann.get("history", { type: "history", limit: 200, before }, ms(20000));
      const bytes = JSON.stringify(page).length;
      assert.ok(bytes < 256 * 1024, `a page of ${bytes}`);
      assert.ok(page.messages.length > 0);
      got.unshift(...page.messages);
      before = got[0].id;
      if (!page.more) break;
    }
    assert.deepEqual(got.map((m) => m.message), texts);
    let after = got[0].id;
    const forward = [got[0]];
    for (let more = true; more;) {
      const page = await ann.get("history", { type: "history", limit: 200, after }, ms(20000));
      forward.push(...page.messages);
      after = forward.at(-1).id;
      ({ more } = page);
    }
    assert.deepEqual(forward.map((m) => m.message), texts);
    const around = await ann.get("history", { type: "history", limit: 50, around: got[30].id }, ms(20000));
    assert.ok(around.messages.some((m) => m.id === got[30].id));
    assert.equal(around.more, true);
    await ann.leave();
  }));

test("while memory is short, who is behind is closed, and others get what they ask for", limit(180),
  withLives(TWO, async (lives) => {
    await fillRooms(lives, 2, 130, 10000);
    // Who never reads answers no ping either, and is to be closed for being behind.
    const server = await begin(lives, [...TWO, "--memory-budget", "1m", "--ping-interval", "60m"]);
    const before = server.residentBytes();
    const all = [];
    for (let i = 0; i < count(150, 100); i++) all.push(await mute(server, handshake(`/ws/chat/r${i & 1}/?history=1000`), ATTACKER));
    const closes = () => server.metric(/^parlor_lag_closes_total$/);
    await until(ms(60000), async () => (await closes()) > 10, "some closed");
    const one = await Member.join(server, "r0", { query: "?history=50" });
    const got = [];
    while (got.length < 50) got.push(await one.next(ms(30000)));
    assert.deepEqual(got.map((m) => m.message), Array.from({ length: 50 }, (_, i) => worst(80 + i, 10000)));
    const grown = server.residentBytes() - before;
    if (!SANITIZED) assert.ok(grown < 40 * MIB, `${(grown / MIB).toFixed(1)} MiB more`);
    await one.leave();
    for (const socket of all) socket.destroy();
  }));

test("one address that asks for pages all the time keeps nobody out of a room", limit(180), () =>
  withDirectory(async () => {
    await withLives(TWO, async (lives) => {
      const flooded = count(50, 15); // rooms, of more than the budget
      await fillRooms(lives, flooded + 10, 130, 10000);
      const server = await begin(lives, [...TWO, "--memory-budget", "16m"]);
      let flooding = true;
      let asked = 0;
      const refused = [];
      const open = new Set();
      const flood = (async () => {
        while (flooding) {
          for (let i = 0; i < count(20, 4); i++) {
            const socket = await mute(server, handshake(`/ws/chat/r${asked++ % flooded}/?history=1000`), ATTACKER);
            open.add(socket);
          }
          if (open.size > 1500) for (const socket of [...open].slice(0, 500)) socket.destroy(), open.delete(socket);
          await pause(40);
        }
      })();
      await until(ms(60000), () => asked > count(1200, 100), "a flood");
      const times = [];
      for (let i = 0; i < 40; i++) {
        const from = performance.now();
        // Rooms that nobody has entered yet in this life.
        const one = await Member.join(server, i < 10 ? `r${flooded + i}` : `new${i}`).catch((error) => refused.push(error.message));
        times.push(performance.now() - from);
        if (one instanceof Member) await one.leave();
      }
      flooding = false;
      await flood;
      assert.deepEqual(refused, []);
      times.sort((a, b) => a - b);
      assert.ok(times.at(-2) < ms(1000), `entering took ${times.at(-2).toFixed(0)} ms`);
      for (const socket of open) socket.destroy();
    })();
  }));

test("hundreds that ask who is there, again and again, and never read: their answers wait, others do not", limit(120),
  withServer(["--workers", "2", ...NO_PROXIES, "--requests-per-ip", "none", "--memory-budget", "64m"], async (server) => {
    const sockets = count(450, 100);
    const ann = await Rich.join(server, "lobby", { localAddress: "127.0.0.9" });
    const long = "%F0%9F%98%80".repeat(15);
    const all = await Promise.all(Array.from({ length: sockets }, (_, i) =>
      mute(server, handshake(`/ws/chat/crowd/?username=${long}${i}`, RICH), ATTACKER)));
    await until(ms(60000), async () => (await handshakes(server)) === sockets + 1, "all of them in");
    const questions = Buffer.concat(Array.from({ length: 100 }, (_, ref) => jsonText({ type: "who", ref })));
    let most = server.residentBytes();
    let slowest = 0;
    for (const socket of all) socket.write(questions);
    for (let i = 0; i < 18; i++) {
      const from = performance.now();
      await ann.say(`message ${i}`);
      slowest = Math.max(slowest, performance.now() - from);
      most = Math.max(most, server.residentBytes());
      await pause(100);
    }
    assert.equal((await ann.get("members", { type: "who" })).members.length, 1);
    if (!SANITIZED) assert.ok(most < 128 * MIB, `${(most / MIB).toFixed(1)} MiB`);
    assert.ok(slowest < ms(1000), `an ack took ${slowest.toFixed(0)} ms`);
    for (const socket of all) socket.destroy();
    await ann.leave();
  }));

test("who asks again before the answer is read gets all answers, and to what comes behind", limit(60),
  withServer(TWO, async (server) => {
    const crowd = await Promise.all(Array.from({ length: 200 }, (_, i) =>
      Member.join(server, "crowd", { query: `?username=${"%F0%9F%98%80".repeat(15)}${i}` })));
    const ann = await Rich.join(server, "crowd");
    ann.socket.pause();
    const answers = Promise.all(Array.from({ length: 90 }, (_, i) =>
      (i % 10 ? ann.get("members", { type: "who" }) : ann.say(`behind ${i}`))));
    setTimeout(() => ann.socket.resume(), 300);
    for (const { members } of await answers) if (members) assert.equal(members.length, 200);
    for (const one of crowd) one.socket.terminate();
    await ann.leave();
  }));

test("who asks for page after page by HTTP and reads none has one answer lying in memory", limit(60),
  withServer([...TWO, ...NO_PROXIES, "--requests-per-ip", "none"], async (server) => {
    const sockets = 40;
    const size = (await request(server.port, "GET", "/")).text.length;
    const ask = Buffer.from("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1500)); // more than the kernel holds
    const all = await Promise.all(Array.from({ length: sockets }, () => mute(server, ask, ATTACKER)));
    let before = -1;
    let held = 0;
    await until(ms(30000), async () => { // until none gets more
      await pause(300);
      [before, held] = [held, await server.metric(/^parlor_memory_bytes$/)];
      return held > 0 && held === before;
    }, "answers that lie there");
    assert.ok(held / sockets < 2 * size + ask.length, `${held} bytes of ${sockets}, whose answers have ${size}`);
    const fresh = await HttpConnection.open(server.port);
    for (let i = 0; i < 20; i++) fresh.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for (let i = 0; i < 20; i++) assert.equal((await fresh.answer(ms(20000))).status, 200, "who reads gets them all");
    fresh.end();
    for (const socket of all) socket.destroy();
  }));
