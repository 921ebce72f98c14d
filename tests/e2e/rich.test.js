// The rich protocol, parlor.v1 (protocol.md sections 5 and 6): every frame, every answer, every error;
// acks and nonces over reconnects and kills; several rooms on one socket; what a resume brings back.
// Who is here and who types is in presence.test.js.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { LOGGED, Member, Rich } from "./lib/chat.js";
import { CLOSE, Raw, TEXT, closeOf, text } from "./lib/raw.js";
import { NO_SLACK, withLives, withServer } from "./lib/server.js";
import { SANITIZED, SEQ_STEP, count, limit, ms, pause, until } from "./lib/wait.js";

const TWO = ["--workers", "2", "--rate", "0"];
const STRICT = [...TWO, "--durability", "strict"];
/** Where the past is read from: memory as far as it is there, or the store. */
const ALL = [...TWO, "--keep-messages", "10000"];
const PATHS = { memory: ALL, store: [...ALL, "--memory-budget", "0"] };

/** A guest of this name: a new one, or the one that `as` is. */
const named = (server, name, room = "lobby", query = "", as = null) =>
  Rich.join(server, room, { query: `?username=${name}${query}`, guest: as?.key });
const numbers = (from, to) => Array.from({ length: to - from }, (_, i) => `m${from + i}`);
const post = (rich, from, to, more) => Promise.all(numbers(from, to).map((message) => rich.say(message, more)));
const textsOf = (messages) => messages.map((m) => m.message);
const leaveAll = (all) => Promise.all(all.map((one) => one.leave()));

test("parlor.v1 is spoken exactly with those who offer it", limit(20), withServer(TWO, async (server) => {
  /** @type {[string, boolean][]} */
  const offers = [["parlor.v1", true], ["chat, parlor.v1", true], ["parlor.v1,chat", true], ["a , parlor.v1 ,b", true],
    ["parlor.v2", false], ["parlor.v10", false], ["xparlor.v1", false], ["PARLOR.V1", false], ["chat", false]];
  for (const [offer, rich] of offers) {
    const raw = await Raw.open(server.port, "/ws/chat/lobby/?username=ann",
      { headers: { "Sec-WebSocket-Protocol": offer } });
    assert.equal(raw.response.headers["sec-websocket-protocol"], rich ? "parlor.v1" : undefined, offer);
    if (!rich) await raw.send(text('{"message":"plain","username":"ann"}'));
    const first = (await raw.next()).payload.toString();
    if (rich) assert.equal(JSON.parse(first).type, "welcome", offer);
    else assert.equal(first, '{"message":"plain","username":"ann"}', offer);
    raw.destroy();
  }
  const none = await Raw.open(server.port, "/ws/chat/lobby/");
  assert.equal(none.response.headers["sec-websocket-protocol"], undefined);
  none.destroy();
}));

test("welcome, then joined: who one is, what is allowed, where the log stands", limit(20), async (t) => {
  await t.test("as it comes", withServer(["--workers", "2"], async (server) => {
    const ann = await named(server, "ann", "caf%C3%A9");
    const { server: version, ...welcome } = ann.welcome;
    assert.match(version, /^\d+\.\d+\.\d+/);
    const { key } = welcome.guest;
    assert.match(welcome.user, /^guest:[\w-]{16}$/);
    assert.deepEqual(welcome, { type: "welcome", version: "parlor.v1", user: welcome.user, username: "ann",
      guest: { id: welcome.user, key }, room: "café",
      limits: { frame_bytes: 65536, message_bytes: 16384, rate: 20, rooms: 100 }, ping_s: 25 });
    const { epoch, id, ...joined } = ann.joined;
    assert.deepEqual(joined, { type: "joined", room: "café", seq: 0, recovered: true, replayed: 0, members: 1, right: "write" });
    assert.equal(id, `${epoch}-0`);
    const { seq } = await ann.say("hi");
    const guest = await Rich.join(server, "caf%C3%A9");
    assert.match(guest.welcome.username, /^guest-[a-z0-9]{4}$/);
    assert.deepEqual([guest.joined.seq, guest.joined.epoch, guest.joined.members], [seq, epoch, 2]);
    await leaveAll([ann, guest]);
  }));
  await t.test("as it was set", withServer([...TWO, "--max-message-bytes", "100", "--ping-interval", "1500ms"],
    async (server) => {
      const ann = await named(server, "ann");
      assert.deepEqual(ann.welcome.limits, { frame_bytes: 65536, message_bytes: 100, rate: 0, rooms: 100 });
      assert.equal(ann.welcome.ping_s, 2);
      await ann.leave();
    }));
});

test("ref comes back as it was sent, in exactly one answer", limit(20), withServer(TWO, async (server) => {
  const ann = await named(server, "ann");
  const refs = ['"a"', '""', "0", "17", "-1", "1.50", "1e3", "12345678901234567890", '"\\u0041\\n"', '"ü 👍"',
    `"${"r".repeat(62)}"`];
  const answers = { ack: '"message":"hi"', members: '"type":"who"', error: '"type":"nonsense"',
    history: '"type":"history"', joined: '"type":"join","room":"b"', left: '"type":"leave","room":"b"' };
  const raw = await Raw.open(server.port, "/ws/chat/lobby/", { headers: { "Sec-WebSocket-Protocol": "parlor.v1" } });
  for (const ref of refs) {
    for (const [type, members] of Object.entries(answers)) {
      await raw.send(text(`{${members},"ref":${ref}}`));
      for (;;) {
        const got = (await raw.next()).payload.toString();
        if (!got.includes('"ref"')) continue;
        assert.ok(got.startsWith(`{"type":"${type}","ref":${ref},`) || got === `{"type":"${type}","ref":${ref}}`, got);
        break;
      }
    }
  }
  raw.destroy();
  for (const ref of [{}, [], true, false, "r".repeat(63), [1], { a: 1 }]) {
    ann.send({ type: "who", ref });
    const error = await ann.next("error");
    assert.deepEqual([error.code, "ref" in error], ["bad_ref", false], JSON.stringify(ref));
  }
  ann.send({ message: "without", ref: null });
  assert.equal("ref" in await ann.next("ack"), false);
  await ann.settled();
  const said = ann.frames.filter((f) => f.ref !== undefined).map((f) => f.ref);
  assert.equal(new Set(said).size, said.length, "a ref came twice");
  await ann.leave();
}));

