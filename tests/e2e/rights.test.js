// Who may do what in rooms (protocol.md section 11): every action, on every door, with every right, however
// that was come by; the ways around it; and what a wrong configuration is told.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { Api, KEY } from "./lib/api.js";
import { Member, Rich } from "./lib/chat.js";
import { RICH, Raw, jsonText } from "./lib/raw.js";
import { runToEnd, withDirectory, withServer } from "./lib/server.js";
import { bearer, secretArgs, token } from "./lib/token.js";
import { limit, ms, until } from "./lib/wait.js";

/* The tables of section 11. */
const RIGHTS = ["none", "read", "write", "moderate", "own"];
const NEEDS = {
  read: ["join", "history", "search", "who", "read", "delete"],
  write: ["message", "edit", "react", "typing"],
  moderate: ["kick", "mute", "ban", "remove", "purge", "slow_mode", "frozen"],
  own: ["room", "grant", "revoke"],
};
const allows = (right, action) =>
  RIGHTS.indexOf(right) >= RIGHTS.findIndex((one) => NEEDS[one]?.includes(action));
const ACTIONS = Object.values(NEEDS).flat();

/** The body of a test with a server that has these sections in its configuration. */
const withRules = (sections, body, more = []) => (t) => withDirectory((directory) => {
  const file = path.join(directory, "parlor.ini");
  writeFileSync(file, sections);
  const args = ["--workers", "2", "--rate", "0", "--config", file, ...secretArgs(directory), ...more];
  return withServer(args, (server) => body(server, t), { PARLOR_API_KEY: KEY })(t);
});

// ---- the table

/** Somebody who comes by a right in a room: what the configuration says of it, what a token does. */
const guest = (right) => ({ room: `guest-${right}`, right, sections: { "access-guests": right, "access-signed-in": "own" } });
const user = (right) => ({
  room: `user-${right}`, right, sections: { "access-guests": "write", "access-signed-in": right }, claims: { sub: "u1", name: "Ann" },
});
const SETTINGS = {
  unset: {},
  closed: { "access-guests": "none", "access-signed-in": "none" },
  open: { "access-guests": "write", "access-signed-in": "own" },
};
const bearers = (right) => Object.entries(SETTINGS).map(([setting, sections]) => {
  const room = `token-${setting}-${right}`;
  return { room, right, sections, claims: { sub: "u1", name: "Ann", parlor: { rooms: { hall: "write", [room]: right } } } };
});
const CASES = [
  ...RIGHTS.slice(0, 3).map(guest),
  ...RIGHTS.map(user),
  ...RIGHTS.flatMap(bearers),
];

const sectionOf = ({ room, sections }) =>
  `[room "${room}"]\n${Object.entries(sections).map(([key, value]) => `${key} = ${value}\n`).join("")}`;
const nameOf = (who) => who.claims?.name ?? "Bob";
/* What the guest Bob has, once he was there: what he said is only with it his. */
const bobs = { id: "", key: "" };
const howOf = (who) => (who.claims ? bearer(token(who.claims)) : { query: "?username=Bob", protocols: ["parlor.v1", `guest.${bobs.key}`] });

/** What each frame has to be answered with by whoever is in the room, and by whoever is not. */
function wanted(who, action) {
  if (!allows(who.right, "join")) return "not_joined";
  if (!allows(who.right, action)) return "forbidden";
  return { history: "history", who: "members", typing: "nothing" }[action] ?? "ack";
}

/** Typing is answered only where it is refused: what comes behind it is. */
async function typing(rich, room) {
  rich.send({ type: "typing", room, on: true, ref: "typing" });
  await rich.ask({ type: "who", room });
  return rich.frames.find((frame) => frame.ref === "typing") ?? { type: "nothing" };
}

