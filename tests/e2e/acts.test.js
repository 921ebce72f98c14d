// Acts: who is revoked, and what that does to sockets, tokens, restarts and everybody else (protocol.md
// sections 10 and 11, docs/decisions/0016-control-log.md).
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { KEY, Api } from "./lib/api.js";
import { Member, Rich } from "./lib/chat.js";
import { Raw, closeOf } from "./lib/raw.js";
import { startServer, withDirectory } from "./lib/server.js";
import { limit, ms, pause } from "./lib/wait.js";

const SECRET = "0123456789abcdef0123456789abcdef-a-secret";
const base64 = (object) => Buffer.from(JSON.stringify(object)).toString("base64url");
const now = () => Math.floor(Date.now() / 1000);

function token(claims) {
  const input = `${base64({ alg: "HS256" })}.${base64({ exp: now() + 600, iat: now() - 10, ...claims })}`;
  return `${input}.${createHmac("sha256", SECRET).update(input).digest("base64url")}`;
}

const rich = (server, claims, room = "lobby") =>
  Rich.join(server, room, { protocols: ["parlor.v1", `bearer.${token(claims)}`] });
const bare = (server, claims, room = "lobby") =>
  Member.join(server, room, { query: `?token=${token(claims)}` });

/** The close code of a handshake with this token, or 0 if it is let in. */
async function entering(server, claims, room = "lobby") {
  const raw = await Raw.open(server.port, `/ws/chat/${room}/?token=${token(claims)}`);
  let code = 0;
  const first = await Promise.race([raw.next(), pause(300)]);
  if (first && first.opcode === 1) code = closeOf((await raw.next()).payload).code;
  raw.destroy();
  return code;
}

/** Runs the body in a directory, with a way to start a server on the same data. */
const withData = (more, body) => () => withDirectory(async (directory) => {
  const secret = path.join(directory, "secret");
  const key = path.join(directory, "key");
  writeFileSync(secret, SECRET, { mode: 0o600 });
  writeFileSync(key, `${KEY}\n`, { mode: 0o600 });
  const running = [];
  const start = async (extra = []) => {
    const server = await startServer(["--data", path.join(directory, "chat.db"), "--workers", "2", "--jwt-secret-file", secret, "--api-key-file", key, "--rate", "0", ...more, ...extra]);
    running.push(server);
    const crash = () => {
      running.splice(running.indexOf(server), 1);
      return server.killHard();
    };
    return { server, api: new Api(server), crash };
  };
  try {
    await body(start);
  } finally {
    for (const server of running) await server.stop();
  }
});

const decide = async (api, act) => {
  const answer = await api.call("POST", "/acts", act);
  assert.equal(answer.status, 201, answer.text);
  return answer.json;
};

test("who is revoked is closed before the answer, and does not come back with what it had", limit(40), withData([], async (start) => {
  const { server, api } = await start();
  const ann = { sub: "u1", name: "Ann" };
  const bob = await rich(server, { sub: "u2", name: "Bob" });
  const guest = await Member.join(server, "lobby");
  const phone = await bare(server, ann);
  const laptop = await rich(server, ann);
  const act = await decide(api, { act: "revoke", user: "u1", reason: "account closed" });
  assert.deepEqual([act.act, act.user, act.reason, act.by], ["revoke", "u1", "account closed", "system"]);
  assert.ok(Math.abs(act.ts - Date.now()) < 10000);
  const told = await phone.next();
  assert.deepEqual([told.username, told.message, told.error.code], ["system", "You were signed out.", "revoked"]);
  assert.equal((await phone.closed).code, 4009);
  assert.equal((await laptop.closed).code, 4009);
  assert.equal(await entering(server, ann), 4001);
  assert.equal(await entering(server, { ...ann, iat: undefined }), 4001, "it does not say when it was issued");
  await pause(1100);
  assert.equal(await entering(server, { ...ann, iat: now() }), 0, "signed in anew");
  bob.send({ type: "message", message: "still here" });
  assert.equal((await bob.next("message")).message, "still here");
  await guest.expectBare("Bob", "still here");
  await bob.leave();
  await guest.leave();
}));

