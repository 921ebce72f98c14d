// Who signs in with a token (protocol.md section 10): where it may be carried, what is refused and how
// that is told, whose name is sent out, whose messages are whose, and what happens at its end.
import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import { test } from "node:test";
import { Member, Rich } from "./lib/chat.js";
import { portOf } from "./lib/http.js";
import { Raw, closeOf } from "./lib/raw.js";
import { runToEnd, startServer, withDirectory, withServer } from "./lib/server.js";
import { SECRET, base64, bearer, secretArgs, soon, token } from "./lib/token.js";
import { limit, ms, until } from "./lib/wait.js";

const signedIn = (server, claims, room = "lobby") => Rich.join(server, room, bearer(token(claims)));

/** The body of a test with a server that believes tokens of SECRET. */
const withSecret = (more, body) => (t) => withDirectory((directory) =>
  withServer(["--workers", "2", ...secretArgs(directory), ...more], body)(t));

/** What a handshake that is refused behind its upgrade is told: the frame, and the close code. */
async function refused(server, query, headers = {}, room = "lobby") {
  const raw = await Raw.open(server.port, `/ws/chat/${room}/${query}`, { headers });
  const frame = JSON.parse((await raw.next()).payload.toString());
  const { code, reason } = closeOf((await raw.next()).payload);
  raw.destroy();
  return { frame, code, reason, protocol: raw.response.headers["sec-websocket-protocol"] };
}

test("a token is believed wherever it may be carried, and its name is the one sent out", limit(30), withSecret([], async (server) => {
  const ann = token({ sub: "u1", name: "Ann" });
  const reader = await Rich.join(server, "lobby");
  /** @type {[string, {headers?: Record<string, string>, protocols?: string[]}][]} */
  const ways = [
    ["?username=mallory", { headers: { Authorization: `Bearer ${ann}` } }],
    ["?username=mallory", { headers: { Authorization: `bearer   ${ann}` }, protocols: ["parlor.bare"] }],
    ["?username=mallory", { protocols: ["parlor.bare", `bearer.${ann}`] }],
    [`?username=mallory&token=${ann}`, {}],
    [`?token=${encodeURIComponent(ann)}`, {}],
  ];
  for (const [query, how] of ways) {
    const member = await Member.join(server, "lobby", { query, ...how });
    assert.equal(member.socket.protocol, how.protocols ? "parlor.bare" : "", query);
    member.say("hi", { username: "mallory" });
    await member.expectBare("Ann", "hi");
    const got = await reader.next("message");
    assert.deepEqual([got.username, got.user, got.message], ["Ann", "u1", "hi"]);
    await member.leave();
  }
  const rich = await signedIn(server, { sub: "u1", name: "Ann" });
  assert.equal(rich.socket.protocol, "parlor.v1");
  assert.deepEqual([rich.welcome.user, rich.welcome.username], ["u1", "Ann"]);
  await rich.leave();
  await reader.leave();
}));

