// Guests with a key (protocol.md section 10, source 8): what was said stays a guest's own, whoever else takes
// its name, and across reloads, restarts and kills; keys that are none; and `auth`, by which a socket says
// later, or anew, who it is.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { chmodSync, copyFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { visitor, tab } from "./lib/browser.js";
import { Member, Rich } from "./lib/chat.js";
import { article, choose, connected, enter, openMenu, person, say, shows, withPage } from "./lib/page.js";
import { Raw, closeOf } from "./lib/raw.js";
import { runToEnd, startServer, withDirectory, withLives, withServer } from "./lib/server.js";
import { limit, ms, until } from "./lib/wait.js";

const TWO = ["--workers", "2"];
const SECRET = "0123456789abcdef0123456789abcdef-a-secret";
const base64 = (object) => Buffer.from(JSON.stringify(object)).toString("base64url");
const soon = (s = 600) => Math.floor(Date.now() / 1000) + s;

/** A token of SECRET. */
function token(claims) {
  const input = `${base64({ alg: "HS256" })}.${base64({ exp: soon(), ...claims })}`;
  return `${input}.${createHmac("sha256", SECRET).update(input).digest("base64url")}`;
}

const named = (server, name, how = {}) => Rich.join(server, "lobby", { query: `?username=${name}`, ...how });
/** The next word of presence that tells of this name. */
async function tellsOf(rich, name) {
  for (;;) {
    const told = await rich.next("presence");
    if (told.username === name || [...(told.joined ?? []), ...(told.left ?? [])].includes(name)) return told;
  }
}
const leaveAll = (all) => Promise.all(all.map((one) => one.leave()));

/** The body of a test with a server that believes tokens of SECRET. */
const withTokens = (body) => (t) => withDirectory((directory) => {
  const file = path.join(directory, "secret");
  writeFileSync(file, SECRET, { mode: 0o600 });
  return withServer([...TWO, "--jwt-secret-file", file], body)(t);
});

/** What a handshake with these subprotocols is told when it is refused behind its upgrade. */
async function refused(server, protocols) {
  const headers = { "Sec-WebSocket-Protocol": protocols };
  const raw = await Raw.open(server.port, "/ws/chat/lobby/?username=ann", { headers });
  const frame = JSON.parse((await raw.next()).payload.toString());
  const { code, reason } = closeOf((await raw.next()).payload);
  raw.destroy();
  return { frame, code, reason, protocol: raw.response.headers["sec-websocket-protocol"] };
}

test("a guest with its key is the same again, and a stranger of its name is not: reload, restart, kill -9", limit(40), withLives(TWO, async (lives) => {
  const first = await named(lives.server, "ann");
  const { guest, user, username } = first.welcome;
  assert.match(guest.key, /^[\w-]{44}$/);
  assert.match(guest.id, /^guest:[\w-]{16}$/);
  assert.deepEqual([user, username], [guest.id, "ann"]);
  const { id } = await first.say("frist", { nonce: "n1" });
  assert.equal((await first.next("message")).user, guest.id);
  await first.get("ack", { type: "read", id });
  await first.cut();
  for (const [round, end] of ["", "restart", "killAndStart"].entries()) {
    if (end) await lives[end]();
    const stranger = await named(lives.server, "ann");
    assert.notEqual(stranger.welcome.user, guest.id);
    for (const frame of [{ type: "edit", id, message: "mine" }, { type: "delete", id }])
      await stranger.refused("forbidden", frame);
    assert.equal((await stranger.say("frist", { nonce: "n1" })).dup, false, "its nonce is its own");
    const again = await named(lives.server, "ann", { guest: guest.key });
    assert.equal(again.socket.protocol, "parlor.v1", "never the key");
    assert.deepEqual([again.welcome.user, "guest" in again.welcome], [guest.id, false]);
    assert.deepEqual([again.joined.read, "read" in stranger.joined], [id, false]);
    assert.deepEqual(await again.say("frist", { nonce: "n1" }).then((ack) => [ack.id, ack.dup]), [id, true]);
    await again.get("ack", { type: "edit", id, message: `first ${round}` });
    const edit = await stranger.next("edit");
    assert.deepEqual([edit.user, edit.message], [guest.id, `first ${round}`]);
    await leaveAll([stranger, again]);
  }
  // A backup has the secret.
  const backup = path.join(lives.directory, "backup.db");
  await lives.server.stop();
  copyFileSync(lives.file, backup);
  const { code, stderr } = await runToEnd(["restore", backup, "--data", lives.file], {}, {});
  assert.equal(code, 0, stderr);
  await lives.start();
  const restored = await named(lives.server, "ann", { guest: guest.key });
  await restored.get("ack", { type: "delete", id: (await restored.say("back")).id });
  await restored.leave();
}));