test("one session or one token is revoked alone", limit(30), withData([], async (start) => {
  const { server, api } = await start();
  const ann = { sub: "u1", name: "Ann" };
  const phone = await rich(server, { ...ann, sid: "phone" });
  const laptop = await rich(server, { ...ann, sid: "laptop", jti: "t1" });
  const other = await rich(server, { ...ann, jti: "t2" });
  await decide(api, { act: "revoke", session: "phone" });
  assert.equal((await phone.closed).code, 4009);
  await decide(api, { act: "revoke", token: "t1" });
  assert.equal((await laptop.closed).code, 4009);
  assert.equal(await entering(server, { ...ann, sid: "phone" }), 4001);
  assert.equal(await entering(server, { ...ann, jti: "t1" }), 4001);
  assert.equal(await entering(server, { ...ann, jti: "phone", sid: "t1" }), 0, "session and token are two things");
  other.send({ type: "message", message: "still here" });
  assert.equal((await other.next("message")).message, "still here");
  await other.leave();
}));

test("what was decided holds after kill -9, and is told newest first", limit(40), withData(["--keep-messages", "2", "--max-rooms", "1"], async (start) => {
  const first = await start();
  const member = await rich(first.server, { sub: "u9", name: "Zoe" });
  for (let i = 0; i < 20; i++) member.send({ type: "message", message: `${i}` });
  await member.next("ack").catch(() => {});
  for (let i = 0; i < 30; i++) await decide(first.api, { act: "revoke", user: `u${i % 9}`, reason: `${i}` });
  await first.crash();
  const second = await start();
  await second.server.says(/acts_read.* acts=30/);
  for (let i = 0; i < 9; i++) assert.equal(await entering(second.server, { sub: `u${i}` }), 4001, `u${i}`);
  assert.equal(await entering(second.server, { sub: "u9" }), 0);
  let seen = [];
  let before = "";
  for (let more = true; more;) {
    const { json } = await second.api.call("GET", `/acts?limit=7${before}`);
    seen = seen.concat(json.acts);
    more = json.more;
    before = `&before=${json.acts.at(-1).id}`;
  }
  assert.deepEqual(seen.map((act) => Number(act.reason)), Array.from({ length: 30 }, (_, i) => 29 - i));
  await decide(second.api, { act: "revoke", user: "u9" });
  const rooms = await second.api.call("GET", "/rooms");
  assert.deepEqual(rooms.json.rooms.map((room) => room.room), ["lobby"], "the control log is no room");
  assert.equal((await second.api.call("GET", "/rooms/%2Fcontrol/messages")).status, 400);
}));

test("acts that cannot be meant are refused with what is wrong, and change nothing", limit(20), withData([], async (start) => {
  const { server, api } = await start();
  /** @type {[object, RegExp][]} */
  const refusals = [
    [{ act: "revoke" }, /"user", "session" and "token"/],
    [{ act: "revoke", user: "u1", sesion: "s" }, /a field that this act does not have/],
    [{ act: "fire", user: "u1" }, /revoke, grant or set/],
    [{ act: "grant", room: "lobby", user: "u1", right: "king" }, /none, read, write, moderate, own, or null/],
    [{ act: "grant", room: "a/b", user: "u1", right: "own" }, /name of a room/],
    [{ act: "set", room: "lobby" }, /nothing to set/],
  ];
  for (const [act, why] of refusals) {
    const answer = await api.call("POST", "/acts", act);
    assert.equal(answer.status, 400);
    assert.equal(answer.json.error.code, "bad_field");
    assert.match(answer.json.error.detail, why);
  }
  assert.equal((await api.call("POST", "/acts", "{")).json.error.code, "bad_json");
  assert.deepEqual((await api.call("GET", "/acts")).json, { acts: [], more: false });
  assert.equal(await entering(server, { sub: "u1" }), 0);
}));