const DOORS = {
  "a frame, from another room": async (server, who, history) => {
    const rich = await Rich.join(server, "hall", howOf(who));
    return { rich, answer: await rich.ask({ type: "join", room: who.room, history }) };
  },
  "the URL, parlor.v1": async (server, who, history) => {
    const how = howOf(who);
    const query = `${how.query ?? "?"}&history=${history}`;
    const rich = await Rich.open(server, who.room, { ...how, query });
    const first = await rich.next(["welcome", "error"]);
    if (first.type === "error") await rich.closesWith(4003);
    return { rich, answer: first.type === "error" ? first : await rich.next("joined") };
  },
};

/** Tries everything through a door of rich clients; returns how many cells that was. */
async function tryRich(server, api, who, door) {
  const { room, right, claims } = who;
  const what = `${room}, by ${door}`;
  const as = { username: nameOf(who), user: claims ? "u1" : bobs.id };
  const kept = await api.post(room, "kept", as);
  const gone = await api.post(room, "gone", as);
  const { rich, answer } = await DOORS[door](server, who, 2);
  const joins = allows(right, "join");
  assert.deepEqual([answer.type, answer.code, answer.right], joins ? ["joined", undefined, right] : ["error", "forbidden", undefined], what);
  if (joins) assert.deepEqual((await rich.take(2, "message")).map((m) => m.message), ["kept", "gone"], what);
  if (rich.socket.readyState !== rich.socket.OPEN) return 2; // join, and history with it
  const frames = {
    history: { type: "history" },
    who: { type: "who" },
    read: { type: "read", id: kept.id },
    message: { type: "message", message: "said" },
    react: { type: "react", id: kept.id, emoji: "x" },
    edit: { type: "edit", id: kept.id, message: "changed" },
    delete: { type: "delete", id: gone.id },
  };
  for (const [action, frame] of Object.entries(frames)) {
    const got = await rich.ask({ ...frame, room });
    assert.equal(got.code ?? got.type, wanted(who, action), `${action} in ${what}`);
    if (got.code === "forbidden") assert.equal(got.detail, "you may read here, but not write", what);
    if (action === "history" && !got.code) assert.ok(got.messages.some((m) => m.id === kept.id), what);
  }
  const typed = await typing(rich, room);
  assert.equal(typed.code ?? typed.type, wanted(who, "typing"), `typing in ${what}`);
  await rich.leave();
  await nothingElse(api, who, [kept, gone]);
  return 2 + Object.keys(frames).length + 1;
}

/** What was tried has happened where it was allowed, and nowhere else. */
async function nothingElse(api, who, [kept, gone]) {
  const { room, right } = who;
  const { messages } = await api.get(`/rooms/${room}/messages?after=${kept.id}`);
  const now = await api.get(`/rooms/${room}/messages/${kept.id}`);
  assert.equal(now.message, allows(right, "edit") ? "changed" : "kept", room);
  assert.deepEqual(now.reactions, allows(right, "react") ? { x: 1 } : undefined, room);
  const texts = [...(allows(right, "delete") ? [] : ["gone"]), ...(allows(right, "message") ? ["said"] : [])];
  assert.deepEqual(messages.map((m) => m.message), texts, room);
  assert.equal(messages.some((m) => m.id === gone.id), !allows(right, "delete"), room);
}

async function tryBare(server, api, who) {
  const { room, right, claims } = who;
  await api.post(room, "old", { username: "app" });
  const query = claims ? `?token=${token(claims)}&history=1` : "?username=Bob&history=1";
  const bare = await Member.join(server, room, { query });
  if (allows(right, "join")) {
    assert.equal((await bare.next()).message, "old", room);
    bare.say("said");
    if (allows(right, "message")) assert.equal((await bare.next()).message, "said", room);
    else assert.equal((await bare.expectRefusal("forbidden")).message, "Not sent: you may read here, but not write", room);
    await bare.leave(); // a refusal is no reason to close
  } else {
    const said = await bare.next();
    assert.deepEqual([said.username, said.error.code], ["system", "forbidden"], room);
    await bare.closesWith(4003);
  }
  return 3; // join, history with it, message
}

