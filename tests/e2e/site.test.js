// Who is signed in at the site (--auth-url; protocol.md section 10): the site is a real HTTP server, which
// says who has which cookie, or fails in each of the ways in which sites fail.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import { test } from "node:test";
import { Api, KEY } from "./lib/api.js";
import { Member, Rich } from "./lib/chat.js";
import { portOf, request } from "./lib/http.js";
import { Raw, closeOf } from "./lib/raw.js";
import { runToEnd, withDirectory, withServer } from "./lib/server.js";
import { count, limit, ms, pause, until } from "./lib/wait.js";

const JSON_TYPE = { "Content-Type": "application/json" };
const cookie = (value, more = {}) => ({ headers: { Cookie: `theme=dark; sid=${value}; lang=en`, ...more } });

/** A site that knows the users of `sessions`, by the value of the cookie sid. */
class Site {
  asked = [];
  hanging = new Set();
  mostHanging = 0;
  /** @type {Record<string, any>} */
  sessions = { ann: { user: "u1", username: "Ann" }, bob: { user: "u2", username: "Bob" } };
  /** What is answered instead, if this is set. */
  answer = null;
  server = createServer((asking, response) => this.#on(asking, response));

  static async start(t) {
    const site = new Site();
    await new Promise((resolve) => site.server.listen(0, "127.0.0.1", () => resolve(null)));
    t.after(() => site.stop());
    return site;
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }

  #on(asking, response) {
    this.asked.push({ url: asking.url, headers: asking.headers });
    if (this.answer) return this.answer(asking, response);
    const sid = /(?:^|; )sid=([^;]*)/.exec(asking.headers.cookie ?? "")?.[1];
    if (sid === "hang") {
      this.hanging.add(response);
      this.mostHanging = Math.max(this.mostHanging, this.hanging.size);
      return response.on("close", () => this.hanging.delete(response));
    }
    if (sid === "refused") return response.writeHead(403).end();
    const known = this.sessions[sid];
    if (!known) return response.writeHead(401).end("who?");
    return response.writeHead(200, JSON_TYPE).end(JSON.stringify(known));
  }

  url(rest = "/who") {
    return `http://127.0.0.1:${portOf(this.server)}${rest}`;
  }

  /** The options of a server that asks it. */
  args(...more) {
    return ["--workers", "2", "--auth-url", this.url(), "--auth-cookies", "sid", ...more];
  }
}

/** The body of a test with a site, and a server that asks it. use(server, site) */
const withSite = (more, use) => async (t) => {
  const site = await Site.start(t);
  await withServer(site.args(...more), (server) => use(server, site))(t);
};

/** What a handshake that is refused behind its upgrade is told: the frame, and the close code. */
async function refused(server, how, room = "lobby", query = "") {
  const raw = await Raw.open(server.port, `/ws/chat/${room}/${query}`, how);
  const frame = JSON.parse((await raw.next(ms(15000))).payload.toString());
  const { code, reason } = closeOf((await raw.next()).payload);
  raw.destroy();
  return { frame, code, reason };
}

test("a cookie of the site signs in, with the name that the site gives; without it one is a guest", limit(30), withSite([], async (server, site) => {
  const reader = await Rich.join(server, "lobby");
  assert.equal(site.asked.length, 0); // there was nothing to ask with
  const bare = await Member.join(server, "lobby", { query: "?username=mallory", ...cookie("ann") });
  bare.say("hi", { username: "mallory" });
  await bare.expectBare("Ann", "hi");
  const got = await reader.next("message");
  assert.deepEqual([got.username, got.user, got.message], ["Ann", "u1", "hi"]);
  const rich = await Rich.join(server, "lobby", cookie("ann"));
  assert.deepEqual([rich.welcome.user, rich.welcome.username], ["u1", "Ann"]);
  await rich.refused("forbidden", { type: "delete", id: (await reader.say("mine", { username: "Ann" })).id });
  await rich.get("ack", { type: "delete", id: got.id });
  /* What the site was sent, and what not. */
  const { headers, url } = site.asked[0];
  assert.equal(url, "/who");
  assert.equal(headers.cookie, "sid=ann");
  assert.equal(headers["x-forwarded-for"], "127.0.0.1");
  assert.equal(headers.authorization, undefined);
  assert.equal(headers.origin, undefined);
  assert.match(headers["user-agent"], /^Parlor/);
  assert.equal(headers.upgrade, undefined);
  await Promise.all([reader, bare, rich].map((one) => one.leave()));
}));