test("a message and its ack; a bare frame is a message too", limit(20), withServer(TWO, async (server) => {
  const [ann, bob] = [await named(server, "ann"), await named(server, "bob")];
  const full = await Member.join(server, "lobby", { query: "?fields=full" });
  const bare = await Member.join(server);
  const ack = await ann.get("ack", { type: "message", message: "hi", nonce: "n1", data: { a: [1] } });
  const { ref, ...rest } = ack;
  assert.deepEqual(Object.keys(rest).sort(), ["dup", "id", "room", "seq", "ts", "type"]);
  assert.deepEqual([rest.room, rest.dup, typeof ref], ["lobby", false, "string"]);
  const message = { type: "message", room: "lobby", id: ack.id, seq: ack.seq, ts: ack.ts, username: "ann",
    user: ann.welcome.user, message: "hi", data: { a: [1] }, nonce: "n1" };
  for (const one of [ann, bob]) assert.deepEqual(await one.next("message"), message);
  assert.deepEqual(await full.next(), message);
  await bare.expectBare("ann", "hi");
  const reply = await bob.get("ack", { message: "hello", reply_to: ack.id, username: "bobby" });
  const answer = { type: "message", room: "lobby", id: reply.id, seq: reply.seq, ts: reply.ts, username: "bobby",
    user: bob.welcome.user, message: "hello", reply_to: ack.id };
  for (const one of [ann, bob]) assert.deepEqual(await one.next("message"), answer);
  bob.send({ message: "no ref" });
  assert.equal("ref" in await bob.next("ack"), false);
  assert.equal((await ann.next("message")).message, "no ref");
  const page = await ann.get("history", { type: "history" });
  assert.deepEqual(page.messages.slice(0, 2), [message, answer]);
  bare.say("from below", { username: "old" });
  assert.equal((await ann.next("message")).username, "old");
  await leaveAll([ann, bob, full, bare]);
}));

test("every refusal has its code, goes to its sender alone, and changes nothing", limit(30),
  withServer(TWO, async (server) => {
    const [ann, bob] = [await named(server, "ann"), await named(server, "bob")];
    const { id } = await bob.say("bob was here");
    const foreign = "zzzzzzzz-1";
    const missing = `${id.split("-")[0]}-999`;
    const cases = {
      unknown_type: [{ type: "nonsense" }, { type: "" }, { type: 1 }, { type: {} }, { type: "Message", message: "x" }],
      bad_message: [{}, { message: "" }, { message: 1 }, { type: "edit", id }, { type: "edit", id, message: "" }],
      too_long: [{ message: "m".repeat(16385) }, { message: "x", data: "d".repeat(4095) },
        { type: "edit", id, message: "m".repeat(16385) }],
      bad_username: [{ message: "x", username: "system" }, { message: "x", username: 5 },
        { message: "x", username: "u".repeat(65) }, { message: "x", username: "a\u0000b" }],
      bad_room: [{ type: "join", room: "" }, { type: "join", room: "a/b" }, { type: "join", room: ".." },
        { type: "join", room: "r".repeat(129) }, { type: "join", room: 7 }, { type: "who", room: "a\nb" }],
      bad_id: [{ type: "edit", message: "x" }, { type: "delete", id: 5 }, { type: "react", id: "x", emoji: "x" },
        { message: "x", reply_to: "nonsense" }, { type: "history", before: "" }, { type: "history", around: 9 },
        { type: "delete", id: `${id} ` }, { type: "read", id: "x" },
        { type: "read" }, { type: "read", id: 1 }],
      bad_field: [{ type: "history", limit: 0 }, { type: "history", limit: -1 }, { type: "history", limit: "5" },
        { type: "history", limit: 1.5 }, { type: "history", before: id, after: id }, { type: "typing", on: "yes" },
        { type: "join", room: "b", history: "all" }, { type: "join", room: "b", since: 5 }, { message: "x", nonce: "" },
        { message: "x", nonce: 5 }, { message: "x", nonce: "n".repeat(65) }, { type: "react", id },
        { type: "react", id, emoji: "" }, { type: "react", id, emoji: "e".repeat(33) }],
      not_joined: [{ message: "x", room: "b" }, { type: "leave", room: "b" }, { type: "who", room: "b" },
        { type: "history", room: "b" }, { type: "typing", room: "b" }, { type: "edit", room: "b", id, message: "x" },
        { type: "delete", room: "b", id }, { type: "react", room: "b", id, emoji: "x" },
        { type: "read", room: "b", id }],
      already_joined: [{ type: "join" }, { type: "join", room: "lobby", history: 5 }],
      no_message: [{ type: "edit", id: missing, message: "x" }, { type: "delete", id: foreign },
        { type: "react", id: missing, emoji: "x" }, { type: "unreact", id: foreign, emoji: "x" },
        { type: "edit", id: `${id.split("-")[0]}-0`, message: "x" }, { message: "x", reply_to: foreign },
        { type: "history", before: foreign }, { type: "history", after: foreign }, { type: "history", around: foreign },
        { type: "read", id: missing }, { type: "read", id: foreign }, { type: "read", id: `${id.split("-")[0]}-0` }],
      forbidden: [{ type: "edit", id, message: "x" }, { type: "delete", id }],
      unauthorized: [{ type: "auth", token: "x" }],
      bad_guest_key: [{ type: "auth", guest: "x" }],
    };
    for (const [code, frames] of Object.entries(cases)) {
      for (const frame of frames) {
        const { type, ref, detail, temporary, ...rest } = await ann.refused(code, frame);
        assert.deepEqual([type, temporary, rest], ["error", false, { code }], JSON.stringify(frame));
        assert.match(detail, /\w+ \w+/, "a reason that a person understands");
        assert.equal(typeof ref, "string");
      }
      await ann.settled(); // an accepted frame, so that they are not refusals over and over
    }
    for (const json of ["", "x", "[]", '{"message":"x"', '"message"', '{"message":"x","ref":"r"} x']) {
      ann.socket.send(json);
      assert.equal((await ann.next("error")).code, "bad_json", json);
    }
    await bob.expectNothing(["error", "edit", "delete", "react", "unreact", "typing"]);
    await ann.say("still here");
    assert.deepEqual(textsOf(await bob.take(2)), ["bob was here", "still here"]);
    const { messages } = await bob.get("history", { type: "history" });
    assert.deepEqual(textsOf(messages), ["bob was here", "still here"]);
    await leaveAll([ann, bob]);
  }));

test("refused over and over, the connection is closed with 1008", limit(20), withServer(TWO, async (server) => {
  const ann = await named(server, "ann");
  for (let i = 0; i < 101; i++) ann.send({ type: "nonsense", ref: i });
  await ann.closesWith(1008);
  const errors = ann.frames.filter((f) => f.type === "error");
  assert.deepEqual(errors.map((f) => f.ref), Array.from({ length: 100 }, (_, i) => i));
}));

