// Who is here, who comes and goes, and who is typing (protocol.md section 5), in rooms small and large.
import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
import { Member, Rich } from "./lib/chat.js";
import { handshake } from "./lib/raw.js";
import { withServer } from "./lib/server.js";
import { SEQ_STEP, limit, ms, pause, until } from "./lib/wait.js";

const TWO = ["--workers", "2", "--rate", "0"];

const named = (server, name, room = "lobby", query = "") =>
  Rich.join(server, room, { query: `?username=${name}${query}` });
const leaveAll = (all) => Promise.all(all.map((one) => one.leave()));

test("who is here, on every rung and worker", limit(60), withServer(TWO, async (server) => {
  const began = Date.now();
  const ann = await named(server, "ann");
  const others = [await named(server, "bob"), await Member.join(server, "lobby", { query: "?username=cid" }),
    await Member.join(server, "lobby", { query: "?fields=full&username=dora" })];
  await others[1].say("hi", { username: "cid the second" });
  await others[1].next();
  const guest = await Rich.join(server);
  const who = await ann.get("members", { type: "who" });
  assert.equal(who.count, 5);
  assert.deepEqual(who.members.map((m) => m.username).sort(),
    ["ann", "bob", "cid the second", "dora", guest.welcome.username].sort());
  for (const { since } of who.members) assert.ok(since >= began - 2000 && since <= Date.now() + 2000);
  await leaveAll([...others, guest]);
  const crowd = await Promise.all(Array.from({ length: 250 }, (_, i) =>
    i % 2 ? named(server, `u${i}`) : Member.join(server, "lobby", { query: `?username=u${i}` })));
  const many = await ann.get("members", { type: "who" });
  assert.equal(many.count, 251);
  assert.equal(many.members.length, 200);
  assert.equal(new Set(many.members.map((m) => m.username)).size, 200);
  for (const one of crowd) one.socket.terminate();
  await until(ms(10000), async () => (await ann.get("members", { type: "who" })).count === 1, "all gone");
  await ann.leave();
}));

test("presence: in a small room each change at once, names and count", limit(30), withServer(TWO, async (server) => {
  const ann = await named(server, "ann");
  const next = () => ann.next("presence");
  await ann.settled();
  await ann.take(ann.unread("presence").length, "presence"); // its own
  const join = (username, n) => ({ type: "presence", room: "lobby", event: "join", username, count: n });
  const left = (username, n) => ({ type: "presence", room: "lobby", event: "leave", username, count: n });
  const bob = await named(server, "bob");
  assert.deepEqual(await next(), join("bob", 2));
  const cid = await Member.join(server, "lobby", { query: "?username=cid" });
  assert.deepEqual(await next(), join("cid", 3));
  const dora = await Member.join(server, "lobby", { query: "?username=dora&fields=full" });
  assert.deepEqual(await next(), join("dora", 4));
  await cid.leave();
  assert.deepEqual(await next(), left("cid", 3));
  await bob.cut();
  assert.deepEqual(await next(), left("bob", 2));
  dora.say("x", { username: "theodora" });
  const renamed = await next();
  assert.deepEqual([renamed.joined, renamed.left, renamed.count], [["theodora"], ["dora"], 2]);
  await dora.leave();
  assert.deepEqual(await next(), left("theodora", 1));
  // Of a room that a socket joins and leaves beside its own.
  const eva = await named(server, "eva", "elsewhere");
  await eva.get("joined", { type: "join", room: "lobby" });
  assert.deepEqual(await next(), join("eva", 2));
  await eva.get("left", { type: "leave", room: "lobby" });
  assert.deepEqual(await next(), left("eva", 1));
  await ann.expectNothing(["presence", "notice"]);
  await leaveAll([ann, eva]);
}));