test("401 is a guest with a key, who comes back with it; 403 is refused", limit(30), withSite([], async (server, site) => {
  const guest = await Rich.join(server, "lobby", { query: "?username=cid", ...cookie("nobody") });
  assert.deepEqual([guest.welcome.user, guest.welcome.username], [guest.welcome.guest.id, "cid"]);
  await guest.leave();
  const key = `guest.${guest.welcome.guest.key}`;
  const again = await Rich.join(server, "lobby", { ...cookie("nobody"), protocols: ["parlor.v1", key] });
  assert.equal(again.welcome.user, guest.welcome.user);
  await again.leave();
  const ann = await Rich.join(server, "lobby", { ...cookie("ann"), protocols: ["parlor.v1", key] });
  assert.equal(ann.welcome.user, site.sessions.ann.user, "a session goes before a guest's key");
  await ann.leave();
  const { code, frame } = await refused(server, cookie("refused"));
  assert.deepEqual([code, frame.error.code], [4003, "forbidden"]);
  const rich = await refused(server, cookie("refused", { "Sec-WebSocket-Protocol": "parlor.v1" }));
  assert.deepEqual([rich.code, rich.frame.type, rich.frame.code, rich.frame.temporary], [4003, "error", "forbidden", false]);
  assert.equal(site.asked.length, 5);
}));

test("rights and an end are as of a token", limit(30), withSite([], async (server, site) => {
  site.sessions.ann.rights = { lobby: "read", "team-*": "write" };
  site.sessions.bob.expires = Math.floor(Date.now() / 1000) + 3;
  const ann = await Rich.join(server, "lobby", cookie("ann"));
  await ann.refused("forbidden", { type: "message", message: "no" });
  await ann.refused("forbidden", { type: "join", room: "elsewhere" });
  await ann.get("joined", { type: "join", room: "team-a" });
  assert.equal((await refused(server, cookie("ann"), "elsewhere")).code, 4003);
  const bob = await Rich.join(server, "lobby", cookie("bob"));
  assert.equal((await bob.next("error")).code, "token_expired");
  assert.equal((await bob.closed).code, 4203);
  await ann.leave();
}));

test("what the site answers badly is 4103, and the operator is told once", limit(60), withSite(["--auth-cache", "none"], async (server, site) => {
  /** @type {[string, (asking: any, response: any) => void][]} */
  const answers = [
    ["an error", (_, response) => response.writeHead(500).end("oops")],
    ["not found", (_, response) => response.writeHead(404).end()],
    ["a redirect", (_, response) => response.writeHead(302, { Location: "/who2" }).end()],
    ["a redirect elsewhere", (_, response) => response.writeHead(307, { Location: "http://192.0.2.1/" }).end()],
    ["no JSON", (_, response) => response.end("<html>log in</html>")],
    ["no user", (_, response) => response.end(JSON.stringify({ username: "Ann" }))],
    ["a user of guests", (_, response) => response.end(JSON.stringify({ user: "guest:1" }))],
    ["nothing", (_, response) => response.end()],
    ["too much", (_, response) => response.end(JSON.stringify({ user: "u1", more: "x".repeat(16384) }))],
    ["an end", (_, response) => response.destroy()],
    ["half of it", (_, response) => {
      response.writeHead(200, { "Content-Length": 1000 });
      response.write('{"user":"u1"');
      setTimeout(() => response.destroy(), 10);
    }],
  ];
  for (const [what, answer] of answers) {
    site.answer = answer;
    const { code, frame } = await refused(server, cookie("ann"));
    assert.deepEqual([code, frame.error.code], [4103, "unavailable"], what);
  }
  const rich = await refused(server, cookie("ann", { "Sec-WebSocket-Protocol": "parlor.v1" }));
  assert.deepEqual([rich.code, rich.frame.code, rich.frame.temporary], [4103, "unavailable", true]);
  const urls = new Set(site.asked.map(({ url }) => url));
  assert.deepEqual([...urls], ["/who"]); // no redirect was followed
  assert.equal(server.stderr.match(/site_failed/g)?.length, 1);
  site.answer = null;
  const ann = await Rich.join(server, "lobby", cookie("ann"));
  await server.says(/site_works/, ms(5000));
  await ann.leave();
  assert.equal((await request(server.port, "GET", "/readyz")).status, 200);
  const metrics = (await request(server.port, "GET", "/metrics")).body.toString();
  assert.match(metrics, new RegExp(`parlor_site_questions_total ${answers.length + 2}\n`));
  assert.match(metrics, new RegExp(`parlor_site_failures_total ${answers.length + 1}\n`));
  assert.doesNotMatch(server.stderr, /sid=|ann/);
}));