test("a token that is bad is refused, never passed over for a guest, and the page is told why", limit(30), withSecret(["--jwt-issuer", "https://site", "--jwt-audience", "chat", "--log-level", "debug"], async (server) => {
  const good = { sub: "u1", name: "Ann", iss: "https://site", aud: ["chat", "mail"] };
  const member = await Member.join(server, "lobby", { query: `?token=${token(good)}` });
  await member.leave();
  /** @type {[string, RegExp][]} */
  const cases = [
    ["", /three parts/],
    ["x.y.z", /three parts/],
    [token(good, { secret: "another secret that is long enough for it" }), /signature/],
    [token({ ...good, exp: soon(-120) }), /expired/],
    [token({ ...good, exp: soon(40 * 86400) }), /longer than is allowed/],
    [token({ ...good, iss: "https://elsewhere" }), /another issuer/],
    [token({ ...good, aud: "mail" }), /another audience/],
    [token({ ...good, sub: "guest:1" }), /"sub"/],
    [token(good, { header: { alg: "none" } }), /algorithm/],
    [token({ ...good, name: "system", sub: "system" }), /fit for a name/],
  ];
  for (const [given, why] of cases) {
    const { frame, code, reason } = await refused(server, `?username=bob&token=${given}`);
    assert.match(frame.message, why, given);
    assert.deepEqual([code, frame.username, frame.error.code], [4001, "system", "unauthorized"]);
    assert.match(reason, why);
  }
  const headers = { "Sec-WebSocket-Protocol": `parlor.v1, bearer.${token({ ...good, iss: "x" })}` };
  const rich = await refused(server, "", headers);
  assert.deepEqual([rich.code, rich.protocol, rich.frame.type, rich.frame.code], [4001, "parlor.v1", "error", "unauthorized"]);
  /* The first source counts, even if a later one would do. */
  const first = await refused(server, `?token=${token(good)}`, { Authorization: "Bearer x" });
  assert.equal(first.code, 4001);
  assert.match(server.stderr, /token_refused/);
  assert.doesNotMatch(server.stderr, /eyJ/); // no token, nor a part of one
}));

test("handshakes that say who they are in two ways, or in one that a browser cannot use, are refused", limit(20), withSecret([], async (server) => {
  const ann = token({ sub: "u1", name: "Ann" });
  const tries = [
    { "Sec-WebSocket-Protocol": `bearer.${ann}` },
    { "Sec-WebSocket-Protocol": `chat, bearer.${ann}` },
    { "Sec-WebSocket-Protocol": `parlor.v1, bearer.${ann}, bearer.${ann}` },
    { Authorization: `Bearer ${ann}`, authorization: `Bearer ${ann}` },
  ];
  for (const headers of tries) {
    const raw = await Raw.open(server.port, "/ws/chat/lobby/", { headers, expect: 400 });
    raw.destroy();
  }
  /* Another scheme is the site's, and not ours to look at. */
  const basic = await Member.join(server, "lobby", { headers: { Authorization: "Basic YTpi" } });
  basic.say("hi", { username: "bob" });
  await basic.expectBare("bob", "hi");
  await basic.leave();
}));

test("without keys a token is refused, and Authorization is a proxy's", limit(20), withServer([], async (server) => {
  const { code, frame } = await refused(server, `?token=${token({ sub: "u1" })}`);
  assert.equal(code, 4001);
  assert.match(frame.message, /jwt-secret-file/);
  const member = await Member.join(server, "lobby", { headers: { Authorization: "Bearer of.the.proxy" } });
  member.say("hi", { username: "bob" });
  await member.expectBare("bob", "hi");
  await member.leave();
}));

test("what was said belongs to the user, whatever the name", limit(30), withSecret([], async (server) => {
  const ann = await signedIn(server, { sub: "u1", name: "Ann" });
  const { id } = await ann.say("mine");
  const others = [
    await Rich.join(server, "lobby", { query: "?username=Ann" }), // a guest of that name
    await Rich.join(server, "lobby", { query: "?username=u1" }), // or of that user
    await signedIn(server, { sub: "u2", name: "Ann" }),
  ];
  for (const other of others) {
    assert.equal((await other.ask({ type: "edit", id, message: "not mine" })).code, "forbidden");
    assert.equal((await other.ask({ type: "delete", id })).code, "forbidden");
    await other.leave();
  }
  const again = await signedIn(server, { sub: "u1", name: "Ann of another name" });
  assert.equal((await again.ask({ type: "edit", id, message: "still mine" })).type, "ack");
  /* The user has a read marker, and a guest of that name another one. */
  assert.equal((await again.ask({ type: "read", id })).type, "ack");
  const phone = await signedIn(server, { sub: "u1", name: "Ann" });
  assert.equal(phone.joined.read, id);
  const guest = await Rich.join(server, "lobby", { query: "?username=u1" });
  assert.equal(guest.joined.read, undefined);
  assert.equal((await guest.ask({ type: "read", id })).type, "ack");
  await Promise.all([ann, again, phone, guest].map((one) => one.leave()));
}));