test("on two devices a guest is one: both own what either has said; who lists the user", limit(20), withServer(TWO, async (server) => {
  const desk = await named(server, "ann");
  const phone = await named(server, "anna", { guest: desk.key });
  const { id } = await desk.say("from the desk");
  await phone.get("ack", { type: "react", id, emoji: "👍" });
  await desk.get("ack", { type: "react", id, emoji: "👍" });
  await phone.get("ack", { type: "edit", id, message: "from both" });
  const { messages } = await desk.get("history", { type: "history" });
  assert.deepEqual(messages.map((m) => [m.username, m.user, m.message, m.reactions]),
    [["ann", desk.welcome.user, "from both", { "👍": 1 }]]);
  const bare = await Member.join(server, "lobby", { query: "?username=bob" });
  const { members } = await desk.get("members", { type: "who" });
  const listed = members.map(({ username, user }) => [username, user]).sort();
  assert.deepEqual(listed, [["ann", desk.welcome.user], ["anna", desk.welcome.user], ["bob", undefined]]);
  await desk.get("ack", { type: "delete", id });
  await leaveAll([desk, phone, bare]);
}));

test("the seed's client is as it was: no user, nothing of its own; with a key it is somebody", limit(20), withServer(TWO, async (server) => {
  const full = await Member.join(server, "lobby", { query: "?fields=full" });
  const bare = await Member.join(server);
  bare.say("hi", { username: "ann" });
  await bare.expectBare("ann", "hi");
  const { id, user } = await full.next();
  assert.equal(user, undefined);
  const rich = await named(server, "ann");
  await rich.refused("forbidden", { type: "edit", id, message: "mine" });
  const keyed = await Member.join(server, "lobby", { protocols: ["parlor.bare", `guest.${rich.key}`] });
  assert.equal(keyed.socket.protocol, "parlor.bare");
  keyed.say("with a key", { username: "ann" });
  await keyed.expectBare("ann", "with a key");
  const said = await full.next();
  assert.equal(said.user, rich.welcome.user);
  await rich.get("ack", { type: "edit", id: said.id, message: "mine" });
  await leaveAll([full, bare, rich, keyed]);
}));

test("keys that are none of this server are refused with 4001, and nobody is a guest instead", limit(30), withServer(TWO, async (server) => {
  const ann = await named(server, "ann");
  const other = await startServer();
  const elsewhere = await named(other, "ann");
  const bytes = Buffer.from(ann.key, "base64url");
  const flipped = (at) => Buffer.from(bytes.map((byte, i) => (i === at ? byte ^ 1 : byte))).toString("base64url");
  const wrong = ["", "x", ann.key.slice(0, -1), `${ann.key}A`, elsewhere.key, ann.welcome.guest.id.slice(6),
    ...[0, 1, 12, 13, 16, 17, 32].map(flipped)];
  for (const key of wrong) {
    for (const protocol of ["parlor.v1", "parlor.bare"]) {
      const { frame, code, reason, protocol: selected } = await refused(server, `${protocol}, guest.${key}`);
      const { code: told } = frame.error ?? frame;
      assert.deepEqual([code, told, selected], [4001, "bad_guest_key", protocol], key);
      assert.match(reason, /key of a guest/);
    }
  }
  for (const offer of [`guest.${ann.key}`, `parlor.v1, guest.${ann.key}, guest.${ann.key}`]) {
    const raw = await Raw.open(server.port, "/ws/chat/lobby/", { headers: { "Sec-WebSocket-Protocol": offer }, expect: 400 });
    raw.destroy();
  }
  assert.match(server.stderr, /token_refused/);
  assert.equal(server.stderr.includes(elsewhere.key), false);
  await leaveAll([ann, elsewhere]);
  await other.stop();
}));