test("rates: messages and changes share one, other requests have their own", limit(30),
  withServer(["--workers", "2", "--rate", "5"], async (server) => {
    const ann = await named(server, "ann");
    let began = Date.now();
    const back = (rate) => Math.floor((Date.now() - began + 2) * rate / 10000); // what came back meanwhile
    const refused = (answers) => answers.filter((a) => a.type === "error" && a.code === "rate_limited" && a.temporary);
    const { id } = await ann.say("1");
    await ann.get("ack", { type: "edit", id, message: "one" });
    await ann.get("ack", { type: "react", id, emoji: "x" });
    const others = [await ann.say("4"), await ann.say("5")];
    const more = await Promise.all(others.flatMap((other) => [{ message: "6" }, { type: "edit", id, message: "6" },
      { type: "delete", id: other.id }]).map((frame) => ann.ask(frame)));
    assert.ok(refused(more).length >= 6 - back(5), `${refused(more).length} refused of 6`);
    assert.equal(more.filter((a) => a.type === "ack").length, 6 - refused(more).length);
    began = Date.now();
    const asks = await Promise.all(Array.from({ length: 110 }, () => ann.ask({ type: "who" })));
    assert.ok(refused(asks).length >= 10 - back(100) && refused(asks).length <= 10, `${refused(asks).length} refused of 110`);
    assert.equal(asks.filter((a) => a.type === "members").length, 110 - refused(asks).length);
    const again = async () => (await ann.ask({ message: "later" })).type === "ack";
    await until(ms(5000), async () => (await pause(200), again()), "the rate gives a message back");
    await ann.leave();
  }));

for (const [durability, args] of [["commit", TWO], ["strict", STRICT]]) {
  test(`a nonce is posted once (${durability})`, limit(40), withLives(args, async (lives) => {
    let ann = await named(lives.server, "ann");
    let seen = await Member.join(lives.server, "lobby", { query: "?fields=full" });
    const first = await ann.say("once", { nonce: "n1" });
    const same = ({ id, seq, ts, room, dup }) => assert.deepEqual([id, seq, ts, room, dup],
      [first.id, first.seq, first.ts, "lobby", true]);
    same(await ann.say("once", { nonce: "n1" }));
    same(await ann.say("other words", { nonce: "n1" }));
    const other = await named(lives.server, "ann", "lobby", "", ann);
    same(await other.say("once", { nonce: "n1" }));
    // Another user, another room, another nonce: those are other messages.
    const bob = await named(lives.server, "bob");
    assert.equal((await bob.say("by bob", { nonce: "n1" })).dup, false);
    await ann.get("joined", { type: "join", room: "b" });
    assert.equal((await ann.say("in b", { nonce: "n1", room: "b" })).dup, false);
    assert.equal((await ann.say("two", { nonce: "n2" })).dup, false);
    assert.equal((await ann.say("no nonce")).dup, false);
    const texts = ["once", "by bob", "two", "no nonce"];
    for (const one of texts) assert.equal((await seen.next()).message, one);
    await ann.cut();
    ann = await named(lives.server, "ann", "lobby", "", ann);
    same(await ann.say("once", { nonce: "n1" }));
    for (const end of ["restart", "killAndStart"]) {
      await lives[end]();
      ann = await named(lives.server, "ann", "lobby", "", ann);
      seen = await Member.join(lives.server, "lobby", { query: "?history=100" });
      for (const one of texts) assert.equal((await seen.next()).message, one);
      same(await ann.say("once", { nonce: "n1" }));
      assert.equal((await ann.say(`after ${end}`)).dup, false);
      texts.push(`after ${end}`);
      assert.equal((await seen.next()).message, texts.at(-1));
    }
    await leaveAll([ann, seen]);
  }));

  test(`the same nonce many times at once, on several connections: one message (${durability})`, limit(40),
    withLives(args, async (lives) => {
      const first_ann = await named(lives.server, "ann");
      const others = await Promise.all([1, 2, 3].map(() => named(lives.server, "ann", "lobby", "", first_ann)));
      const anns = [first_ann, ...others];
      const rounds = count(50, 15);
      for (let i = 0; i < rounds; i++) {
        const acks = await Promise.all(anns.flatMap((ann) =>
          [1, 2, 3].map(() => ann.say(`round ${i}`, { nonce: `n${i}` }))));
        assert.equal(new Set(acks.map((a) => `${a.id} ${a.seq} ${a.ts}`)).size, 1);
        assert.equal(acks.filter((a) => !a.dup).length, 1, "one is the first");
      }
      for (const ann of anns) {
        const got = await ann.take(rounds);
        assert.deepEqual(textsOf(got), Array.from({ length: rounds }, (_, i) => `round ${i}`));
        await ann.expectNothing(LOGGED);
      }
      // Posted while the server dies: sent again until there is an ack, it is there once.
      const [ann] = anns;
      const going = Array.from({ length: 100 }, (_, i) => ann.say(`dying ${i}`, { nonce: `d${i}` }).catch(() => null));
      await Promise.race(going);
      await lives.killAndStart();
      const first = (await Promise.all(going)).filter(Boolean);
      const back = await named(lives.server, "ann", "lobby", "", ann);
      const acks = await Promise.all(Array.from({ length: 100 }, (_, i) => back.say(`dying ${i}`, { nonce: `d${i}` })));
      for (const ack of first) assert.ok(acks.some((a) => a.id === ack.id && a.dup), "an ack taken back");
      const { messages } = await back.get("history", { type: "history", limit: 200 });
      const dying = textsOf(messages).filter((m) => m.startsWith("dying"));
      assert.equal(dying.length, 100);
      assert.equal(new Set(dying).size, 100);
      await back.leave();
    }));
}

test("many rooms on one socket", limit(40), withServer(TWO, async (server) => {
  const ann = await named(server, "ann", "home");
  const bob = await named(server, "bob", "r0");
  const before = await bob.say("before");
  for (let i = 0; i < 99; i++) {
    const joined = await ann.get("joined", { type: "join", room: `r${i}` });
    assert.deepEqual([joined.room, joined.members, joined.seq], [`r${i}`, i === 0 ? 2 : 1, i === 0 ? before.seq : 0]);
  }
  await ann.refused("too_many_rooms", { type: "join", room: "one more" });
  assert.deepEqual((await ann.get("left", { type: "leave", room: "r50" })).room, "r50");
  await ann.refused("not_joined", { message: "x", room: "r50" });
  await ann.get("joined", { type: "join", room: "one more" });
  for (const room of ["home", "r0", "r98", "one more"]) {
    const ack = await ann.say(`in ${room}`, { room });
    assert.equal(ack.room, room);
    const got = await ann.next("message");
    assert.deepEqual([got.room, got.message, got.id], [room, `in ${room}`, ack.id]);
  }
  assert.equal((await bob.next("message")).message, "before");
  assert.equal((await bob.next("message")).message, "in r0");
  await bob.say("to both", { room: "r0" });
  assert.equal((await ann.next("message")).message, "to both");
  await ann.get("left", { type: "leave", room: "r0" });
  await bob.say("to bob alone");
  await ann.expectNothing(LOGGED, "r1");
  // The room of the URL can be left too; then a frame without `room` has none.
  await ann.get("left", { type: "leave" });
  await ann.refused("not_joined", { message: "x" });
  await ann.refused("not_joined", { type: "who" });
  await ann.say("elsewhere", { room: "r1" });
  const again = await ann.get("joined", { type: "join" });
  assert.deepEqual([again.room, again.recovered, again.members], ["home", true, 1]);
  assert.equal((await ann.say("home again")).room, "home");
  await leaveAll([ann, bob]);
}));