/** What the server says somebody may do there, and why. A token's rooms are not its to know. */
async function tryRights(api, who) {
  const { room, claims, sections } = who;
  const key = claims ? "access-signed-in" : "access-guests";
  const right = sections[key] ?? "write";
  const got = await api.get(`/rooms/${room}/rights${claims ? "?user=u1" : ""}`);
  const stated = key in sections;
  assert.deepEqual([got.room, got.user, got.right, got.reason, got.pattern],
    [room, claims ? "u1" : undefined, right, stated ? "setting" : "default", stated ? room : undefined]);
  assert.deepEqual(got.actions, Object.fromEntries(ACTIONS.map((action) => [action, allows(right, action)])), room);
  assert.equal(/token/.test(got.note ?? ""), Boolean(claims));
  return ACTIONS.length;
}

test("every action, on every door, with every right, from settings and tokens", limit(120), withRules(CASES.map(sectionOf).join("\n"), async (server, t) => {
  const api = new Api(server);
  const watcher = await Rich.join(server, "hall", bearer(token({ sub: "boss", name: "Boss", parlor: { rooms: { "*": "own" } } })));
  for (const { room } of CASES) await watcher.get("joined", { type: "join", room });
  const first = await Rich.join(server, "hall");
  Object.assign(bobs, first.welcome.guest);
  await first.leave();
  let cells = 0;
  for (const who of CASES) {
    for (const door of Object.keys(DOORS)) cells += await tryRich(server, api, who, door);
    cells += await tryBare(server, api, who);
    cells += await tryRights(api, who);
  }
  /* The others were told of what was allowed, and of nothing else. */
  await watcher.settled("hall");
  for (const who of CASES) {
    const told = watcher.frames.filter((f) => f.room === who.room && f.username === nameOf(who));
    const of = (type, text) => told.some((f) => f.type === type && (text === undefined || f.message === text));
    for (const action of ["edit", "react", "typing", "delete"])
      assert.equal(of(action), allows(who.right, action), `${action} was told in ${who.room}`);
    assert.equal(of("message", "said"), allows(who.right, "message"), who.room);
    assert.equal(of("presence"), allows(who.right, "join"), who.room);
    cells += 6;
  }
  await watcher.leave();
  assert.equal(CASES.length, 23);
  t.diagnostic(`${cells} cells`);
}));

// ---- rooms that one may not read

const VAULT = "[room \"vault-*\"]\naccess-guests = none\n[room \"hall\"]\naccess-guests = read\n";

/** Everything that comes after this handshake, but for what is random in it. */
async function whole(server, room, query, headers) {
  const raw = await Raw.open(server.port, `/ws/chat/${room}/${query}`, { headers });
  const { "sec-websocket-accept": _, ...head } = raw.response.headers;
  const frame = (await raw.next()).payload.toString();
  const end = await raw.expectFailure(4003);
  return JSON.stringify([head, frame, end.code, end.reason]);
}