test("while the site hangs, its own users wait and are told to come back, and nobody else notices", limit(60), withSite(["--auth-timeout", "1500ms"], async (server, site) => {
  const ann = await Rich.join(server, "lobby", cookie("ann"));
  const begun = Date.now();
  const hanging = Array.from({ length: 100 }, (_, i) =>
    refused(server, { ...cookie("hang", { "X-Forwarded-For": `198.51.100.${i}` }) }));
  await until(ms(5000), () => site.hanging.size >= 32, "questions that hang");
  /* Guests come, talk and go; who is in stays; health is health. */
  for (let i = 0; i < 20; i++) {
    const guest = await Member.join(server, "lobby", { query: `?username=g${i}` });
    guest.say(`hi ${i}`);
    assert.equal((await ann.next("message")).message, `hi ${i}`);
    await guest.leave();
    assert.equal((await request(server.port, "GET", "/healthz")).status, 200);
  }
  for (const { code, frame } of await Promise.all(hanging))
    assert.deepEqual([code, frame.error.code], [4103, "unavailable"]);
  const took = Date.now() - begun;
  assert.ok(took >= 1400 && took < ms(6000), `refused after ${took} ms`);
  assert.equal(site.mostHanging, 32); // the others waited for their turn
  await ann.leave();
}));

test("who hangs up while the site is asked leaves nothing behind; nor does a stop", limit(60), withSite([], async (server, site) => {
  for (let i = 0; i < 50; i++) {
    const raw = await Raw.connect(server.port);
    raw.upgrade("/ws/chat/lobby/", cookie("hang", { "X-Forwarded-For": `198.51.100.${i}` })).catch(() => {});
    if (i === 0) await until(ms(5000), () => site.hanging.size > 0, "a question that hangs");
    if (i % 2 === 0) raw.destroy();
  }
  const ann = await Rich.join(server, "lobby", cookie("ann", { "X-Forwarded-For": "198.51.100.200" })).catch(() => null);
  await ann?.leave();
  for (const response of site.hanging) response.destroy();
  site.hanging.clear();
  const raw = await Raw.connect(server.port); // left waiting: the server is stopped over it
  raw.upgrade("/ws/chat/lobby/", cookie("hang")).catch(() => {});
  await until(ms(10000), () => site.hanging.size > 0, "a question that hangs");
}));

test("many sockets with few cookies are few questions", limit(120), withSite(["--auth-cache", "60s", "--trusted-proxies", "loopback"], async (server, site) => {
  const USERS = 50;
  const sockets = count(5000, 1000);
  for (let i = 0; i < USERS; i++) site.sessions[`s${i}`] = { user: `user-${i}`, username: `User ${i}` };
  const members = [];
  for (let at = 0; at < sockets; at += 250)
    members.push(...await Promise.all(Array.from({ length: 250 }, (_, k) => {
      const i = (at + k) % USERS;
      return Rich.open(server, `room-${i}`, cookie(`s${i}`, { "X-Forwarded-For": `198.51.100.${i}` }));
    })));
  for (const [i, member] of members.entries())
    assert.equal((await member.next("welcome")).user, `user-${i % USERS}`);
  assert.ok(site.asked.length >= USERS && site.asked.length <= 60, `${site.asked.length} questions`);
  for (const member of members) member.socket.terminate();
}));