test("what is sent to a room right behind its join waits for it, in order", limit(40), withLives(TWO, async (lives) => {
  const ann = await named(lives.server, "ann", "home");
  const rounds = count(50, 20);
  for (let i = 0; i < rounds; i++) {
    const room = `new ${i}`;
    const order = [];
    const ask = (frame) => ann.ask({ room, ...frame }).then((answer) => (order.push(answer.type), answer));
    const all = await Promise.all([ask({ type: "join" }), ask({ message: "1" }), ask({ type: "read", id: "none" }),
      ask({ message: "2" }), ask({ type: "who" }), ann.ask({ message: `at home ${i}` }), ask({ message: "3" })]);
    assert.deepEqual(all.map((a) => a.code ?? a.type), ["joined", "ack", "bad_id", "ack", "members", "ack", "ack"], room);
    assert.equal(order[0], "joined", room);
    assert.deepEqual([all[1].seq, all[3].seq, all[6].seq], [1, 2, 3].map((n) => n * SEQ_STEP));
    assert.deepEqual(textsOf(await ann.take(4)).sort(), ["1", "2", "3", `at home ${i}`].sort());
  }
  // Several rooms at once, and each of their messages.
  const many = Array.from({ length: 40 }, (_, i) => `many ${i}`);
  const joined = many.map((room) => ann.get("joined", { type: "join", room }));
  const acks = many.flatMap((room) => ["a", "b"].map((message) => ann.say(message, { room })));
  await Promise.all(joined);
  assert.ok((await Promise.all(acks)).every((ack, i) => ack.seq === ((i & 1) + 1) * SEQ_STEP));
  await ann.cut();
  // Nobody is there any more when the room is ready; and a room that could not be entered.
  const gone = await named(lives.server, "bob", "home");
  gone.send({ type: "join", room: "gone" });
  gone.send({ message: "into the void", room: "gone" });
  await gone.cut();
  const cid = await named(lives.server, "cid", "home");
  await cid.refused("not_joined", { message: "x", room: "never joined" });
  assert.equal((await cid.say("well")).dup, false);
  await cid.leave();
}));

test("joins, messages and leaves sent in one go are taken in order", limit(30), withServer(TWO, async (server) => {
  const ann = await named(server, "ann", "home");
  for (let i = 0; i < count(100, 30); i++) {
    const room = `fresh ${i}`;
    const joined = ann.ask({ type: "join", room });
    const left = ann.ask({ type: "leave", room });
    const again = ann.ask({ type: "join", room });
    const [a, b, c] = await Promise.all([joined, left, again]);
    // Left while it was still being entered: then there is no answer but one to each of them.
    assert.ok(["joined", "error"].includes(a.type), JSON.stringify(a));
    assert.ok(["left", "error"].includes(b.type), JSON.stringify(b));
    assert.ok(["joined", "error"].includes(c.type), JSON.stringify(c));
    const who = await ann.ask({ type: "who", room });
    const inside = [a, b, c].filter((f) => f.type !== "error").at(-1)?.type === "joined";
    assert.equal(who.type, inside ? "members" : "error");
    if (inside) await ann.get("left", { type: "leave", room });
  }
  await ann.leave();
}));

test("left and joined again in one go: what counts is what the second join asks for", limit(30),
  withLives(TWO, async (lives) => {
    const ann = await named(lives.server, "ann", "b");
    const acks = await post(ann, 0, 20);
    await lives.restart();
    const bob = await named(lives.server, "bob");
    const { _socket: wire } = bob.socket;
    wire.cork(); // one packet: the store has not answered the first when the second comes
    const answers = [{ type: "join" }, { type: "leave" }, { type: "join", since: acks[4].id }]
      .map((frame) => bob.ask({ ...frame, room: "b" }));
    wire.uncork();
    const [first, left, again] = await Promise.all(answers);
    assert.deepEqual([first.code, left.type, again.type], ["not_joined", "left", "joined"]);
    assert.deepEqual([again.recovered, again.replayed], [true, 15]);
    assert.deepEqual(textsOf(await bob.take(15)), numbers(5, 20));
    await bob.leave();
  }));