test("--secret-file: servers that share it know each other's guests; a file that cannot be is said", limit(30), () => withDirectory(async (directory) => {
  const file = path.join(directory, "secret");
  writeFileSync(file, SECRET, { mode: 0o600 });
  const [one, two] = [await startServer(["--secret-file", file]), await startServer(["--secret-file", file])];
  const ann = await named(one, "ann");
  const there = await named(two, "ann", { guest: ann.key });
  assert.equal(there.welcome.user, ann.welcome.user);
  await leaveAll([ann, there]);
  for (const server of [one, two]) await server.stop();
  const short = path.join(directory, "short");
  writeFileSync(short, "short", { mode: 0o600 });
  chmodSync(file, 0o644);
  /** @type {[string, RegExp][]} */
  const bad = [[file, /chmod 600/], [short, /32 bytes/], [path.join(directory, "none"), /No such file/]];
  for (const [given, why] of bad) {
    const { code, stderr } = await runToEnd(["--secret-file", given, "--listen", "127.0.0.1:0", "--data", ":memory:"], {}, {});
    assert.notEqual(code, 0);
    assert.match(stderr, why);
    assert.match(stderr, /secret-file/);
  }
}));

test("auth: a guest becomes a user once, in all its rooms, and nobody else after it", limit(30), withTokens(async (server) => {
  const bob = await named(server, "bob");
  const ann = await named(server, "ann");
  await tellsOf(bob, "ann");
  await ann.get("joined", { type: "join", room: "b" });
  const own = await ann.say("as a guest");
  const welcome = ann.welcome;
  const ack = await ann.get("ack", { type: "auth", token: token({ sub: "u1", name: "Ann B", exp: soon(600) }) });
  assert.deepEqual([ack.user, ack.username], ["u1", "Ann B"]);
  assert.ok(Math.abs(ack.expires - Date.now() - 600000) < 5000, "ms since 1970");
  const seen = await tellsOf(bob, "Ann B");
  assert.deepEqual([seen.joined, seen.left], [["Ann B"], ["ann"]]);
  for (const room of ["lobby", "b"]) {
    const { members } = await ann.get("members", { type: "who", room });
    assert.deepEqual(members.filter((m) => m.user === "u1").map((m) => m.username), ["Ann B"], room);
  }
  await ann.say("as a user", { username: "mallory" });
  await bob.next("message");
  const said = await bob.next("message");
  assert.deepEqual([said.username, said.user], ["Ann B", "u1"]);
  await ann.refused("forbidden", { type: "edit", id: own.id, message: "was the guest's" });
  // The same one again, under another name of hers; another one not, by whatever.
  const again = await ann.get("ack", { type: "auth", token: token({ sub: "u1", name: "Annie" }) });
  assert.equal(again.username, "Annie");
  for (const frame of [{ token: token({ sub: "u2" }) }, { guest: welcome.guest.key }, { guest: bob.key }])
    await ann.refused("other_user", { type: "auth", ...frame });
  for (const frame of [{ token: "x" }, { token: token({ sub: "u1", exp: soon(-120) }) }])
    await ann.refused("unauthorized", { type: "auth", ...frame });
  await ann.refused("bad_guest_key", { type: "auth", guest: "x" });
  await ann.say("she still is");
  assert.deepEqual([(await bob.next("message")).username], ["Annie"]);
  await leaveAll([ann, bob]);
}));

