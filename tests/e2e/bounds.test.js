// What one connection can make the server do, or keep it waiting for, has a bound: renames, refused
// input by number and by bytes, messages that never end. And what is the server's fault is nobody's.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { Member, Rich, refusal } from "./lib/chat.js";
import { deflate } from "./lib/deflate.js";
import { CLOSE, PONG, Raw, TEXT, closeOf, cont, ping, text } from "./lib/raw.js";
import { withLives, withServer } from "./lib/server.js";
import { limit, ms, pause, until } from "./lib/wait.js";

const TWO = ["--workers", "2", "--rate", "0"];
const CHAT = "/ws/chat/lobby/";

test("another name is told in the room that is spoken in, not in all of them", limit(60),
  withServer(TWO, async (server) => {
    const rooms = Array.from({ length: 99 }, (_, i) => `r${i}`);
    const enter = async (query) => {
      const one = await Rich.join(server, "home", { query });
      await Promise.all(rooms.map((room) => one.get("joined", { type: "join", room })));
      return one;
    };
    const ann = await enter("?username=ann");
    const witness = await enter("?username=wim");
    await witness.settled();
    const seen = witness.frames.length;
    for (let i = 0; i < 20; i++) await ann.say(`as n${i}`, { username: `n${i}` });
    await witness.settled();
    const after = witness.frames.slice(seen).filter((f) => f.type === "presence");
    const told = after.filter((f) => (f.joined ?? []).concat(f.username ?? []).some((name) => /^n\d+$/.test(name)));
    assert.ok(told.length >= 1 && told.length <= 20, `${told.length} presence frames for 20 renames`);
    assert.ok(told.every((f) => f.room === "home"), "told in a room where it said nothing");
    // Each room knows it by the name it was told, until it speaks there.
    const names = async (room) => (await witness.get("members", { type: "who", room })).members.map((m) => m.username).sort();
    assert.deepEqual(await names("home"), ["n19", "wim"]);
    assert.deepEqual(await names("r5"), ["ann", "wim"]);
    ann.send({ type: "typing", room: "r5", on: true });
    assert.equal((await witness.next("typing")).username, "ann");
    await ann.get("left", { type: "leave", room: "r6" });
    const leave = await until(ms(5000), () => witness.frames.find((f) => f.type === "presence" && f.room === "r6" &&
      f.event === "leave"), "the leave");
    assert.equal(leave.username, "ann", "it leaves under the name it was known by there");
    // Entered anew, it goes by the name it has now.
    await ann.get("joined", { type: "join", room: "r6" });
    assert.deepEqual(await names("r6"), ["n19", "wim"]);
    for (const one of [ann, witness]) await one.leave();
  }));

/** Sends these over and over, each answered before the next; the number that were, until 1008. */
async function refusedUntilClosed(raw, parts, most) {
  for (let n = 0; n < most; n++) {
    for (const part of parts) await raw.send(part);
    for (const part of parts) {
      const got = await raw.next();
      if (got.opcode !== CLOSE) {
        assert.ok([TEXT, PONG].includes(got.opcode), `${part.length}`);
        continue;
      }
      assert.equal(closeOf(got.payload).code, 1008);
      return n;
    }
  }
  return most;
}

test("refusals count whatever lies between them", limit(40), withServer(TWO, async (server) => {
  const raw = await Raw.open(server.port, CHAT);
  const n = await refusedUntilClosed(raw, [text("nonsense"), text('{"message":"well"}')], 1000);
  assert.ok(n >= 100 && n < 400, `${n} refusals were taken`);
  raw.destroy();
  const mixed = await Raw.open(server.port, CHAT);
  const m = await refusedUntilClosed(mixed, [text("nonsense"), ping("x")], 1000);
  assert.ok(m >= 50 && m < 400, `${m} refusals and as many pings were taken`);
  mixed.destroy();
}));

test("what is refused counts by its bytes, and what it inflates to", limit(40), withServer(TWO, async (server) => {
  const raw = await Raw.open(server.port, CHAT, { extensions: "permessage-deflate; client_no_context_takeover" });
  const zeros = deflate(Buffer.alloc(65536, " "));
  assert.ok(zeros.length < 100, `${zeros.length} bytes`);
  const n = await refusedUntilClosed(raw, [text(zeros, { rsv: 4 })], 200);
  assert.ok(n >= 3 && n < 20, `${n} frames of 64 KiB were inflated and refused`);
  raw.destroy();
  const plain = await Raw.open(server.port, CHAT);
  const m = await refusedUntilClosed(plain, [text("x".repeat(65536))], 200);
  assert.ok(m >= 3 && m < 20, `${m} frames of 64 KiB were refused`);
  plain.destroy();
  // The same for rich clients.
  const rich = await Rich.join(server, "lobby");
  let answers = 0;
  for (let i = 0; i < 60; i++) rich.socket.send(JSON.stringify({ type: "nonsense", pad: "x".repeat(65000), ref: i }));
  await rich.closesWith(1008);
  answers = rich.frames.filter((f) => f.type === "error").length;
  assert.ok(answers >= 3 && answers < 30, `${answers} were answered`);
}));