for (const [where, args] of Object.entries(PATHS)) {
  test(`history in pages: newest, before, after, around (${where})`, limit(30), withServer(args, async (server) => {
    const ann = await named(server, "ann");
    const acks = await post(ann, 0, 300);
    const page = async (frame) => {
      const got = await ann.get("history", { type: "history", ...frame });
      assert.equal(got.room, "lobby");
      return [textsOf(got.messages), got.more];
    };
    const at = (i) => acks[i].id;
    const cases = [
      [{}, 250, 300, true], [{ limit: 200 }, 100, 300, true], [{ limit: 5000 }, 100, 300, true],
      [{ limit: 1 }, 299, 300, true], [{ before: at(0), limit: 5 }, 0, 0, false],
      [{ before: at(5), limit: 10 }, 0, 5, false], [{ before: at(5), limit: 5 }, 0, 5, false],
      [{ before: at(6), limit: 5 }, 1, 6, true], [{ before: at(299) }, 249, 299, true],
      [{ after: at(299) }, 300, 300, false], [{ after: at(298), limit: 1 }, 299, 300, false],
      [{ after: at(297), limit: 1 }, 298, 299, true], [{ after: at(10), limit: 20 }, 11, 31, true],
      [{ after: at(0), limit: 200 }, 1, 201, true], [{ after: `${at(0).split("-")[0]}-0`, limit: 2 }, 0, 2, true],
    ];
    for (const [frame, from, to, more] of cases)
      assert.deepEqual(await page(frame), [numbers(from, to), more], JSON.stringify(frame));
    const [around] = await page({ around: at(150), limit: 21 });
    assert.equal(around.length, 21);
    assert.ok(around.includes("m150") && around.indexOf("m150") >= 9 && around.indexOf("m150") <= 11);
    assert.deepEqual(around, numbers(Number(around[0].slice(1)), Number(around[0].slice(1)) + 21));
    assert.ok((await page({ around: at(0), limit: 10 }))[0].includes("m0"));
    assert.ok((await page({ around: at(299), limit: 10 }))[0].includes("m299"));
    // Pages backwards, put together, are the whole room.
    let all = [];
    for (let frame = { limit: 37 }; ;) {
      const got = await ann.get("history", { type: "history", ...frame });
      all = [...got.messages, ...all];
      if (!got.more) break;
      frame = { limit: 37, before: got.messages[0].id };
    }
    assert.deepEqual(textsOf(all), numbers(0, 300));
    // Pages are messages as they are now; changes are none, and take no place in them.
    await ann.get("ack", { type: "edit", id: at(290), message: "edited" });
    await ann.get("ack", { type: "delete", id: at(291) });
    for (const emoji of ["👍", "👍", "🎉"]) await ann.get("ack", { type: "react", id: at(292), emoji });
    const { messages } = await ann.get("history", { type: "history", limit: 10 });
    assert.deepEqual(textsOf(messages), ["m289", "edited", ...numbers(292, 300)]);
    assert.ok(messages[1].edited >= messages[1].ts);
    assert.deepEqual(messages[2].reactions, { "👍": 1, "🎉": 1 });
    assert.equal("reactions" in messages[3] || "edited" in messages[3], false);
    const empty = await named(server, "ann", "empty");
    assert.deepEqual((await empty.get("history", { type: "history" })).messages, []);
    await leaveAll([ann, empty]);
  }));

  test(`a resume brings messages and their changes; replayed says how many (${where})`, limit(40),
    withServer(args, async (server) => {
      const ann = await named(server, "ann");
      const bob = await named(server, "bob");
      const start = bob.joined.id; // a position, with nothing received yet
      const acks = await post(ann, 0, 20);
      const edit = await ann.get("ack", { type: "edit", id: acks[2].id, message: "edited" });
      const react = await bob.get("ack", { type: "react", id: acks[3].id, emoji: "👍" });
      const unreact = await bob.get("ack", { type: "unreact", id: acks[3].id, emoji: "👍" });
      const del = await ann.get("ack", { type: "delete", id: acks[4].id });
      const live = await bob.take(24);
      await bob.cut();
      const resumed = async (since, wanted) => {
        const back = await named(server, "bob", "lobby", `&since=${since}`);
        assert.deepEqual([back.joined.recovered, back.joined.replayed, back.joined.seq], [true, wanted.length, del.seq]);
        const got = await back.take(wanted.length);
        await back.expectNothing(LOGGED);
        assert.deepEqual(got.map((f) => f.event_id ?? f.id), wanted, since);
        const order = back.frames.filter((f) => f.type === "joined" || LOGGED.includes(f.type));
        assert.equal(order[0].type, "joined");
        await back.leave();
        return got;
      };
      const kept = acks.filter((_, i) => i !== 4).map((a) => a.id);
      const changes = [edit, react, unreact, del].map((a) => a.id);
      const all = await resumed(start, [...kept, ...changes]);
      assert.equal(all[2].message, "edited", "a message comes as it is now");
      assert.deepEqual(all.slice(19), live.slice(20), "and the changes as they were");
      await resumed(acks[10].id, [...kept.slice(10), ...changes]);
      await resumed(acks[4].id, [...kept.slice(4), ...changes]);
      await resumed(edit.id, changes.slice(1));
      await resumed(del.id, []);
      // The newest n are n messages; the changes between them come too.
      const newest = await named(server, "cid", "lobby", "&history=3");
      assert.equal(newest.joined.recovered, true);
      const got = await newest.take(newest.joined.replayed);
      await newest.expectNothing(LOGGED);
      assert.deepEqual(textsOf(got.filter((f) => f.type === "message")), numbers(17, 20));
      // As a frame on a socket that is already there.
      const joined = await newest.get("joined", { type: "join", room: "other" });
      assert.equal(joined.replayed, 0);
      await newest.get("left", { type: "leave" });
      const again = await newest.get("joined", { type: "join", since: acks[15].id });
      assert.deepEqual([again.recovered, again.replayed], [true, 8]);
      await newest.take(8);
      await newest.get("left", { type: "leave" });
      const some = await newest.get("joined", { type: "join", history: 2 });
      assert.deepEqual(textsOf((await newest.take(some.replayed)).filter((f) => f.type === "message")), numbers(18, 20));
      await leaveAll([ann, newest]);
    }));

  test(`an id that cannot be resumed: recovered is false, and the newest page (${where})`, limit(30),
    withServer(args, async (server) => {
      const ann = await named(server, "ann");
      const acks = await post(ann, 0, 80);
      const [epoch, seq] = acks[79].id.split("-");
      for (const since of ["garbage", "zzzzzzzz-5", `${epoch}-${Number(seq) + 1}`]) {
        const bob = await named(server, "bob", "lobby", `&since=${since}`);
        assert.deepEqual([bob.joined.recovered, bob.joined.replayed], [false, 50]);
        assert.deepEqual(textsOf(await bob.take(50)), numbers(30, 80));
        await bob.get("left", { type: "leave" });
        const joined = await bob.get("joined", { type: "join", since, history: 7 });
        assert.deepEqual([joined.recovered, joined.replayed], [false, 7]);
        assert.deepEqual(textsOf(await bob.take(7)), numbers(73, 80));
        await bob.expectNothing(LOGGED);
        await bob.leave();
      }
      await ann.leave();
    }));

  test(`more than 1,000 missed: the first 1,000, then gap, and history after it (${where})`, limit(60),
    withServer(args, async (server) => {
      const ann = await named(server, "ann");
      const start = ann.joined.id;
      const acks = await post(ann, 0, 1500);
      const bob = await named(server, "bob", "lobby", `&since=${start}`);
      assert.deepEqual([bob.joined.recovered, bob.joined.replayed], [true, 1000]);
      const gap = await bob.next("gap");
      assert.deepEqual(gap, { type: "gap", room: "lobby", from: acks[999].seq + 1, to: acks[1499].seq,
        next: acks[999].id });
      const got = await bob.take(1000);
      assert.deepEqual(textsOf(got), numbers(0, 1000));
      const logged = bob.frames.filter((f) => f.type === "gap" || LOGGED.includes(f.type));
      assert.equal(logged[1000].type, "gap", "it stands where the hole is");
      await ann.say("live");
      assert.equal((await bob.next("message")).message, "live", "what is new comes meanwhile");
      let next = gap.next;
      const rest = [];
      for (let more = true; more;) {
        const page = await bob.get("history", { type: "history", after: next, limit: 200 });
        rest.push(...page.messages);
        next = page.messages.at(-1).id;
        more = page.more;
      }
      assert.deepEqual(textsOf(rest), [...numbers(1000, 1500), "live"]);
      // Exactly 1,000 are no gap.
      const cid = await named(server, "cid", "lobby", `&since=${acks[500].id}`);
      assert.equal(cid.joined.replayed, 1000);
      await cid.take(1000);
      await cid.expectNothing("gap");
      await leaveAll([ann, bob, cid]);
    }));

  test(`joins while a talker never stops: joined.seq divides past from live (${where})`, limit(60),
    withServer(args, async (server) => {
      const ann = await named(server, "ann");
      const all = [];
      let last = 0;
      let reached = 0;
      let talking = true;
      const talk = (async () => {
        while (talking) {
          // Never so far ahead that it would be a gap.
          if (all.length > reached + 500) await pause(1);
          else all.push(...await post(ann, all.length, all.length + 5));
        }
      })();
      talk.catch(() => {}); // waited for below
      const bob = await named(server, "bob", "elsewhere");
      let since = ann.joined.id;
      for (let i = 0; i < count(60, 15); i++) {
        const joined = await bob.get("joined", { type: "join", room: "lobby", since });
        assert.equal(joined.recovered, true);
        reached = joined.seq;
        const got = await bob.take(joined.replayed + 3);
        assert.equal(got.filter((f) => f.seq <= joined.seq).length, joined.replayed, "replayed is the past");
        for (const one of got) assert.equal(one.seq, last += SEQ_STEP, "each once, in order");
        since = got.at(-1).id;
        await bob.get("left", { type: "leave", room: "lobby" });
        // What came between the last one that was read and the leave is dropped, and comes again.
        await bob.take(bob.unread(LOGGED).length);
      }
      talking = false;
      await talk;
      await leaveAll([ann, bob]);
    }));
}