test("what a token says of rooms holds on every door, and says nothing of which rooms there are", limit(30), withSecret([], async (server) => {
  const parlor = { rooms: { lobby: "read", "team-*": "write" } };
  const writer = await signedIn(server, { sub: "u1", name: "Ann" }, "secret");
  await writer.say("a room that exists");
  /* Read, and no more. */
  const reader = await signedIn(server, { sub: "u2", name: "Bob", parlor });
  const other = await signedIn(server, { sub: "u1", name: "Ann" });
  const { id } = await other.say("hi");
  for (const one of [reader, other]) assert.equal((await one.next("message")).message, "hi");
  const mute = await reader.refused("forbidden", { type: "message", message: "no" });
  assert.equal(mute.detail, "you may read here, but not write");
  await reader.refused("forbidden", { type: "react", id, emoji: "x" });
  await reader.refused("forbidden", { type: "typing", on: true });
  await reader.get("ack", { type: "read", id });
  const bare = await Member.join(server, "lobby", { query: `?token=${token({ sub: "u2", name: "Bob", parlor })}` });
  bare.say("no");
  await bare.expectRefusal("forbidden");
  await bare.leave();
  await other.expectNothing(["message", "react", "typing"]);
  /* Rooms that are not its own, there or not; by a frame, and by both handshakes. */
  for (const room of ["secret", "nobody-was-here"]) {
    const refusal = await reader.refused("forbidden", { type: "join", room });
    assert.equal(refusal.detail, "your rights in this room do not go so far");
    for (const offer of [{}, { "Sec-WebSocket-Protocol": "parlor.v1" }]) {
      const { code } = await refused(server, `?token=${token({ sub: "u2", parlor })}`, offer, room);
      assert.equal(code, 4003, room);
    }
  }
  await reader.get("joined", { type: "join", room: "team-a" });
  await reader.say("yes", { room: "team-a" });
  await Promise.all([writer, reader, other].map((one) => one.leave()));
}));

test("at the end of its token a socket is told, and closed with 4203; others stay", limit(30), withSecret([], async (server) => {
  const ends = soon(3);
  const rich = await signedIn(server, { sub: "u1", name: "Ann", exp: ends });
  const bare = await Member.join(server, "lobby", { query: `?token=${token({ sub: "u2", name: "Bob", exp: ends })}` });
  const stays = await signedIn(server, { sub: "u3", name: "Cid" });
  const warned = await rich.next("error");
  assert.deepEqual([warned.code, warned.ref], ["token_expired", undefined]);
  const told = await bare.next();
  assert.deepEqual([told.username, told.error.code], ["system", "token_expired"]);
  assert.equal((await bare.closed).code, 4203);
  assert.equal((await rich.closed).code, 4203);
  const late_ms = Date.now() - ends * 1000;
  assert.ok(late_ms >= -50 && late_ms < 3000, `closed ${late_ms} ms after its end`);
  await until(ms(5000), async () => (await stays.ask({ type: "who" })).count === 1, "the others are gone");
  await stays.leave();
}));

test("a public key in a file: RSA, elliptic curves, Ed25519", limit(30), async () => {
  /** @type {[string, any, any, any][]} */
  const kinds = [
    ["RS256", "rsa", { modulusLength: 2048 }, {}],
    ["ES256", "ec", { namedCurve: "P-256" }, { dsaEncoding: "ieee-p1363" }],
    ["EdDSA", "ed25519", {}, {}],
  ];
  await withDirectory(async (directory) => {
    for (const [alg, kind, options, how] of kinds) {
      /** @type {{publicKey: any, privateKey: any}} */
      const { publicKey, privateKey } = generateKeyPairSync(/** @type {any} */ (kind), options);
      const file = path.join(directory, `${alg}.pem`);
      writeFileSync(file, publicKey.export({ type: "spki", format: "pem" }));
      const server = await startServer(["--jwt-key", file]);
      const input = `${base64({ alg })}.${base64({ sub: "u1", name: "Ann", exp: soon() })}`;
      const signature = sign(alg === "EdDSA" ? null : "sha256", Buffer.from(input), { key: privateKey, ...how });
      const rich = await Rich.join(server, "lobby", bearer(`${input}.${signature.toString("base64url")}`));
      assert.equal(rich.welcome.user, "u1", alg);
      /* The public key is no secret to sign with. */
      const forged = token({ sub: "u1" }, { secret: publicKey.export({ type: "spki", format: "pem" }).toString() });
      assert.equal((await refused(server, `?token=${forged}`)).code, 4001);
      await rich.leave();
      await server.stop();
    }
  });
});