test("presence above 50 members: one frame a second, with the balance of names", limit(60),
  withServer(TWO, async (server) => {
    const ann = await named(server, "ann");
    const crowd = await Promise.all(Array.from({ length: 59 }, (_, i) => Member.join(server, "lobby", { query: `?username=a${i}` })));
    const counts = async (n) => until(ms(10000), async () => ann.unread("presence").some((f) => f.count === n), `${n} told`);
    await counts(60);
    await pause(1100); // what was still to be told is told
    await ann.take(ann.unread("presence").length, "presence");
    const began = Date.now();
    const more = [];
    for (let i = 0; i < 20; i++) more.push(await Member.join(server, "lobby", { query: `?username=b${i}` }));
    const blink = await Member.join(server, "lobby", { query: "?username=blink" });
    await blink.leave();
    await Promise.all(crowd.slice(0, 25).map((one) => one.leave()));
    await counts(55); // so many there were never on the way up
    const took = Date.now() - began;
    const frames = await ann.take(ann.unread("presence").length, "presence");
    assert.ok(frames.length <= 2 + took / 1000, `${frames.length} frames in ${took} ms`);
    const names = new Map();
    for (const { joined = [], left = [], event, username } of frames) {
      if (joined.length + left.length === 0) (event === "join" ? joined : left).push(username);
      for (const name of joined) names.set(name, (names.get(name) ?? 0) + 1);
      for (const name of left) names.set(name, (names.get(name) ?? 0) - 1);
    }
    assert.equal(names.get("blink") ?? 0, 0);
    names.delete("blink");
    const want = /** @type {[string, any][]} */ ([...Array.from({ length: 20 }, (_, i) => [`b${i}`, 1]), ...Array.from({ length: 25 }, (_, i) => [`a${i}`, -1])]);
    assert.deepEqual(new Map([...names].sort()), new Map(want.sort()));
    for (const one of [...crowd, ...more]) one.socket.terminate();
    await ann.leave();
  }));

test("presence above 50 members goes on after somebody who was gone before it was in", limit(60),
  withServer(["--workers", "1", "--rate", "0"], async (server) => {
    const all = await Promise.all(Array.from({ length: 60 }, (_, i) => named(server, `m${i}`)));
    await until(ms(10000), async () => all[0].frames.findLast((f) => f.type === "presence")?.count === 60, "all are told");
    await pause(1100);
    all.push(await named(server, "first")); // told at once; the next is told a second later
    await all[0].take(all[0].unread("presence").length, "presence");
    server.kill("SIGSTOP"); // so that it reads the handshake when the reset is there already
    await new Promise((resolve) => {
      const ghost = net.connect(server.port, "127.0.0.1", () => ghost.write(handshake("/ws/chat/lobby/"),
        () => ghost.resetAndDestroy().on("close", resolve)));
    });
    server.kill("SIGCONT");
    await until(ms(5000), async () => await server.metric(/^parlor_http_requests_total.*101/) >= 62, "it was let in");
    all.push(await named(server, "second"));
    for (let told; told?.count !== 62;) told = await all[0].next("presence", ms(5000));
    await leaveAll(all);
  }));

test("presence above 500 members: the count alone", limit(60), withServer(TWO, async (server) => {
  const ann = await named(server, "ann");
  const crowd = [];
  while (crowd.length < 510)
    crowd.push(...await Promise.all(Array.from({ length: 30 }, () => Member.join(server, "lobby", { query: "?username=x" }))));
  const last = () => ann.unread("presence").at(-1);
  await until(ms(10000), async () => last()?.count === 511, "all told");
  await pause(1100);
  await ann.take(ann.unread("presence").length, "presence");
  const more = await Promise.all(Array.from({ length: 5 }, (_, i) => named(server, `b${i}`)));
  await until(ms(10000), async () => last()?.count === 516, "the five told");
  for (const frame of ann.unread("presence"))
    assert.deepEqual(Object.keys(frame).sort(), ["count", "room", "type"], JSON.stringify(frame));
  for (const one of [...crowd, ...more]) one.socket.terminate();
  await ann.leave();
}));