test("pages of history that are not read cost the server a few of them, and come all the same", limit(60),
  withServer(["--workers", "2", "--rate", "0"], async (server) => {
    const ann = await named(server, "ann");
    await post(ann, 0, 16, { data: "x".repeat(4000) });
    for (let i = 0; i < 16; i++) await ann.say("x".repeat(16000));
    const before = server.residentBytes();
    const readers = [];
    for (let i = 0; i < 12; i++) {
      const raw = await Raw.open(server.port, "/ws/chat/lobby/", { headers: { "Sec-WebSocket-Protocol": "parlor.v1" } });
      raw.socket.pause();
      await raw.send(Buffer.concat(Array.from({ length: 100 }, (_, ref) => text(`{"type":"history","limit":200,"ref":${ref}}`))));
      readers.push(raw);
    }
    for (let reads = 0, last = -1; reads !== last; await pause(ms(200))) // until nothing moves any more
      [last, reads] = [reads, await server.metric(/^parlor_store_reads_total/)];
    const grown = server.residentBytes() - before;
    if (!SANITIZED) assert.ok(grown < 60 << 20, `12 readers of nothing take ${grown} bytes`);
    readers[0].socket.resume();
    const refs = new Set();
    while (refs.size < 100) {
      const frame = JSON.parse((await readers[0].next()).payload.toString());
      if (frame.type !== "history") continue;
      assert.ok(!refs.has(frame.ref) && frame.messages.length >= 16, `${frame.ref}`);
      refs.add(frame.ref);
    }
    for (const raw of readers) raw.destroy();
    await ann.leave();
  }));

test("rooms entered and not read cost the server a few pages, and come all the same", limit(60),
  withServer(["--workers", "2", "--rate", "0"], async (server) => {
    const [rooms, said] = [20, 140]; // more than memory keeps of a room
    const ann = await named(server, "ann", "r0");
    for (let i = 0; i < rooms; i++) {
      if (i > 0) await ann.get("joined", { type: "join", room: `r${i}` });
      await Promise.all(Array.from({ length: said }, () => ann.say("x".repeat(16000), { room: `r${i}` })));
    }
    await ann.leave();
    const before = server.residentBytes();
    const readers = [];
    for (let i = 0; i < 8; i++) {
      const raw = await Raw.open(server.port, "/ws/chat/lobby/", { headers: { "Sec-WebSocket-Protocol": "parlor.v1" } });
      raw.socket.pause();
      const joins = Array.from({ length: rooms }, (_, r) => text(`{"type":"join","room":"r${r}","history":1000}`));
      await raw.send(Buffer.concat(joins));
      readers.push(raw);
    }
    for (let reads = 0, last = -1; reads !== last; await pause(ms(200))) // until nothing moves any more
      [last, reads] = [reads, await server.metric(/^parlor_store_reads_total/)];
    const grown = server.residentBytes() - before;
    if (!SANITIZED) assert.ok(grown < 60 << 20, `8 readers of nothing take ${grown} bytes`);
    readers[0].socket.resume();
    const left = new Map(); // of each room, what joined has told of and has not come yet
    while (left.size < rooms || [...left.values()].some((n) => n > 0)) {
      const frame = JSON.parse((await readers[0].next()).payload.toString());
      if (frame.type === "joined" && frame.room !== "lobby") left.set(frame.room, frame.replayed);
      if (frame.type === "message") left.set(frame.room, left.get(frame.room) - 1);
    }
    assert.ok([...left.values()].every((n) => n === 0), "as many as joined had said, and after it");
    for (const raw of readers) raw.destroy();
  }, NO_SLACK));

test("edit, delete and reactions: who may, who hears of it, what stays", limit(30), withLives(TWO, async (lives) => {
  let [ann, bob] = [await named(lives.server, "ann"), await named(lives.server, "bob")];
  const first = await ann.say("frist");
  const second = await bob.say("second");
  await bob.take(2);
  await ann.take(2);
  const heard = async (ack, event) => {
    const { ref, dup, type, ...at } = ack;
    const user = { ann, bob }[event.username].welcome.user;
    const want = { ...event, user, room: "lobby", event_id: at.id, seq: at.seq, ts: at.ts };
    for (const one of [ann, bob]) assert.deepEqual(await one.next(LOGGED), want);
  };
  const edit = await ann.get("ack", { type: "edit", id: first.id, message: "first" });
  assert.ok(edit.seq > second.seq && edit.id !== first.id, "a place of its own in the log");
  await heard(edit, { type: "edit", id: first.id, username: "ann", message: "first" });
  for (const frame of [{ type: "edit", id: first.id, message: "mine" }, { type: "delete", id: first.id }])
    await bob.refused("forbidden", frame);
  const like = await bob.get("ack", { type: "react", id: first.id, emoji: "👍" });
  await heard(like, { type: "react", id: first.id, username: "bob", emoji: "👍" });
  await ann.get("ack", { type: "react", id: first.id, emoji: "👍" });
  await ann.get("ack", { type: "react", id: first.id, emoji: "agreed" });
  await bob.get("ack", { type: "react", id: first.id, emoji: "👍" });
  const reactions = async () =>
    (await ann.get("history", { type: "history" })).messages.find((m) => m.id === first.id).reactions;
  assert.deepEqual(await reactions(), { "👍": 2, "agreed": 1 });
  await bob.get("ack", { type: "unreact", id: first.id, emoji: "👍" });
  await bob.get("ack", { type: "unreact", id: first.id, emoji: "👍" });
  assert.deepEqual(await reactions(), { "👍": 1, "agreed": 1 });
  await ann.get("ack", { type: "unreact", id: first.id, emoji: "agreed" });
  assert.deepEqual(await reactions(), { "👍": 1 });
  for (const one of [ann, bob]) await one.take(one.unread(LOGGED).length);
  // An event is not a message: it cannot be changed itself.
  await ann.refused("no_message", { type: "edit", id: edit.id, message: "x" });
  await ann.refused("no_message", { type: "delete", id: like.id });
  const del = await bob.get("ack", { type: "delete", id: second.id });
  for (const one of [ann, bob]) await one.take(one.unread(LOGGED).length - 1);
  await heard(del, { type: "delete", id: second.id, username: "bob" });
  for (const type of ["edit", "delete", "react"])
    await bob.refused("no_message", { type, id: second.id, message: "x", emoji: "x" });
  // The same guest again, after a restart, is the same author; one of the same name is not.
  await lives.killAndStart();
  const stranger = await named(lives.server, "ann");
  [ann, bob] = [await named(lives.server, "ann", "lobby", "", ann), await named(lives.server, "bob", "lobby", "", bob)];
  await stranger.refused("forbidden", { type: "delete", id: first.id });
  await stranger.leave();
  assert.deepEqual(await reactions(), { "👍": 1 });
  assert.deepEqual(textsOf((await bob.get("history", { type: "history" })).messages), ["first"]);
  await bob.refused("forbidden", { type: "delete", id: first.id });
  await heard(await ann.get("ack", { type: "edit", id: first.id, message: "the first" }),
    { type: "edit", id: first.id, username: "ann", message: "the first" });
  // Under another name it is the same one.
  await ann.say("x", { username: "anna" });
  await ann.get("ack", { type: "delete", id: first.id });
  await leaveAll([ann, bob]);
}));