test("a closed room answers the same whether it exists or not, and asking for it costs no room", limit(60), withRules(VAULT, async (server) => {
  const api = new Api(server);
  const { id } = await api.post("vault-a", "secret");
  const boss = await Rich.join(server, "vault-a", bearer(token({ sub: "boss", name: "Boss" }))); // open to who is signed in
  for (const query of ["", "?history=50", `?since=${id}`, "?since=", "?fields=full", "?username=Boss"]) {
    for (const headers of [{}, RICH]) {
      const there = await whole(server, "vault-a", query, headers);
      assert.equal(there, await whole(server, "vault-b", query, headers), query);
      assert.doesNotMatch(there, /secret|vault/);
      assert.equal(there, await whole(server, "%76ault-a", query, headers), "as it is decoded");
    }
  }
  const raw = await Raw.open(server.port, "/ws/chat/lobby/?username=bob", { headers: RICH });
  const asked = async (frame) => {
    await raw.send(jsonText({ ...frame, ref: 1 }));
    for (;;) {
      const text = (await raw.message()).payload.toString();
      if (JSON.parse(text).ref === 1) return text;
    }
  };
  const frames = [
    { type: "join" }, { type: "join", since: id }, { type: "join", history: 10 },
    { type: "message", message: "x" }, { type: "message", message: "x", reply_to: id },
    { type: "history" }, { type: "history", before: id }, { type: "who" }, { type: "typing", on: true },
    { type: "read", id }, { type: "edit", id, message: "x" }, { type: "delete", id }, { type: "react", id, emoji: "x" },
    { type: "unreact", id, emoji: "x" }, { type: "leave" },
  ];
  for (const frame of frames) {
    const there = await asked({ ...frame, room: "vault-a" });
    assert.equal(there, await asked({ ...frame, room: "vault-b" }), frame.type);
    assert.equal(JSON.parse(there).code, frame.type === "join" ? "forbidden" : "not_joined", there);
  }
  raw.destroy();
  /* Nobody heard of it, no room was made, and the budget of new rooms is whole. */
  await boss.expectNothing(["message", "typing", "edit", "delete", "react"]);
  assert.equal((await boss.ask({ type: "who" })).count, 1);
  await api.fails(404, "not_found", "GET", "/rooms/vault-b");
  for (let i = 0; i < 2; i++) {
    const opens = await Rich.join(server, `new-${i}`);
    await opens.leave();
  }
  await boss.leave();
}, ["--trusted-proxies", "none", "--rooms-per-ip", "4"]));

test("ways around: another room of the same socket, what was begun before, rooms by no name", limit(30), withRules(VAULT, async (server) => {
  const api = new Api(server);
  const { id } = await api.post("vault-a", "secret");
  const hall = await api.post("hall", "hi");
  const bob = await Rich.join(server, "lobby", { query: "?username=bob" });
  /* All at once: what follows a join that is refused has no room. */
  const join = bob.ask({ type: "join", room: "vault-a" });
  const message = bob.ask({ type: "message", room: "vault-a", message: "through" });
  const history = bob.ask({ type: "history", room: "vault-a" });
  assert.deepEqual([await join, await message, await history].map((f) => f.code), ["forbidden", "not_joined", "not_joined"]);
  /* An id of one room in a frame for another. */
  for (const frame of [{ type: "edit", id, message: "x" }, { type: "delete", id }, { type: "react", id, emoji: "x" },
    { type: "history", around: id }, { type: "message", message: "x", reply_to: id }])
    assert.equal((await bob.ask(frame)).code, "no_message", frame.type);
  /* The right is that of the room of the frame: the lobby's does not help in the hall. */
  assert.equal((await bob.get("joined", { type: "join", room: "hall" })).right, "read");
  for (const frame of [{ type: "message", message: "x" }, { type: "react", id: hall.id, emoji: "x" }])
    assert.equal((await bob.ask({ ...frame, room: "hall" })).code, "forbidden", frame.type);
  await bob.say("here");
  /* And the other way round, from a socket that was opened for the hall. */
  const eve = await Rich.join(server, "hall", { query: "?username=eve" });
  await eve.refused("forbidden", { type: "message", message: "x" });
  await eve.get("joined", { type: "join", room: "lobby" });
  await eve.say("here too", { room: "lobby" });
  /* Where its own room was left, no room is meant. */
  await eve.get("left", { type: "leave" });
  await eve.refused("not_joined", { type: "message", message: "x" });
  assert.equal((await eve.get("joined", { type: "join" })).right, "read");
  await eve.refused("forbidden", { type: "message", message: "x" });
  /* Names are bytes: what looks like the room is another. */
  await eve.refused("forbidden", { type: "join", room: "vault-" });
  await eve.get("joined", { type: "join", room: "Vault-a" });
  assert.equal((await eve.get("history", { type: "history", room: "Vault-a" })).messages.length, 0);
  const { messages } = await api.get("/rooms/vault-a/messages");
  assert.deepEqual(messages.map((m) => m.message), ["secret"]);
  await Promise.all([bob.leave(), eve.leave()]);
}));