test("typing: to the others, at most once a second, never stored", limit(30), withServer(TWO, async (server) => {
  const [ann, bob] = [await named(server, "ann"), await named(server, "bob")];
  const elsewhere = await named(server, "eva", "elsewhere");
  const full = await Member.join(server, "lobby", { query: "?fields=full" });
  const began = Date.now();
  for (let i = 0; i < 20; i++) ann.send({ type: "typing" });
  assert.deepEqual(await bob.next("typing"), { type: "typing", room: "lobby", username: "ann", on: true });
  await ann.settled();
  await bob.settled();
  const late = await bob.take(bob.unread("typing").length, "typing");
  assert.ok(late.length <= (Date.now() - began) / 1000, "more than once a second");
  await pause(1050);
  ann.send({ type: "typing", on: true, room: "lobby" });
  assert.equal((await bob.next("typing")).on, true);
  ann.send({ type: "typing", on: false });
  assert.equal((await bob.next("typing")).on, false);
  await ann.expectNothing("typing");
  await elsewhere.expectNothing("typing");
  await full.expectNothing("nothing on rung 1");
  const { seq } = await ann.say("said");
  assert.equal(seq, 2 * SEQ_STEP, "typing has no place in the log");
  assert.equal((await bob.get("history", { type: "history" })).messages.length, 2);
  await leaveAll([ann, bob, elsewhere, full]);
}));

test("typing in two rooms ends in each", limit(30), withServer(TWO, async (server) => {
  const [ann, bob] = [await named(server, "ann"), await named(server, "bob")];
  for (const one of [ann, bob]) await one.get("joined", { type: "join", room: "other" });
  const hears = async (room, on) => {
    ann.send({ type: "typing", room, on });
    assert.deepEqual(await bob.next("typing"), { type: "typing", room, username: "ann", on });
  };
  await hears("lobby", true);
  await pause(1050); // at most one a second
  await hears("other", true);
  await hears("other", false);
  await hears("lobby", false);
  ann.send({ type: "typing", room: "lobby", on: false }); // it does not any more
  await ann.settled();
  await pause(1100);
  await bob.expectNothing("typing");
  await leaveAll([ann, bob]);
}));

test("typing ends under the name it began with", limit(30), withServer(TWO, async (server) => {
  const [ann, bob] = [await named(server, "ann"), await named(server, "bob")];
  const told = async (username, on) =>
    assert.deepEqual(await bob.next("typing"), { type: "typing", room: "lobby", username, on });
  ann.send({ type: "typing", on: true });
  await told("ann", true);
  await ann.say("hi", { username: "anna" });
  ann.send({ type: "typing", on: false });
  await told("ann", false);
  await ann.settled();
  await pause(1100);
  await bob.expectNothing("typing");
  ann.send({ type: "typing", on: true });
  await told("anna", true);
  ann.send({ type: "typing", on: false });
  await told("anna", false);
  await leaveAll([ann, bob]);
}));

test("typing of many: once a second to each member, of at most ten", limit(60), withServer(TWO, async (server) => {
  const ann = await named(server, "ann");
  const crowd = await Promise.all(Array.from({ length: 80 }, (_, i) => named(server, `m${i}`)));
  await ann.settled();
  const began = performance.now();
  for (const one of crowd) one.send({ type: "typing" });
  await Promise.all(crowd.map((one) => one.settled()));
  await ann.next("typing");
  await pause(1200); // what was yet to be told is
  await ann.settled();
  const told = [...new Set(ann.frames.filter((f) => f.type === "typing").map((f) => f.username))];
  const seconds = Math.ceil((performance.now() - began) / 1000);
  assert.ok(told.length <= 10 * (seconds + 1), `${told.length} were told in ${seconds} s`);
  // Each of those who were told was told to all but itself.
  await until(ms(10000), () => crowd.every((one, i) => told.every((name) =>
    name === `m${i}` || one.frames.some((f) => f.type === "typing" && f.username === name))), "all are told the same");
  for (const [i, one] of crowd.entries())
    assert.ok(one.frames.every((f) => f.type !== "typing" || f.username !== `m${i}`), "told of itself");
  await leaveAll([ann, ...crowd]);
}));

test("typing: who has left is not told to be typing after that", limit(60), withServer(TWO, async (server) => {
  const [ann, bob] = [await named(server, "ann"), await named(server, "bob")];
  for (let i = 0; i < 5; i++) {
    const cid = await named(server, `cid${i}`);
    bob.send({ type: "typing" });
    await ann.next("typing"); // the next are told a second later
    cid.send({ type: "typing" });
    await cid.leave();
    await pause(1100);
    await ann.settled();
    const about = ann.frames.filter((f) => f.username === `cid${i}` && f.type !== "members");
    assert.equal(about.at(-1).event, "leave", JSON.stringify(about));
  }
  await leaveAll([ann, bob]);
}));