test("auth: a new guest may be one that was here before; that one is no other guest", limit(20), withServer(TWO, async (server) => {
  const before = await named(server, "ann");
  const { id } = await before.say("before");
  await before.leave();
  const ann = await named(server, "ann");
  const ack = await ann.get("ack", { type: "auth", guest: before.key });
  assert.deepEqual([ack.user, ack.username, "expires" in ack], [before.welcome.user, "ann", false]);
  await ann.get("ack", { type: "edit", id, message: "after" });
  await ann.get("ack", { type: "auth", guest: before.key });
  await ann.refused("other_user", { type: "auth", guest: ann.welcome.guest.key });
  const other = await named(server, "bob");
  await ann.refused("other_user", { type: "auth", guest: other.key });
  await ann.refused("unauthorized", { type: "auth", token: token({ sub: "u1" }) }); // nothing here believes it
  for (const frame of [{}, { token: "x", guest: "x" }, { token: 5 }, { guest: "" }])
    await ann.refused("bad_field", { type: "auth", ...frame });
  await ann.say("the socket lives", { username: "ann" });
  await leaveAll([ann, other]);
}));

test("auth: rooms that the newer rights do not open are left, with a word", limit(20), withTokens(async (server) => {
  const rights = (rooms) => token({ sub: "u1", name: "Ann", parlor: { rooms } });
  const ann = await Rich.join(server, "lobby", { protocols: ["parlor.v1", `bearer.${rights({ "*": "write" })}`] });
  const bob = await Rich.join(server, "b", { query: "?username=bob" });
  await ann.get("joined", { type: "join", room: "b" });
  await ann.get("joined", { type: "join", room: "c" });
  assert.equal((await tellsOf(bob, "Ann")).event, "join");
  await ann.get("ack", { type: "auth", token: rights({ lobby: "read", c: "write" }) });
  const left = await ann.next("left");
  assert.deepEqual([left.room, left.code, "ref" in left], ["b", "forbidden", false]);
  assert.match(left.detail, /rights/);
  assert.equal((await tellsOf(bob, "Ann")).event, "leave");
  await ann.refused("not_joined", { message: "x", room: "b" });
  await ann.refused("forbidden", { message: "x", room: "lobby" });
  await ann.say("here", { room: "c" });
  // Out of the room of the URL too; the socket lives.
  await ann.get("ack", { type: "auth", token: rights({ c: "read" }) });
  assert.equal((await ann.next("left")).room, "lobby");
  await ann.get("members", { type: "who", room: "c" });
  await leaveAll([ann, bob]);
}));

test("auth: a newer token puts the end off, a bad one does not", limit(30), withTokens(async (server) => {
  const sign = (s) => token({ sub: "u1", name: "Ann", exp: soon(s) });
  const join = () => Rich.join(server, "lobby", { protocols: ["parlor.v1", `bearer.${sign(3)}`] });
  const [ann, other] = [await join(), await join()];
  for (const one of [ann, other]) assert.equal((await one.next("error")).code, "token_expired");
  await ann.get("ack", { type: "auth", token: sign(600) });
  await other.refused("unauthorized", { type: "auth", token: sign(-120) });
  assert.equal((await other.closed).code, 4203);
  await ann.say("still here");
  assert.deepEqual(ann.unread("error"), []);
  // Near its end it is told again, of the newer one.
  await ann.get("ack", { type: "auth", token: sign(2) });
  assert.equal((await ann.next("error")).code, "token_expired");
  assert.equal((await ann.closed).code, 4203);
  assert.equal(ann.frames.filter((f) => f.code === "token_expired").length, 2);
}));