test("random cookies slow down who sends them, and nobody else", limit(60), withSite(["--sign-ins-per-ip", "50", "--connects-per-ip", "none"], async (server, site) => {
  const attacker = { "X-Forwarded-For": "203.0.113.66" };
  let limited = 0;
  for (let at = 0; at < 500; at += 100)
    await Promise.all(Array.from({ length: 100 }, async (_, k) => {
      const raw = await Raw.open(server.port, "/ws/chat/lobby/", cookie(`random-${at + k}`, attacker));
      const first = await Promise.race([raw.next().catch(() => null), pause(ms(1000))]);
      if (first) {
        assert.equal(JSON.parse(first.payload.toString()).error.code, "rate_limited");
        assert.equal(closeOf((await raw.next()).payload).code, 4101);
        limited++;
      }
      raw.destroy();
    }));
  assert.ok(limited >= 350, `${limited} were refused`);
  assert.ok(site.asked.length <= 150, `${site.asked.length} questions`);
  const ann = await Rich.join(server, "lobby", cookie("ann", { "X-Forwarded-For": "203.0.113.1" }));
  assert.equal(ann.welcome.user, "u1");
  /* What is known already costs nothing. */
  const same = await Rich.join(server, "lobby", cookie("ann", { "X-Forwarded-For": "203.0.113.1" }));
  await Promise.all([ann, same].map((one) => one.leave()));
}));

test("a page elsewhere gets 4003 before the site is asked, on loopback too", limit(30), withSite(["--origins", "https://app.example"], async (server, site) => {
  const own = `http://localhost:${server.port}`;
  for (const origin of ["https://evil.example", "null", `http://localhost:${server.port + 1}`, "https://localhost", "http://app.example", "file://"]) {
    const { code } = await refused(server, cookie("ann", { Origin: origin }));
    assert.equal(code, 4003, origin);
    assert.equal((await refused(server, { headers: { Origin: origin } })).code, 4003, `${origin}, without a cookie`);
  }
  assert.equal(site.asked.length, 0);
  for (const headers of [{ Origin: own }, { Origin: "https://app.example" }, {},
    { Origin: "https://chat.example", "X-Forwarded-Host": "chat.example", "X-Forwarded-For": "203.0.113.1" }]) {
    const raw = await Raw.open(server.port, "/ws/chat/lobby/", cookie("ann", { "Sec-WebSocket-Protocol": "parlor.v1", ...headers }));
    assert.equal(JSON.parse((await raw.next()).payload.toString()).user, "u1", JSON.stringify(headers));
    assert.equal(site.asked.at(-1).headers.origin, headers.Origin);
    raw.destroy();
  }
}));

test("an answer holds for as long as it may, and only of who asked the same", limit(30), withSite(["--auth-cache", "1s"], async (server, site) => {
  const enter = async (how) => (await Rich.join(server, "lobby", how)).leave();
  const begun = Date.now();
  await enter(cookie("ann"));
  await enter(cookie("ann"));
  if (Date.now() - begun < 900) assert.equal(site.asked.length, 1);
  const before = site.asked.length;
  await enter(cookie("ann", { "X-Forwarded-For": "203.0.113.9" })); // of another address
  assert.equal(site.asked.length, before + 1);
  assert.equal(site.asked.at(-1).headers["x-forwarded-for"], "203.0.113.9");
  delete site.sessions.ann; // logs out
  await until(ms(10000), async () => {
    const one = await Rich.join(server, "lobby", cookie("ann"));
    const { user } = one.welcome;
    await one.leave();
    return user !== "u1";
  }, "the end of what was known");
}));