/** What this guest, or a new one, is told on coming in: its marker, or nothing. */
async function readBy(server, as, room = "lobby") {
  const rich = await named(server, "any", room, "", as);
  await rich.leave();
  return rich.joined.read;
}

for (const [durability, args] of [["commit", TWO], ["strict", STRICT]]) {
  test(`read: the marker of a user, which outlives connection and server (${durability})`, limit(40),
    withLives(args, async (lives) => {
      const [ann, bob] = [await named(lives.server, "ann"), await named(lives.server, "bob")];
      assert.equal("read" in ann.joined, false);
      const acks = await post(bob, 0, 6);
      await ann.get("joined", { type: "join", room: "b" });
      const elsewhere = await ann.say("b", { room: "b" });
      const { ref, ts, ...ack } = await ann.get("ack", { type: "read", id: acks[3].id });
      assert.deepEqual(ack, { type: "ack", room: "lobby", id: acks[3].id, seq: acks[3].seq, dup: false });
      assert.ok(Math.abs(ts - acks[3].ts) < 60000);
      assert.equal(await readBy(lives.server, ann), acks[3].id);
      // Forward only: what is older is acked and changes nothing.
      assert.equal((await ann.get("ack", { type: "read", id: acks[1].id })).id, acks[1].id);
      assert.equal(await readBy(lives.server, ann), acks[3].id);
      // Each room has its own, and each user.
      assert.equal(await readBy(lives.server, ann, "b"), undefined);
      await ann.get("ack", { type: "read", room: "b", id: elsewhere.id });
      await ann.refused("no_message", { type: "read", id: elsewhere.id });
      await bob.get("ack", { type: "read", id: acks[5].id });
      /** @type {[Rich | null, string | undefined][]} */
      const want = [[ann, acks[3].id], [bob, acks[5].id], [null, undefined]];
      const check = async () => {
        for (const [guest, id] of want) assert.equal(await readBy(lives.server, guest), id);
        assert.equal(await readBy(lives.server, ann, "b"), elsewhere.id);
      };
      await check();
      await lives.killAndStart();
      await check();
      await lives.restart();
      await check();
      const back = await named(lives.server, "ann", "lobby", `&since=${acks[4].id}`, ann);
      assert.deepEqual([back.joined.read, back.joined.replayed], [acks[3].id, 1]);
      await back.get("ack", { type: "read", id: acks[5].id });
      await back.get("left", { type: "leave", room: "lobby" });
      assert.equal((await back.get("joined", { type: "join", room: "lobby" })).read, acks[5].id);
      await back.leave();
    }));
}

test("read: everybody in the room may, whatever the name", limit(30), withServer(TWO, async (server) => {
  const [guest, ann] = [await Rich.join(server), await named(server, "ann")];
  const { id } = await guest.say("hi");
  await guest.get("ack", { type: "read", id });
  await guest.say("now as", { username: "cid" });
  await guest.get("left", { type: "leave" });
  assert.equal((await guest.get("joined", { type: "join" })).read, id);
  assert.equal(await readBy(server, guest), id);
  assert.equal(await readBy(server, null), undefined);
  // It is nobody else's business: no event, no presence, no seq.
  const { seq } = await ann.say("before");
  await ann.take(ann.unread(LOGGED).length);
  await ann.get("ack", { type: "read", id });
  await guest.settled();
  assert.equal((await ann.say("after")).seq, seq + SEQ_STEP);
  assert.deepEqual(guest.frames.filter((f) => f.type === "read"), []);
  await leaveAll([guest, ann]);
}));

test("read shares the rate of the other requests", limit(20), withServer(["--workers", "2"], async (server) => {
  const ann = await named(server, "ann");
  const { id } = await ann.say("hi");
  const answers = await Promise.all(Array.from({ length: 110 }, () => ann.ask({ type: "read", id })));
  const refused = answers.filter((a) => a.type === "error");
  assert.ok(refused.length >= 5 && refused.length <= 10, `${refused.length} refused of 110`);
  assert.ok(refused.every((a) => a.code === "rate_limited" && a.temporary));
  await ann.leave();
}));

test("after a restart rich clients resume, edits and all", limit(40), withLives(TWO, async (lives) => {
  const ann = await named(lives.server, "ann");
  const acks = await post(ann, 0, 30);
  const edit = await ann.get("ack", { type: "edit", id: acks[3].id, message: "edited" });
  for (const [end, recovered] of /** @type {const} */ ([["restart", true], ["killAndStart", true]])) {
    await lives[end]();
    const back = await named(lives.server, "ann", "lobby", `&since=${acks[20].id}`);
    assert.deepEqual([back.joined.recovered, back.joined.replayed], [recovered, 10]);
    const got = await back.take(10);
    assert.deepEqual(textsOf(got), [...numbers(21, 30), "edited"]);
    assert.equal(got[9].event_id, edit.id);
    await back.leave();
  }
}));

for (const [where, args] of Object.entries(PATHS)) {
  test(`the text of an edit is gone with its message, however old that is (${where})`, limit(30),
    withLives(args, async (lives) => {
      let ann = await named(lives.server, "ann");
      const old = await ann.say("old");
      await lives.restart(); // the message is not in the recent past, its edit is going to be
      ann = await named(lives.server, "ann", "lobby", "", ann);
      const since = await ann.say("new");
      const edit = await ann.get("ack", { type: "edit", id: old.id, message: "secret" });
      const del = await ann.get("ack", { type: "delete", id: old.id });
      await ann.say("newer");
      for (const [id, events] of [[since.id, [del.id]], [edit.id, [del.id]], [del.id, []]]) {
        const back = await named(lives.server, "bob", "lobby", `&since=${id}`);
        assert.equal(back.joined.recovered, true);
        const got = await back.take(events.length + 1);
        assert.deepEqual(got.map((f) => f.event_id ?? f.message), [...events, "newer"]);
        await back.leave();
      }
      await ann.leave();
    }));
}