test("who goes on writing where it may only read is closed in the end", limit(30), withRules(VAULT, async (server) => {
  const bare = await Member.join(server, "hall", { query: "?username=bob" });
  for (let i = 0; i < 150; i++) bare.say("no");
  await bare.closesWith(1008);
  await until(ms(5000), async () => (await server.metric(/^parlor_refusals_total\{code="forbidden"\}/)) >= 100, "counted");
}));

// ---- the call of the API

test("rights of somebody, by the API: which rule decides", limit(20), withRules(`${VAULT}[room "vault-x"]\naccess-signed-in = moderate\n`, async (server) => {
  const api = new Api(server);
  const of = async (target) => {
    const { right, reason, pattern } = await api.get(target);
    return [right, reason, pattern];
  };
  assert.deepEqual(await of("/rooms/vault-x/rights"), ["none", "setting", "vault-*"]);
  assert.deepEqual(await of("/rooms/vault-x/rights?user=u%3A1"), ["moderate", "setting", "vault-x"]);
  assert.deepEqual(await of("/rooms/caf%C3%A9/rights?user=u1"), ["write", "default", undefined]);
  assert.match((await api.get("/rooms/vault-x/rights")).text, /setting/);
  await api.fails(400, "bad_room", "GET", "/rooms/a%2Fb/rights");
  await api.fails(400, "bad_parameter", "GET", `/rooms/a/rights?user=${"x".repeat(129)}`);
  await api.fails(400, "bad_parameter", "GET", "/rooms/a/rights?user=%ff");
  await api.fails(404, "not_found", "GET", "/rooms/vault-b"); // asking made no room
}));

// ---- configuration

test("rules that cannot be stop the start, and are said with file and line", limit(30), () => withDirectory(async (directory) => {
  const file = path.join(directory, "parlor.ini");
  /** @type {[string, string][]} */
  const cases = [
    ["[room \"team-*\"]\naccess-guests = wirte\n", ":2: room \"team-*\": access-guests: \"wirte\" is not allowed; expected one of none, read, write"],
    ["[room \"a\"]\naccess-guests = moderate\n", ":2: room \"a\": access-guests: \"moderate\" is too much for whoever comes along; expected one of none, read, write"],
    ["[room \"a\"]\naccess = none\n", ":2: room \"a\": access: unknown setting; expected one of access-guests, access-signed-in"],
    ["[room \"a/b\"]\naccess-guests = none\n", ":2: room \"a/b\": neither a room nor a pattern: a room name has 1 to 128 bytes of UTF-8, no control characters and no '/'"],
    ["[room \"a\"]\naccess-guests = none\n\n[room \"a\"]\naccess-guests = none\n", ":5: room \"a\": access-guests: given twice"],
    ["[rooms \"a\"]\naccess-guests = none\n", ":1: unknown section [rooms \"a\"]; expected [parlor], [room \"NAME\"] or none"],
    ["[room \"a\"]\nrate = 5\n", ":2: room \"a\": rate: unknown setting; expected one of access-guests, access-signed-in"],
  ];
  for (const [text, why] of cases) {
    writeFileSync(file, text);
    for (const action of [["--check-config"], ["--print-config"], ["--listen", "127.0.0.1:0"]]) {
      const end = await runToEnd([...action, "--config", file], {}, {});
      assert.deepEqual([end.code, end.stderr], [2, `parlor: ${file}${why}\n`]);
    }
  }
  writeFileSync(file, "[room \"team-*\"]\naccess-guests = none\naccess-signed-in = own\n");
  const good = await runToEnd(["--check-config", "--config", file], {}, {});
  assert.deepEqual([good.code, good.stdout], [0, "parlor: the configuration is valid\n"]);
  const printed = await runToEnd(["--print-config", "--config", file], {}, {});
  assert.match(printed.stdout, /\n\[room "team-\*"\]\naccess-guests = none\naccess-signed-in = own\n$/);
}));