test("what is the fault of the server is never held against a client", limit(60), withLives(TWO, async (lives) => {
  const { server } = lives;
  const bare = await Member.join(server);
  const rich = await Rich.join(server);
  await rich.say("before");
  execFileSync("prlimit", ["--pid", String(server.pid), "--fsize=4096:"]); // no file can grow
  for (let i = 0; i < 300; i++) await rich.refused("unavailable", { message: `${i}` });
  for (let i = 0; i < 300; i++) bare.say(`${i}`);
  for (let refused = 0; refused < 300;) {
    const got = await bare.next();
    if (!got.error) continue; // seen before the disk said no
    refusal(got, "unavailable");
    refused++;
  }
  execFileSync("prlimit", ["--pid", String(server.pid), "--fsize=unlimited:"]);
  await until(ms(20000), async () => (await rich.ask({ message: "after" })).type === "ack", "the store works again");
  bare.say("both are still here", { username: "u" });
  await until(ms(5000), async () => (await bare.next()).message === "both are still here", "a message");
  await rich.leave();
  await bare.leave();
}));

test("who makes a mistake now and then stays for ever", limit(60), withServer(TWO, async (server) => {
  const one = await Member.join(server);
  for (let i = 0; i < 90; i++) one.sendText("nonsense");
  for (let i = 0; i < 90; i++) refusal(await one.next(), "bad_json");
  await pause(15000); // thirty are forgiven
  for (let i = 0; i < 30; i++) one.sendText("nonsense");
  for (let i = 0; i < 30; i++) refusal(await one.next(), "bad_json");
  await one.expectNothing("fine");
  await one.leave();
}));

test("a message that does not come to its end is closed with 1008", limit(60),
  withServer(["--workers", "2", "--rate", "0", "--handshake-timeout", "1s"], async (server) => {
    const json = Buffer.from('{"message":"slow"}');
    const begun = {
      "half a frame": text(json).subarray(0, 12),
      "a part of a head": text(Buffer.alloc(300)).subarray(0, 3),
      "a fragment": text(json.subarray(0, 5), { fin: false }),
      "half a ping": ping("12345").subarray(0, 8),
    };
    for (const [name, bytes] of Object.entries(begun)) {
      const raw = await Raw.open(server.port, CHAT);
      await raw.send(bytes);
      const said = await raw.expectClose(1008, ms(20000)).catch((e) => assert.fail(`${name}: ${e.message}`));
      assert.match(said.reason, /took too long/, name);
      raw.destroy();
    }
    // Neither bytes nor pings that trickle in keep it alive.
    const trickle = await Raw.open(server.port, CHAT);
    const bytes = text(Buffer.alloc(2000, "x"));
    let closed = false;
    trickle.over.then(() => (closed = true));
    const drip = (async () => {
      for (let at = 0; at < bytes.length && !closed; at++, await pause(100)) await trickle.send(bytes.subarray(at, at + 1));
    })();
    await trickle.expectClose(1008, ms(20000));
    trickle.destroy();
    await drip;
    const pinging = await Raw.open(server.port, CHAT);
    await pinging.send(text(json.subarray(0, 5), { fin: false }));
    let code;
    for (let i = 0; i < 50 && !code; i++) {
      await pinging.send(ping("x"));
      const got = await pinging.next(ms(20000));
      if (got.opcode === CLOSE) code = closeOf(got.payload).code;
      await pause(100);
    }
    assert.equal(code, 1008);
    pinging.destroy();
  }));

test("one message after another, each in pieces, is no unfinished one", limit(60),
  withServer(["--workers", "2", "--rate", "0", "--handshake-timeout", "2s", "--ping-interval", "1s"], async (server) => {
    const raw = await Raw.open(server.port, CHAT);
    const end = Date.now() + 5000;
    const halves = (n) => [text(`{"message":"${n}",`, { fin: false }), cont('"username":"u"}')];
    let [first, second] = halves(0);
    await raw.send(first);
    for (let n = 1; Date.now() < end; n++) { // there is a half message all the time
      const next = halves(n);
      await raw.send(second, next[0]);
      [first, second] = next;
      const got = await raw.next();
      assert.equal(got.opcode, TEXT, got.payload.toString());
      await pause(50);
    }
    await raw.send(second);
    assert.equal((await raw.next()).opcode, TEXT);
    const before = raw.pings.length; // with nothing unfinished it is asked for signs of life again
    await until(ms(10000), () => raw.pings.length > before, "a ping");
    await raw.closeClean();
  }));