test("keys that an issuer publishes: not there yet, there, gone again", limit(40), async (t) => {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const jwk = { ...publicKey.export({ format: "jwk" }), kid: "k1", alg: "EdDSA", use: "sig" };
  let up = false;
  const site = createServer((_, answer) => {
    if (!up) answer.writeHead(503);
    answer.end(up ? JSON.stringify({ keys: [jwk] }) : "down");
  });
  t.after(() => {
    site.closeAllConnections();
    site.close();
  });
  await new Promise((resolve) => site.listen(0, "127.0.0.1", () => resolve(null)));
  const claims = { sub: "u1", name: "Ann", iss: "https://issuer", aud: "chat", exp: soon() };
  const of = (kid) => {
    const input = `${base64({ alg: "EdDSA", kid })}.${base64(claims)}`;
    return `${input}.${sign(null, Buffer.from(input), privateKey).toString("base64url")}`;
  };
  const args = ["--jwks-url", `http://127.0.0.1:${portOf(site)}/keys?secret=1`, "--jwt-issuer", "https://issuer",
    "--jwt-audience", "chat"];
  await withServer(args, async (server) => {
    const early = await refused(server, `?token=${of("k1")}`);
    assert.deepEqual([early.code, early.frame.error.code], [4103, "unavailable"]);
    await server.says(/keys_failed.*503/, ms(10000));
    up = true;
    await server.says(/keys_fetched/, ms(10000));
    const ann = await Rich.join(server, "lobby", bearer(of("k1")));
    assert.equal(ann.welcome.user, "u1");
    await ann.leave();
    /* One that is not known may be known soon; what it is signed with is not looked at. */
    assert.equal((await refused(server, `?token=${of("k2")}`)).code, 4103);
    up = false;
    const again = await Rich.join(server, "lobby", bearer(of("k1")));
    await again.leave();
    assert.doesNotMatch(server.stderr, /secret=1/);
  })(t);
});

test("a key that cannot be used stops the start, and is said", limit(20), async () => {
  await withDirectory(async (directory) => {
    const open = path.join(directory, "open");
    const short = path.join(directory, "short");
    const none = path.join(directory, "none");
    writeFileSync(open, SECRET, { mode: 0o644 });
    writeFileSync(short, "short", { mode: 0o600 });
    /** @type {[string[], RegExp][]} */
    const cases = [
      [["--jwt-secret-file", none], /none.*No such file/],
      [["--jwt-secret-file", open], /open.*chmod 600/],
      [["--jwt-secret-file", short], /short.*32/],
      [["--jwt-key", short], /short/],
      [["--jwt-secret-file", short, "--jwt-key", short], /keep one of them/],
      [["--jwt-issuer", "x"], /there is no key/],
      [["--jwks-url", "https://localhost/keys"], /jwt-audience/],
      [["--jwks-url", "http://site.example/keys", "--jwt-issuer", "x", "--jwt-audience", "y"], /https/],
    ];
    for (const [args, why] of cases) {
      const { code, stderr } = await runToEnd([...args, "--listen", "127.0.0.1:0", "--data", ":memory:"], {}, {});
      assert.notEqual(code, 0, args.join(" "));
      assert.match(stderr, why);
    }
  });
});