test("many sockets of one user are closed within a second, and nobody else waits for it", limit(60), withData(["--max-connections-per-ip", "0", "--connects-per-ip", "0"], async (start) => {
  const { server, api } = await start();
  const many = Number(process.env.REVOKED_SOCKETS ?? 300);
  const watcher = await rich(server, { sub: "u2", name: "Bob" });
  const given = token({ sub: "u1", name: "Ann" });
  const sockets = [];
  for (let i = 0; i < many; i += 100)
    sockets.push(...await Promise.all(Array.from({ length: Math.min(100, many - i) }, () =>
      Raw.open(server.port, `/ws/chat/lobby/?token=${given}`))));
  const closing = Promise.all(sockets.map(async (raw) => {
    await raw.next(); /* in words */
    assert.equal(closeOf((await raw.next()).payload).code, 4009);
    raw.destroy();
    return performance.now();
  }));
  const start_ms = performance.now();
  await decide(api, { act: "revoke", user: "u1" });
  const answered_ms = performance.now() - start_ms;
  watcher.send({ type: "message", message: "after it" });
  await watcher.next("message");
  const said_ms = performance.now() - start_ms;
  const closed_ms = Math.max(...await closing) - start_ms;
  console.log(`${many} sockets: answered after ${answered_ms.toFixed(0)} ms, all closed after ${closed_ms.toFixed(0)} ms, another's message after ${said_ms.toFixed(0)} ms`);
  assert.ok(closed_ms < ms(1000) && said_ms < ms(1000));
  await watcher.leave();
}));

test("a role raises, lowers to nothing, and is taken back; nobody stays where it may not read", limit(40), withData([], async (start) => {
  const { server, api } = await start();
  const ann = { sub: "u1", name: "Ann", parlor: { rooms: { lobby: "read" } } };
  const phone = await bare(server, ann);
  phone.say("not yet");
  assert.equal((await phone.next()).error.code, "forbidden");
  await decide(api, { act: "grant", room: "lobby", user: "u1", right: "write" });
  phone.say("now");
  await phone.expectBare("Ann", "now");
  await decide(api, { act: "grant", room: "lobby", user: "u1", right: null });
  phone.say("no more");
  assert.equal((await phone.next()).error.code, "forbidden");
  await decide(api, { act: "grant", room: "lobby", user: "u1", right: "none" });
  assert.equal((await phone.next()).message, "This room is closed to you now.");
  assert.equal((await phone.closed).code, 4003);
  assert.equal(await entering(server, ann), 4003);
  assert.equal(await entering(server, { ...ann, sub: "u2" }), 0);
  const { json } = await api.call("GET", "/rooms/lobby/rights?user=u1");
  assert.deepEqual([json.right, json.reason], ["none", "role"]);
}));

test("a room that is closed to guests has none left when the answer comes, also after kill -9", limit(40), withData([], async (start) => {
  const { server, api, crash } = await start();
  const guest = await Member.join(server, "board");
  const elsewhere = await Member.join(server, "lobby");
  const ann = await bare(server, { sub: "u1", name: "Ann" }, "board");
  await decide(api, { act: "set", room: "board", access_guests: "none" });
  ann.say("among us");
  await ann.expectBare("Ann", "among us");
  assert.equal((await guest.next()).error.code, "forbidden", "and not what was said after it");
  assert.equal((await guest.closed).code, 4003);
  elsewhere.say("hello", { username: "bob" });
  assert.equal((await elsewhere.next()).message, "hello");
  await crash();
  const again = await start();
  await assertClosedToGuests(again.server, "board");
  await decide(again.api, { act: "set", room: "board", access_guests: null });
  const back = await Member.join(again.server, "board");
  await back.leave();
}));

async function assertClosedToGuests(server, room) {
  const raw = await Raw.open(server.port, `/ws/chat/${room}/`);
  await raw.next();
  assert.equal(closeOf((await raw.next()).payload).code, 4003);
  raw.destroy();
}

test("who is revoked does not come in by a frame either, and a guest's key can be revoked", limit(30), withData([], async (start) => {
  const { server, api } = await start();
  await decide(api, { act: "revoke", user: "u1" });
  const ann = await Rich.join(server, "lobby", { query: "?username=ann" });
  const old = await ann.refused("unauthorized", { type: "auth", token: token({ sub: "u1", name: "Ann" }) });
  assert.equal(old.temporary, false);
  await ann.say("still a guest");
  await decide(api, { act: "revoke", user: ann.welcome.user });
  assert.equal((await ann.closed).code, 4009);
  const back = await Rich.open(server, "lobby", { guest: ann.key });
  assert.equal((await back.closed).code, 4001);
  const other = await Rich.join(server, "lobby", { query: "?username=ann" });
  await other.refused("unauthorized", { type: "auth", guest: ann.key });
  await other.leave();
}));