test("bye and 1012 at SIGTERM, with a time to come back that is spread", limit(30),
  withLives([...TWO, "--drain-timeout", "5s"], async (lives) => {
    const all = await Promise.all(Array.from({ length: 60 }, (_, i) => named(lives.server, `u${i}`, `room-${i % 5}`)));
    lives.server.kill("SIGTERM");
    await Promise.all(all.map((one) => one.closesWith(1012)));
    const byes = all.map((one) => one.frames.at(-1));
    for (const bye of byes) {
      assert.deepEqual([bye.type, bye.code], ["bye", 1012], "it is the last frame");
      assert.ok(Number.isInteger(bye.retry_after_ms) && bye.retry_after_ms > 0 && bye.retry_after_ms < 60000);
    }
    assert.ok(new Set(byes.map((bye) => bye.retry_after_ms)).size > 20, "not all at once");
    await lives.server.gone;
  }));

test("compression: rich clients that offer it get the same frames", limit(20), withServer(TWO, async (server) => {
  const ann = await named(server, "ann");
  const bob = await Rich.join(server, "lobby", { query: "?username=bob", perMessageDeflate: { threshold: 0 } });
  assert.match(bob.socket.extensions, /permessage-deflate/);
  const long = "a room is a log, a member is a cursor; ".repeat(100);
  for (const message of [long, "short", `${long}!`]) {
    const ack = await bob.say(message);
    const [a, b] = [await ann.next("message"), await bob.next("message")];
    assert.deepEqual(a, b);
    assert.deepEqual([a.message, a.id], [message, ack.id]);
  }
  const back = await Rich.join(server, "lobby", { query: `?since=${bob.joined.id}`, perMessageDeflate: true });
  assert.deepEqual(textsOf(await back.take(3)), [long, "short", `${long}!`]);
  const page = await bob.get("history", { type: "history" });
  assert.equal(page.messages[0].message, long);
  await leaveAll([ann, bob, back]);
}));

/** As much as the kernel takes for a peer that does not read (see robust.test.js). */
const KERNEL_HOLDS = (2 << 20) +
  Number(readFileSync("/proc/sys/net/ipv4/tcp_wmem", "utf8").trim().split(/\s+/)[2]);

/** A rich client that decides when it reads, in several rooms. */
async function rawRich(server, rooms) {
  const raw = await Raw.open(server.port, `/ws/chat/${rooms[0]}/?username=slow`,
    { headers: { "Sec-WebSocket-Protocol": "parlor.v1" } });
  for (const room of rooms.slice(1)) await raw.send(text(JSON.stringify({ type: "join", room })));
  for (let joined = 0; joined < rooms.length;) {
    const frame = JSON.parse((await raw.next()).payload.toString());
    if (frame.type === "joined") joined++;
  }
  return raw;
}

test("several busy rooms and a slow reader: frames are whole, each room complete and in order", limit(60),
  withServer([...TWO, "--lag-max-bytes", "256m"], async (server) => {
    const rooms = ["a", "b", "c", "d"];
    const slow = await rawRich(server, rooms);
    const talkers = await Promise.all(rooms.map((room) => named(server, "ann", room)));
    const each = Math.ceil((KERNEL_HOLDS + (6 << 20)) / 8000 / rooms.length);
    slow.socket.pause();
    let asked = 0;
    for (let from = 0; from < each; from += 20) {
      const to = Math.min(each, from + 20);
      await Promise.all(talkers.flatMap((t) => numbers(from, to).map((m) => t.say(m.padEnd(8000, ".")))));
      // Answers and typing come in between, and must not land inside another room's frame.
      await slow.send(text(JSON.stringify({ type: "who", room: rooms[asked % 4], ref: asked++ })));
      talkers[0].send({ type: "typing" });
      if (from % 100 === 0) setTimeout(() => slow.socket.resume(), 1), setTimeout(() => slow.socket.pause(), 3);
    }
    slow.socket.resume();
    const next = Object.fromEntries(rooms.map((room) => [room, 0]));
    const answers = new Set();
    while (Object.values(next).some((n) => n < each) || answers.size < asked) {
      const got = await slow.next(ms(20000)); // the reader checks the form of every frame
      assert.equal(got.opcode, TEXT, got.opcode === CLOSE && JSON.stringify(closeOf(got.payload)));
      const frame = JSON.parse(got.payload.toString());
      if (frame.type === "members") answers.add(frame.ref);
      if (frame.type !== "message") continue;
      assert.equal(Number.parseInt(frame.message.slice(1), 10), next[frame.room]++, `order in ${frame.room}`);
    }
    await slow.closeClean();
    await leaveAll(talkers);
  }));

test("a rich client that is too slow for one of its rooms is closed with 4202, and resumes each", limit(60),
  withServer([...TWO, "--lag-max-bytes", "512k"], async (server) => {
    const rooms = ["a", "b"];
    const slow = await rawRich(server, rooms);
    const talkers = await Promise.all(rooms.map((room) => named(server, "ann", room)));
    const each = Math.ceil((KERNEL_HOLDS + (8 << 20)) / 16000 / 2);
    slow.socket.pause();
    const resumed = until(ms(40000), async () => (await server.metric(/^parlor_lag_closes_total$/)) === 1, "the lag close")
      .then(() => slow.socket.resume()); // before the server has waited 10 s for that
    resumed.catch(() => {}); // waited for below
    for (let i = 0; i < each; i += 8)
      await Promise.all(talkers.flatMap((t) => numbers(i, i + 8).map((m) => t.say(m.padEnd(16000, ".")))));
    const total = Math.ceil(each / 8) * 8;
    await resumed;
    const last = { a: `${talkers[0].joined.epoch}-0`, b: `${talkers[1].joined.epoch}-0` };
    const got = { a: [], b: [] };
    const note = (frame) => {
      if (frame.type !== "message") return;
      got[frame.room].push(frame.message);
      last[frame.room] = frame.id;
    };
    for (;;) {
      const frame = await slow.next(ms(20000));
      if (frame.opcode === CLOSE) {
        assert.equal(closeOf(frame.payload).code, 4202);
        break;
      }
      note(JSON.parse(frame.payload.toString()));
    }
    slow.destroy();
    assert.ok(got.a.length + got.b.length < 2 * total, "it missed something");
    const back = await named(server, "slow", "a", `&since=${last.a}`);
    await back.get("joined", { type: "join", room: "b", since: last.b });
    for (const frame of await back.take(2 * total - got.a.length - got.b.length)) note(frame);
    const want = numbers(0, total).map((m) => m.padEnd(16000, "."));
    for (const room of rooms) assert.ok(got[room].every((m, i) => m === want[i]) && got[room].length === total, room);
    await leaveAll([back, ...talkers]);
  }));
