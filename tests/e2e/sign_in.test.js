// Who somebody is and what it may do, while things are on their way: rights that are taken away, acts that come between
// a question and its answer, sites that are slow.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import process from "node:process";
import { test } from "node:test";
import { Api, KEY } from "./lib/api.js";
import { Member, Rich } from "./lib/chat.js";
import { portOf } from "./lib/http.js";
import { REPO, withDirectory, withServer } from "./lib/server.js";
import { bearer, secretArgs, soon, token } from "./lib/token.js";
import { limit, ms, pause, until } from "./lib/wait.js";

const cookie = (value, more = {}) => ({ headers: { Cookie: `sid=${value}`, ...more } });

/** A site that answers what `answer` says, and counts. */
async function startSite(t, answer) {
  const site = { asked: [], answer };
  const server = createServer((asking, response) => {
    site.asked.push(asking.url);
    site.answer(asking, response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(null)));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  site.url = `http://127.0.0.1:${portOf(server)}`;
  return site;
}

const withKey = (site, more, body) => (t) => withDirectory(async (directory) => {
  const key = path.join(directory, "key");
  writeFileSync(key, `${KEY}\n`, { mode: 0o600 });
  await withServer(["--workers", "2", "--auth-url", site.url, "--auth-cookies", "sid", "--api-key-file", key, "--rate", "0", ...secretArgs(directory), ...more],
    (server) => body(server, new Api(server)))(t);
});

test("rights that the site takes away are gone when it is asked again: rooms are left", limit(40), async (t) => {
  /** @type {{user: string, username: string, rights: Record<string, string>}} */
  let user = { user: "u1", username: "Ann", rights: { lobby: "write", secret: "read" } };
  const site = await startSite(t, (_, response) => response.end(JSON.stringify(user)));
  await withKey(site, ["--auth-recheck", "2s", "--auth-cache", "none"], async (server, api) => {
    const ann = await Rich.join(server, "lobby", cookie("ann"));
    await ann.get("joined", { type: "join", room: "secret" });
    const bare = await Member.join(server, "secret", cookie("ann"));
    const before = site.asked.length;
    user = { ...user, rights: { lobby: "write" } };
    await until(ms(10000), () => site.asked.length >= before + 3, "to be asked again");
    await pause(ms(300));
    await api.post("secret", "not for Ann");
    await ann.say("still in the lobby");
    await pause(200);
    const got = ann.frames.filter((f) => f.type === "message" && f.room === "secret").map((f) => f.message);
    const bareGot = bare.waiting;
    await ann.leave();
    assert.deepEqual(got, []);
    assert.equal((await bare.closed).code, 4003);
    assert.equal(bareGot, 1, "the system says so, and no message comes");
  })(t);
});

test("a name that the site changes is told to rooms of rich clients", limit(40), async (t) => {
  let user = { user: "u1", username: "Ann" };
  const site = await startSite(t, (_, response) => response.end(JSON.stringify(user)));
  await withKey(site, ["--auth-recheck", "2s", "--auth-cache", "none"], async (server) => {
    const watcher = await Rich.join(server, "lobby");
    const ann = await Rich.join(server, "lobby", cookie("ann"));
    await pause(300);
    const before = site.asked.length;
    user = { ...user, username: "Anna" };
    await until(ms(10000), () => site.asked.length >= before + 2, "to be asked again");
    await pause(500);
    await ann.leave();
    await pause(1500);
    const left = watcher.frames.filter(({ type }) => type === "presence")
      .flatMap(({ event, username, left: names }) => names ?? (event === "leave" ? [username] : []));
    assert.deepEqual(left, ["Ann", "Anna"]);
  })(t);
});

test("a frame that waits for a join goes on if an act closes the room meanwhile", limit(40), async (t) => {
  const held = [];
  const site = await startSite(t, (asking, response) => {
    const room = asking.url.slice(1);
    const answer = JSON.stringify({ user: "u1", username: "Ann", rights: { [room]: "write" } });
    if (room === "slow") held.push(() => response.end(answer));
    else response.end(answer);
  });
  site.url += "/{room}";
  await withKey(site, ["--auth-timeout", "8s"], async (server, api) => {
    const ann = await Rich.join(server, "lobby", cookie("ann"));
    ann.send({ type: "join", room: "slow", ref: "j" });
    ann.send({ type: "message", room: "slow", message: "waits", ref: "m" });
    await until(ms(5000), () => held.length, "a question");
    await api.ok("POST", "/acts", { act: "grant", room: "slow", user: "u1", right: "none" }, { status: 201 });
    held[0]();
    await pause(500);
    await ann.say("alive");
    await ann.leave();
  })(t);
});

test("revocations of others do not keep anybody from signing in", limit(60), async (t) => {
  const site = await startSite(t, (asking, response) => {
    const sid = /sid=(.*)/.exec(asking.headers.cookie)[1];
    setTimeout(() => response.end(JSON.stringify({ user: sid, username: sid })), 300);
  });
  await withKey(site, [], async (server, api) => {
    let on = true;
    let acts = 0;
    const logouts = (async () => {
      while (on) {
        await api.ok("POST", "/acts", { act: "revoke", session: `s${acts++}` }, { status: 201 });
        await pause(100);
      }
    })();
    const results = await Promise.all(Array.from({ length: 10 }, async (_, i) => {
      const one = await Rich.open(server, "lobby", cookie(`user${i}`));
      const first = await one.next(["welcome", "error"], ms(10000));
      one.socket.terminate();
      return [first.type, first.code];
    }));
    on = false;
    await logouts;
    assert.ok(results.every(([type]) => type === "welcome"));
  })(t);
});

test("who has given a token meanwhile is not who the site was asked about", limit(40), async (t) => {
  const held = [];
  const user = { user: "u1", username: "Ann" };
  const site = await startSite(t, (_, response) => (site.asked.length === 1 ? response.end(JSON.stringify(user)) : held.push(response)));
  await withKey(site, ["--auth-recheck", "2s", "--auth-cache", "none", "--auth-timeout", "8s"], async (server) => {
    for (const answer of [(r) => r.end(JSON.stringify(user)), (r) => r.writeHead(401).end()]) {
      site.asked.length = held.length = 0;
      const ann = await Rich.join(server, "lobby", cookie("ann"));
      await until(ms(10000), () => held.length, "to be asked again");
      await ann.get("ack", { type: "auth", token: token({ sub: "u1", parlor: { rooms: { lobby: "read" } } }) });
      await ann.refused("forbidden", { type: "message", message: "no" });
      held.forEach(answer);
      await pause(500);
      await ann.refused("forbidden", { type: "message", message: "still no" });
      await ann.leave();
    }
  })(t);
});

test("nothing that was asked before an act is answered after it", limit(60), async (t) => {
  const site = await startSite(t, (_, response) => response.writeHead(401).end());
  await withKey(site, [], async (server, api) => {
    for (let i = 0; i < 300; i++) await api.post("secret", "z".repeat(2000) + i);
    const members = await Promise.all(Array.from({ length: 40 }, (_, i) =>
      Rich.join(server, "secret", bearer(token({ sub: `u${i}`, iat: soon(-10) })))));
    for (const one of members)
      for (let i = 0; i < 8; i++) for (const type of ["history", "who"]) one.send({ type, limit: 200 });
    await pause(20);
    await api.ok("POST", "/acts", { act: "set", room: "secret", access_signed_in: "none" }, { status: 201 });
    await pause(ms(1000));
    let after = 0;
    for (const { frames } of members) {
      const left = frames.findIndex(({ type }) => type === "left");
      assert.ok(left >= 0);
      after += frames.slice(left).filter(({ type }) => ["history", "members"].includes(type)).length;
    }
    for (const one of members) one.socket.terminate();
    assert.equal(after, 0, "answers behind `left`");
  })(t);
});

test("an act with a pattern is refused: it would hold for a room of that name alone", limit(30), async (t) => {
  const site = await startSite(t, (_, response) => response.writeHead(401).end());
  await withKey(site, [], async (_, api) => {
    await api.fails(400, "bad_field", "POST", "/acts", { act: "set", room: "team-*", access_guests: "none" });
    await api.fails(400, "bad_field", "POST", "/acts", { act: "grant", room: "*", user: "u1", right: "none" });
  })(t);
});

test("a clock that was ahead once does not lead to revocations of the future", limit(40), async (t) => {
  const site = await startSite(t, (_, response) => response.writeHead(401).end());
  await withDirectory(async (directory) => {
    const key = path.join(directory, "key");
    const data = path.join(directory, "chat.db");
    writeFileSync(key, `${KEY}\n`, { mode: 0o600 });
    const args = ["--data", data, "--auth-url", site.url, "--api-key-file", key, ...secretArgs(directory)];
    await withServer(args, (server) => new Api(server).ok("POST", "/acts", { act: "revoke", user: "other" }, { status: 201 }))(t);
    const ahead = "import sqlite3, sys\nsqlite3.connect(sys.argv[1]).executescript('UPDATE events SET ts_ms = ts_ms + 31536000000')";
    execFileSync("python3", ["-c", ahead, data]);
    await withServer(args, async (server) => {
      const { ts } = await new Api(server).ok("POST", "/acts", { act: "revoke", user: "ann" }, { status: 201 });
      assert.ok(ts < Date.now() + 60000, new Date(ts).toISOString());
      await pause(1100);
      const ann = await Rich.join(server, "lobby", bearer(token({ sub: "ann", iat: soon(0) })));
      await ann.leave();
    })(t);
  });
});

test("questions that wait for their turn are asked when all before them are answered at once", limit(40), async (t) => {
  const hanging = [];
  const site = await startSite(t, (_, response) => {
    const answer = () => response.end(JSON.stringify({ user: "u1" }));
    if (site.asked.length <= 32) hanging.push(answer);
    else answer();
  });
  await withKey(site, ["--auth-timeout", "8s"], async (server) => {
    const members = Promise.all(Array.from({ length: 40 }, (_, i) => Rich.open(server, "lobby", cookie(`s${i}`))));
    await until(ms(5000), () => hanging.length === 32, "as many questions as there may be");
    await pause(500);
    process.kill(server.pid, "SIGSTOP"); // so that it finds all answers together
    for (const answer of hanging) answer();
    await pause(300);
    const begun = Date.now();
    process.kill(server.pid, "SIGCONT");
    for (const one of await members) {
      assert.equal((await one.next(["welcome", "error"])).type, "welcome");
      one.socket.terminate();
    }
    assert.ok(Date.now() - begun < 4000, `it took ${Date.now() - begun} ms`);
  })(t);
});

test("tokens of the examples say when they were made: else one revocation is for ever", limit(30), () => {
  const files = ["django/app.py", "rails/config.ru", "php/index.php", "express/app.js", "express/jwks.js"];
  for (const file of files)
    assert.match(readFileSync(path.join(REPO, "examples/identity", file), "utf8"), /\biat\b|setIssuedAt/, file);
});