test("with {room} in the address each room is asked about, by every door", limit(30), async (t) => {
  const site = await Site.start(t);
  /** @type {Record<string, any>} */
  const answers = {
    "/r/lobby": { user: "u1", username: "Ann", rights: { "*": "write" } },
    "/r/team%20a": { user: "u1", username: "Ann", rights: { "team a": "read" } },
    "/r/none": { user: "u1", username: "Ann", rights: { other: "own" } },
    "/r/changed": { user: "u9", username: "Ann", rights: { changed: "own" } },
    "/r/mixed": { user: "u1", username: "Ann" },
  };
  const statuses = { "/r/closed": 403, "/r/out": 401, "/r/down": 500 };
  site.answer = ({ url }, response) => {
    const answer = answers[url];
    response.writeHead(answer ? 200 : statuses[url] ?? 404).end(answer && JSON.stringify(answer));
  };
  await withServer(["--auth-url", site.url("/r/{room}"), "--auth-cookies", "sid"], async (server) => {
    const ann = await Rich.join(server, "lobby", cookie("ann"));
    await ann.say("may");
    await ann.get("joined", { type: "join", room: "team a" });
    await ann.refused("forbidden", { type: "message", room: "team a", message: "may not" });
    await ann.say("still may");
    for (const room of ["none", "changed", "mixed", "closed", "out"]) await ann.refused("forbidden", { type: "join", room });
    await ann.refused("unavailable", { type: "join", room: "down" });
    await ann.say("as before");
    await ann.get("left", { type: "leave", room: "team a" });
    answers["/r/team%20a"].rights = { "team a": "write" };
    await pause(0);
    assert.equal((await refused(server, cookie("ann"), "closed")).code, 4003);
    assert.equal((await refused(server, cookie("ann"), "none")).code, 4003);
    assert.equal((await refused(server, cookie("ann"), "down")).code, 4103);
    /* A guest has nothing that the site could be asked with. */
    const asked = site.asked.length;
    const guest = await Rich.join(server, "lobby");
    await guest.get("joined", { type: "join", room: "closed" });
    assert.equal(site.asked.length, asked);
    /* Left while the site has yet to answer; and what is behind a join waits for it. */
    let late;
    site.answer = (_, response) => (late = response);
    ann.send({ type: "join", room: "slow" });
    await until(ms(5000), () => late, "a question about a room");
    ann.socket.terminate();
    late.end(JSON.stringify({ user: "u1", rights: { slow: "own" } }));
    await guest.leave();
  })(t);
});

test("Authorization is the site's where no token is believed; a token goes before a session", limit(30), async (t) => {
  const site = await Site.start(t);
  await withServer(["--auth-url", site.url()], async (server) => {
    site.answer = ({ headers }, response) => response.end(JSON.stringify({ user: `by ${headers.authorization}` }));
    const ann = await Rich.join(server, "lobby", { headers: { Authorization: "Bearer of.the.site", Cookie: "sid=ann" } });
    assert.equal(ann.welcome.user, "by Bearer of.the.site");
    assert.equal(site.asked[0].headers.cookie, undefined); // none is named
    await ann.leave();
    const asked = site.asked.length;
    assert.equal((await refused(server, cookie("ann"), "lobby", "?token=x.y.z")).code, 4001);
    assert.equal(site.asked.length, asked);
    const twice = await Raw.open(server.port, "/ws/chat/lobby/",
      { headers: { Authorization: "Basic YTpi", authorization: "Basic YTpi" }, expect: 400 });
    twice.destroy();
  })(t);
  await withDirectory(async (directory) => {
    const SECRET = "0123456789abcdef0123456789abcdef-a-secret";
    const file = path.join(directory, "secret");
    writeFileSync(file, SECRET, { mode: 0o600 });
    const base64 = (object) => Buffer.from(JSON.stringify(object)).toString("base64url");
    const input = `${base64({ alg: "HS256" })}.${base64({ sub: "u7", exp: Math.floor(Date.now() / 1000) + 60 })}`;
    const token = `${input}.${createHmac("sha256", SECRET).update(input).digest("base64url")}`;
    await withServer(site.args("--jwt-secret-file", file), async (server) => {
      const asked = site.asked.length;
      const program = await Rich.join(server, "lobby", cookie("ann", { Authorization: `Bearer ${token}` }));
      assert.equal(program.welcome.user, "u7");
      assert.equal((await refused(server, cookie("ann", { Authorization: "Bearer bad" }))).code, 4001);
      assert.equal(site.asked.length, asked);
      const basic = await Rich.join(server, "lobby", { headers: { Authorization: "Basic YTpi" } });
      assert.equal(basic.welcome.user, "by Basic YTpi");
      await Promise.all([program, basic].map((one) => one.leave()));
    })(t);
  });
});