test("auth costs a message of the rate, so that nobody burns signatures", limit(20), withServer(["--rate", "5"], async (server) => {
  const ann = await named(server, "ann");
  const answers = await Promise.all(Array.from({ length: 20 }, () => ann.ask({ type: "auth", guest: ann.key })));
  const acks = answers.filter((a) => a.type === "ack").length;
  assert.ok(acks >= 5 && acks <= 7, `${acks} of 20`);
  assert.ok(answers.every((a) => a.type === "ack" || (a.code === "rate_limited" && a.temporary)));
  assert.equal((await ann.ask({ message: "x" })).code, "rate_limited");
  await ann.leave();
}));

// ---- the page ----

const acked = async (page, text) => {
  await shows(page, text);
  await page.waitForFunction(() => !document.querySelector("article.pending"));
};

/** Whether the page offers to edit it. */
async function offersEdit(page, text) {
  await openMenu(page, text);
  const offered = await page.locator("#menu").getByRole("button", { name: "Edit", exact: true }).isVisible();
  await page.keyboard.press("Escape");
  await page.locator("#menu[open]").waitFor({ state: "detached" }).catch(() => {});
  return offered;
}

test("page: two names in two tabs are two guests, one name is the same after a reload and a restart", limit(60), withPage(async ({ browser, url, life }) => {
  const ann = await person(browser, url, "lobby", "Ann");
  const two = await tab(ann.context);
  await enter(two.page, url, "lobby", "Bob");
  await say(ann.page, "from Ann");
  await acked(ann.page, "from Ann");
  await say(two.page, "from Bob");
  for (const { page } of [ann, two]) await acked(page, "from Bob");
  const keys = await ann.page.evaluate(() => JSON.parse(localStorage.getItem("parlor.guests")));
  assert.deepEqual(keys.map((k) => k[1]).sort(), ["Ann", "Bob"]);
  assert.notEqual(keys[0][2], keys[1][2]);
  assert.deepEqual([await offersEdit(ann.page, "from Ann"), await offersEdit(ann.page, "from Bob")], [true, false]);
  assert.deepEqual([await offersEdit(two.page, "from Ann"), await offersEdit(two.page, "from Bob")], [false, true]);
  // A stranger in another browser, under the same name once Ann is gone.
  const stranger = await visitor(browser);
  const probe = await named(life.server, "probe");
  await ann.page.goto("about:blank");
  await until(ms(10000), async () =>
    (await probe.get("members", { type: "who" })).members.every((m) => m.username !== "Ann"), "Ann is gone");
  await probe.leave();
  await enter(stranger.page, url, "lobby", "Ann");
  await shows(stranger.page, "from Ann");
  assert.equal(await offersEdit(stranger.page, "from Ann"), false);
  await stranger.page.close();
  await life.server.stop();
  life.server = await life.start();
  await ann.page.goBack();
  await connected(ann.page);
  await shows(ann.page, "from Ann");
  await choose(ann.page, "from Ann", "Edit");
  await say(ann.page, "edited by Ann");
  await shows(two.page, "edited by Ann");
  assert.deepEqual([...ann.problems.filter((p) => !/WebSocket|ERR_CONNECTION/.test(p))], []);
}));

test("page: a key that is refused is dropped, and a new one taken", limit(60), withPage(async ({ browser, url }) => {
  const ann = await person(browser, url, "lobby", "Ann");
  await ann.page.evaluate(() => {
    const keys = JSON.parse(localStorage.getItem("parlor.guests"));
    localStorage.setItem("parlor.guests", JSON.stringify(keys.map(([base, name]) => [base, name, "A".repeat(44)])));
  });
  await ann.page.reload();
  await connected(ann.page);
  const keys = await ann.page.evaluate(() => JSON.parse(localStorage.getItem("parlor.guests")));
  assert.equal(keys.length, 1);
  assert.notEqual(keys[0][2], "A".repeat(44));
  await say(ann.page, "I am new");
  await acked(ann.page, "I am new");
  assert.equal(await article(ann.page, "I am new").count(), 1);
  assert.equal(await offersEdit(ann.page, "I am new"), true);
}));