test("a session that has ended at the site closes its sockets with 4009; errors keep them", limit(60), withSite(["--auth-recheck", "2s", "--auth-cache", "none"], async (server, site) => {
  site.sessions.ends = { user: "u3", username: "Cid", expires: Math.floor(Date.now() / 1000) + 3600 };
  const ann = await Rich.join(server, "lobby", cookie("ann"));
  const bare = await Member.join(server, "lobby", cookie("ann"));
  const bob = await Rich.join(server, "lobby", cookie("bob"));
  const cid = await Rich.join(server, "lobby", cookie("ends"));
  const of = (sid) => site.asked.filter(({ headers }) => headers.cookie === `sid=${sid}`).length;
  await until(ms(10000), () => of("ann") > 2 && of("bob") > 1, "to be asked again");
  site.sessions.bob.username = "Robert";
  await until(ms(10000), async () => {
    await pause(300);
    const { members } = await ann.get("members", { type: "who" });
    return members.some(({ username }) => username === "Robert");
  }, "the new name");
  await bob.say("still here");
  assert.equal((await ann.next("message")).username, "Robert");
  delete site.sessions.ann;
  await until(ms(15000), () => ann.socket.readyState === 3 && bare.socket.readyState === 3, "their end");
  assert.equal((await ann.closed).code, 4009);
  assert.equal((await bare.closed).code, 4009);
  const before = of("bob");
  site.answer = (_, response) => response.writeHead(500).end();
  await until(ms(15000), () => of("bob") > before, "to be asked again");
  await bob.say("the site is down, and I stay");
  assert.equal(of("ends"), 1); // who has an end is not asked about
  await Promise.all([bob, cid].map((one) => one.leave()));
}));

test("who is revoked is out, and what the site said before is not believed", limit(40), async (t) => withDirectory(async (directory) => {
  const site = await Site.start(t);
  const key = path.join(directory, "key");
  writeFileSync(key, `${KEY}\n`, { mode: 0o600 });
  await withServer(site.args("--auth-cache", "60s", "--api-key-file", key), async (server) => {
    const api = new Api(server);
    for (const act of [{ user: "u1" }, { session: "s1" }]) {
      site.sessions.ann.session = "s1";
      const ann = await Rich.join(server, "lobby", cookie("ann"));
      const bob = await Rich.join(server, "lobby", cookie("bob"));
      await api.ok("POST", "/acts", { act: "revoke", ...act }, { status: 201 });
      assert.equal((await ann.closed).code, 4009);
      await bob.say("still here");
      const asked = site.asked.length;
      /* In the same second the site may have answered before. */
      const again = await until(ms(5000), async () => {
        const raw = await Raw.open(server.port, "/ws/chat/lobby/", cookie("ann", { "Sec-WebSocket-Protocol": "parlor.v1" }));
        const first = JSON.parse((await raw.next()).payload.toString());
        if (first.type === "error") assert.equal(closeOf((await raw.next()).payload).code, 4001);
        raw.destroy();
        return first.type === "welcome" && first;
      }, "the site's new word");
      assert.equal(again.user, "u1");
      assert.ok(site.asked.length > asked);
      await bob.leave();
    }
  })(t);
}));

test("options that cannot be stop the start, and are said", limit(30), async () => {
  const url = ["--auth-url", "https://site.example/who"];
  /** @type {[string[], RegExp][]} */
  const cases = [
    [["--auth-url", "http://site.example/who"], /https/],
    [["--auth-url", "https://{room}.example/"], /\{room\}/],
    [[...url, "--auth-cookies", "a b"], /names of cookies/],
    [[...url, "--origins", "*"], /origins = \* with auth-url/],
    [[...url, "--auth-timeout", "10s"], /handshake-timeout/],
    [["--auth-cookies", "sid"], /give auth-url/],
  ];
  for (const [args, why] of cases) {
    const { code, stderr } = await runToEnd([...args, "--listen", "127.0.0.1:0", "--data", ":memory:"], {}, {});
    assert.notEqual(code, 0, args.join(" "));
    assert.match(stderr, why);
  }
});
