// One client cannot hurt the others: descriptors that are left for whoever watches, and budgets of
// an address that hold over any number of its connections.
import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { Member, Rich } from "./lib/chat.js";
import { NO_PROXIES, Silence, getFrom, refusedHandshake } from "./lib/clients.js";
import { deflate } from "./lib/deflate.js";
import { HttpConnection, request } from "./lib/http.js";
import { Raw, jsonText, text } from "./lib/raw.js";
import { withDirectory, withServer } from "./lib/server.js";
import { limit, ms, until, within } from "./lib/wait.js";

const nofile = (n) => ["prlimit", `--nofile=${n}:${n}`];
const say = (i) => jsonText({ message: `m${i}`, username: "flood" });
const frames = async (raw, n) => {
  const got = [];
  while (got.length < n) got.push(JSON.parse((await raw.next(ms(10000))).payload.toString()));
  return got;
};

/** Asks for health from these addresses in turn; every answer has to be good. */
async function healthStays(server, addresses, times) {
  for (let i = 0; i < times; i++) {
    const from = addresses[i % addresses.length];
    const probe = ["/healthz", "/readyz", "/metrics"][i % 3];
    const answer = await getFrom(server, from, probe).catch((error) => ({ status: `${error.message}` }));
    assert.equal(answer.status, 200, `${probe} from ${from}, the ${i + 1}th time`);
  }
}

// ---- descriptors ----

test("300 descriptors, and one address that holds 320 silent sockets: health always answers", limit(60),
  withServer(["--workers", "2", "--max-connections", "50", "--max-connections-per-ip", "10"], async (server) => {
    const silence = new Silence(server, 320);
    try {
      await healthStays(server, ["127.0.0.1", "127.0.0.2", "127.0.0.3"], 90);
    } finally {
      silence.end();
    }
  }, {}, nofile(300)));

test("the same without proxies: others also enter and talk", limit(60),
  withServer(["--workers", "2", "--max-connections", "50", "--max-connections-per-ip", "10", ...NO_PROXIES],
    async (server) => {
      const silence = new Silence(server, 320, { localAddress: "127.0.0.9" });
      try {
        await healthStays(server, ["127.0.0.1", "127.0.0.9"], 60);
        const member = await Member.join(server, "lobby", { localAddress: "127.0.0.2" });
        member.say("undisturbed");
        assert.equal((await member.next()).message, "undisturbed");
        await member.leave();
      } finally {
        silence.end();
      }
    }, {}, nofile(300)));

for (const [what, first] of [["say nothing", undefined], ["were answered and stay", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"]])
  test(`over a limit: sockets that ${what} are closed within a second or so`, limit(30),
    withServer(["--workers", "2", "--max-connections", "5"], async (server) => {
      const members = await Promise.all([1, 2, 3, 4, 5].map(() => Member.join(server)));
      const held = new Silence(server, 100, { redial: false, first });
      const start = performance.now();
      await until(ms(5000), async () => (await server.metric(/^parlor_connections$/)) <= 5 + 1, "their end");
      assert.ok(performance.now() - start < ms(3000), "sooner than the close timeout");
      held.end();
      await Promise.all(members.map((m) => m.leave()));
    }));

test("without --max-connections the open-file limit leaves a reserve", limit(60),
  () => withDirectory((directory) => withServer(
    ["--workers", "2", "--data", path.join(directory, "parlor.db"), "--handshake-timeout", "60s"],
    async (server) => {
      const member = await Rich.join(server);
      const silences = ["127.0.0.1", "127.0.0.2", "127.0.0.3"].map((localAddress) =>
        new Silence(server, 150, { localAddress }));
      try {
        await until(ms(10000), async () => (await server.metric(/^parlor_connections_refused_total$/)) > 100, "refusals");
        await healthStays(server, ["127.0.0.4"], 30);
        assert.ok((await server.metric(/^process_open_fds$/)) <= 200 - 30, "a reserve");
        for (let i = 0; i < 20; i++) await member.say(`stored ${i}`);
        assert.doesNotMatch(server.stderr, /out_of_files/);
      } finally {
        for (const silence of silences) silence.end();
      }
      await member.leave();
    }, {}, nofile(200))()));

test("without --max-connections-per-ip one client has half of the places, and others have room", limit(30),
  withServer(["--workers", "2", "--max-connections", "20", ...NO_PROXIES], async (server) => {
    const join = (localAddress) => Member.join(server, "lobby", { localAddress });
    const members = await Promise.all(Array.from({ length: 10 }, () => join("127.0.0.5")));
    await assert.rejects(join("127.0.0.5"), /503/);
    members.push(await join("127.0.0.6"));
    await Promise.all(members.map((member) => member.leave()));
  }));

test("max-connections beyond the open-file limit is said at the start", limit(20),
  withServer(["--max-connections", "1000"], (server) => server.says(/connections_capped/, ms(5000)), {}, nofile(200)));

// ---- budgets ----

test("20 messages, hang up, dial again: the address has one budget", limit(30),
  withServer([...NO_PROXIES, "--messages-per-ip", "50"], async (server) => {
    const flood = async (localAddress) => {
      const raw = await Raw.open(server.port, "/ws/chat/flood/", { localAddress });
      for (let i = 0; i < 20; i++) await raw.send(say(i));
      const got = await frames(raw, 20);
      await raw.closeClean();
      return got.filter((frame) => frame.error?.code !== "rate_limited").length;
    };
    const taken = [];
    for (let i = 0; i < 5; i++) taken.push(await flood("127.0.0.5"));
    assert.deepEqual(taken.slice(0, 2), [20, 20]);
    const sum = taken.reduce((a, b) => a + b);
    assert.ok(sum >= 50 && sum < 70, `${sum} of 100`);
    assert.equal(await flood("127.0.0.6"), 20, "another address");
    assert.match(server.stderr, /over_budget.*peer=127\.0\.0\.5 budget=messages/);
  }));

test("rich clients: edits and reactions are of the same budget", limit(30),
  withServer([...NO_PROXIES, "--messages-per-ip", "10"], async (server) => {
    const ann = await Rich.join(server, "lobby", { localAddress: "127.0.0.5" });
    const { id } = await ann.say("first");
    for (let i = 0; i < 9; i++) await ann.get("ack", { type: "react", id, emoji: `e${i}` });
    await ann.refused("rate_limited", { type: "edit", id, message: "again" });
    await ann.leave();
    const back = await Rich.join(server, "lobby", { localAddress: "127.0.0.5" });
    await back.refused("rate_limited", { type: "message", message: "from a new connection" });
    await back.leave();
  }));

/** @type {[string, string, number][]} */
const HEAVY = [["16,000 letters", "a".repeat(16000), 16000],
  ["10,000 characters of six bytes each", "\u0001".repeat(10000), 60000]];
for (const [what, message, bytes] of HEAVY)
  test(`a burst of messages of ${what}, compressed: what they weigh for the room counts, and nobody is put out`, limit(60),
    withServer([...NO_PROXIES, "--workers", "2"], async (server) => {
      const refused = async () => (await server.metrics()).get('parlor_refusals_total{code="rate_limited"}') ?? 0;
      const members = await Promise.all(Array.from({ length: 8 }, () => Member.join(server, "flood", { localAddress: "127.0.0.6" })));
      const sockets = await Promise.all(Array.from({ length: 10 }, () =>
        Raw.open(server.port, "/ws/chat/flood/", { localAddress: "127.0.0.5", extensions: "permessage-deflate" })));
      const start = performance.now();
      const burst = Buffer.concat(Array(20).fill(text(deflate(JSON.stringify({ message })), { rsv: 4 })));
      await Promise.all(sockets.map((raw) => raw.send(burst)));
      const most = () => 1024 * (1000 + (performance.now() - start) / 10) + 2 * bytes; // has come back meanwhile
      await until(ms(20000), async () => (await refused()) >= 10, "refusals");
      members[0].say("over", { username: "end" });
      for (const member of members) {
        let got = 0;
        while ((await member.next(ms(20000))).username !== "end") got++;
        assert.ok(got > 0 && got * bytes <= most(), `${got} of 200`);
      }
      assert.equal(await server.metric(/^parlor_lag_closes_total$/), 0);
      for (const raw of sockets) raw.destroy();
      await Promise.all(members.map((member) => member.leave()));
    }));

test("a message heavier than the whole budget is taken, and the next ones wait for it", limit(30),
  withServer([...NO_PROXIES, "--messages-per-ip", "10"], async (server) => {
    const ann = await Rich.join(server, "lobby", { localAddress: "127.0.0.5" });
    await ann.say("x".repeat(16000));
    await ann.refused("rate_limited", { type: "message", message: "next" });
    await ann.leave();
  }));

test("connects: 429 with Retry-After to the one, nothing to the others, health to all", limit(30),
  withServer([...NO_PROXIES, "--connects-per-ip", "10"], async (server) => {
    for (let i = 0; i < 10; i++)
      await (await Member.join(server, "lobby", { localAddress: "127.0.0.5" })).leave();
    let answer;
    for (let i = 0; i < 3 && answer?.status !== 429; i++) // one came back meanwhile, perhaps
      answer = await refusedHandshake(server, "/ws/chat/lobby/", { localAddress: "127.0.0.5" }).catch(() => null);
    assert.equal(answer.status, 429);
    assert.equal(answer.json.error.code, "rate_limited");
    assert.match(answer.headers["retry-after"], /^\d+$/);
    assert.equal((await getFrom(server, "127.0.0.5", "/healthz")).status, 200);
    const other = await Member.join(server, "lobby", { localAddress: "127.0.0.6" });
    await other.leave();
  }));

test("new rooms have a budget, rooms that exist do not", limit(30),
  withServer([...NO_PROXIES, "--rooms-per-ip", "5"], async (server) => {
    const from = { localAddress: "127.0.0.5" };
    const owner = await Rich.join(server, "known", { localAddress: "127.0.0.6" });
    await owner.say("somebody was here");
    const rich = await Rich.join(server, "known", from);
    for (let i = 0; i < 5; i++) await rich.get("joined", { type: "join", room: `new-${i}` });
    const refusal = await rich.refused("rate_limited", { type: "join", room: "one-more" });
    assert.ok(refusal.temporary && refusal.retry_after_ms > 0 && refusal.retry_after_ms <= 2000, JSON.stringify(refusal));
    const answer = await refusedHandshake(server, "/ws/chat/another/", from);
    assert.equal(answer.status, 429);
    assert.match(answer.headers["retry-after"], /^\d+$/);
    await server.says(/over_budget.*peer=127\.0\.0\.5 budget=rooms/, ms(5000));
    await (await Member.join(server, "known", from)).leave();
    await (await Member.join(server, "another", { localAddress: "127.0.0.7" })).leave();
    await Promise.all([owner.leave(), rich.leave()]);
  }));

test("history has a budget: handshakes, joins and questions share it", limit(30),
  withServer([...NO_PROXIES, "--history-per-ip", "4"], async (server) => {
    const from = { localAddress: "127.0.0.5" };
    const rich = await Rich.join(server, "lobby", { ...from, query: "?history=10" });
    const { id } = await rich.say("hello");
    await rich.get("history", { type: "history" });
    await rich.get("joined", { type: "join", room: "other", history: 10 });
    await (await Member.join(server, "lobby", { ...from, query: `?since=${id}` })).leave();
    const refusal = await rich.refused("rate_limited", { type: "history" });
    assert.ok(refusal.retry_after_ms > 0 && refusal.retry_after_ms <= 2500, JSON.stringify(refusal));
    await rich.refused("rate_limited", { type: "join", room: "third", history: 10 });
    const answer = await refusedHandshake(server, "/ws/chat/lobby/?history=1000", from);
    assert.equal(answer.status, 429);
    await (await Member.join(server, "lobby", from)).leave(); // asks for nothing
    await (await Member.join(server, "lobby", { localAddress: "127.0.0.6", query: "?history=5" })).leave();
    await rich.leave();
  }));

for (const frame of [{ type: "who" }, { type: "typing" }, { type: "read" }, { type: "join", room: "other" }, { type: "leave", room: "other" }])
  test(`requests have a budget: ${frame.type} on any number of connections`, limit(30),
    withServer([...NO_PROXIES, "--requests-per-ip", "10"], async (server) => {
      const from = { localAddress: "127.0.0.5", query: "?username=ann" };
      const [one, other] = await Promise.all([Rich.join(server, "lobby", from), Rich.join(server, "lobby", from)]);
      const { id } = await one.say("hello");
      for (let i = 0; i < 5; i++) {
        await one.get("members", { type: "who" });
        await other.get("members", { type: "who" });
      }
      const refusal = await other.refused("rate_limited", { ...frame, id });
      assert.ok(refusal.retry_after_ms > 0 && refusal.retry_after_ms <= 1000, JSON.stringify(refusal));
      assert.match(refusal.detail, /address/);
      await server.says(/over_budget.*peer=127\.0\.0\.5 budget=requests/, ms(5000));
      await one.say("messages have another");
      const stranger = await Rich.join(server, "lobby", { localAddress: "127.0.0.6" });
      await stranger.settled();
      await Promise.all([one, other, stranger].map((member) => member.leave()));
    }));

test("who asks who is there pays for the length of the answer", limit(20),
  withServer([...NO_PROXIES, "--requests-per-ip", "100"], async (server) => {
    const many = await Promise.all(Array.from({ length: 60 }, (_, i) =>
      Rich.join(server, "crowd", { query: `?username=${"n".repeat(60)}${i}` })));
    const one = await Rich.join(server, "crowd", { localAddress: "127.0.0.5" });
    let answers = 0;
    while ((await one.ask({ type: "who" })).type === "members") answers++;
    assert.ok(answers >= 10 && answers <= 30, `${answers} answers of some 6 KB each`);
    await Promise.all([one, ...many].map((member) => member.leave()));
  }));

const KEY = "a-key-of-20-letters!";
const PLAIN = {
  page: ["GET", "/"],
  head: ["HEAD", "/"],
  metrics: ["GET", "/metrics"],
  nothing: ["GET", "/nothing"],
  method: ["DELETE", "/"],
  "handshake that is none": ["GET", "/ws/chat/lobby/"],
  "room that is none": ["GET", "/ws/chat/%FF/"],
  "host that is none of ours": ["GET", "/", { Host: "evil.example" }],
  "API without its key": ["GET", "/api/v1/rooms"],
  "API with a wrong key": ["GET", "/api/v1/rooms", { Authorization: "Bearer another-of-20-letters" }],
};

/** Requests in one write, on a connection from 127.0.0.5; resolves with the answers. */
async function pipeline(server, requests) {
  const connection = await HttpConnection.open(server.port, undefined, "127.0.0.5");
  connection.socket.cork();
  for (const [method, target, headers] of requests) {
    const lines = Object.entries({ Host: "localhost", ...headers }).map(([k, v]) => `${k}: ${v}\r\n`);
    connection.write(`${method} ${target} HTTP/1.1\r\n${lines.join("")}\r\n`, { head: method === "HEAD" });
  }
  connection.socket.uncork();
  const answers = [];
  while (answers.length < requests.length) answers.push(await connection.answer());
  connection.end();
  return answers;
}

for (const [what, one] of Object.entries(PLAIN))
  test(`requests have a budget: HTTP, ${what}`, limit(20),
    withServer([...NO_PROXIES, "--requests-per-ip", "10", "--api-key", KEY], async (server) => {
      const answers = await pipeline(server, Array.from({ length: 20 }, () => one));
      const refused = answers.filter(({ status }) => status === 429);
      assert.ok(refused.length >= 5 && refused.length <= 10, `${answers.map((answer) => answer.status)}`);
      assert.notEqual(answers[9].status, 429);
      for (const { headers } of refused) assert.match(headers["retry-after"], /^\d+$/);
      await server.says(/over_budget.*peer=127\.0\.0\.5 budget=requests/, ms(5000));
    }));

test("a handshake that comes to nothing counts, also if its connection ends with it", limit(20),
  withServer([...NO_PROXIES, "--requests-per-ip", "10"], async (server) => {
    const statuses = [];
    for (let i = 0; i < 20; i++)
      statuses.push((await getFrom(server, "127.0.0.5", "/ws/chat/lobby/", { Connection: "close" })).status);
    assert.equal(statuses[9], 426);
    assert.ok(statuses.filter((status) => status === 429).length >= 5, `${statuses}`);
  }));

test("over that budget: health, OPTIONS and the API with its key answer, and others are not concerned", limit(20),
  withServer([...NO_PROXIES, "--requests-per-ip", "2", "--api-key", KEY], async (server) => {
    const free = [["GET", "/healthz"], ["HEAD", "/readyz"], ["OPTIONS", "/"],
      ["GET", "/api/v1/rooms", { Authorization: `Bearer ${KEY}` }]];
    const spent = [["GET", "/"], ["GET", "/"], ["GET", "/"]];
    const answers = await pipeline(server, [...spent, ...free, ...free, ...free, ["GET", "/"]]);
    const well = [200, 200, 204, 200];
    assert.deepEqual(answers.map(({ status }) => status), [200, 200, 429, ...well, ...well, ...well, 429]);
    assert.match(answers[2].json.error.detail, /address/);
    assert.equal((await refusedHandshake(server, "/ws/chat/lobby/", { localAddress: "127.0.0.5" })).status, 429);
    for (let i = 0; i < 2; i++) assert.equal((await getFrom(server, "127.0.0.6", "/")).status, 200);
    for (let i = 0; i < 4; i++) // a handshake is of another budget
      await (await Member.join(server, "lobby", { localAddress: "127.0.0.7" })).leave();
    await until(ms(15000), async () => (await getFrom(server, "127.0.0.5", "/")).status === 200, "the next one");
  }));

test("the API has no budget", limit(20),
  withServer([...NO_PROXIES, "--rooms-per-ip", "1", "--history-per-ip", "1", "--requests-per-ip", "1", "--api-key", KEY],
    async (server) => {
      const headers = { Authorization: `Bearer ${KEY}`, "Content-Type": "application/json" };
      const http = await HttpConnection.open(server.port);
      for (let i = 0; i < 5; i++) {
        const body = JSON.stringify({ message: "hi", username: "bot" });
        http.write(`POST /api/v1/rooms/api-${i}/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n` +
          `${Object.entries(headers).map(([k, v]) => `${k}: ${v}\r\n`).join("")}\r\n${body}`);
        assert.equal((await http.answer()).status, 201);
      }
      for (let i = 0; i < 5; i++)
        for (const what of ["rooms", "rooms/api-0/search?q=hi", "rooms/api-0/messages"])
          assert.equal((await http.ask("GET", `/api/v1/${what}`, headers)).status, 200, what);
      http.end();
    }));

// ---- loopback ----

const TINY = ["--rooms-per-ip", "2"];

/** Enters this many new rooms from 127.0.0.1; resolves with how many it got. */
async function enterRooms(server, prefix, n, headers = {}) {
  let entered = 0;
  for (let i = 0; i < n; i++) {
    const answer = await Member.join(server, `${prefix}-${i}`, { headers }).catch((error) => error);
    if (answer instanceof Error) assert.match(answer.message, /429/);
    else entered++, await answer.leave();
  }
  return entered;
}

test("a program on the machine that forwards for nobody has no budget", limit(20), withServer(TINY, async (server) => {
  const own = [{}, { Origin: "null" }, { Origin: "http://localhost:3000" }, { Host: "chat.localhost" }, { Host: "[::1]:80" }];
  for (const [i, headers] of own.entries()) assert.equal(await enterRooms(server, `own${i}`, 4, headers), 4);
  assert.doesNotMatch(server.stderr, /loopback_limited/);
}));

for (const [what, headers] of [
  ["a foreign Host", { Host: "chat.example.org" }],
  ["a Host that only begins like this machine", { Host: "localhost:80.example.org" }],
  ["an address of the machine that others reach", { Host: "192.168.1.7:8000" }],
  ["a foreign Origin", { Origin: "https://chat.example.org" }],
  ["an Origin that only begins like this machine", { Origin: "http://localhost:80@example.org" }],
  ["a forwarding header", { "X-Forwarded-Proto": "https" }],
])
  test(`${what} ends that, with a warning`, limit(20), withServer(TINY, async (server) => {
    const member = await Rich.join(server, "before");
    assert.equal(await enterRooms(server, "free", 4), 4);
    await request(server.port, "GET", "/", headers);
    await server.says(/loopback_limited/, ms(5000));
    assert.equal(await enterRooms(server, "limited", 4), 2);
    await member.refused("rate_limited", { type: "join", room: "also-for-those-who-are-here" });
    await request(server.port, "GET", "/", headers);
    assert.equal(server.stderr.match(/loopback_limited/g).length, 1, "it is said once");
    await member.leave();
  }));

test("connections that were let in before that are counted after it", limit(30),
  withServer(["--workers", "2", "--max-connections", "20"], async (server) => {
    const members = [];
    for (let i = 0; i < 13; i++) members.push(await Member.join(server)); // more than half
    await request(server.port, "GET", "/", { Host: "chat.example.org" });
    await server.says(/loopback_limited/, ms(5000));
    await assert.rejects(Member.join(server), /503/);
    members.push(await Member.join(server, "lobby", forwarded("203.0.113.1")));
    members[0].say("nobody is put out");
    await Promise.all(members.map(async (m) => assert.equal((await m.next()).message, "nobody is put out")));
    for (let i = 0; i < 3; i++) await members.shift().leave(); // ten are left
    await assert.rejects(Member.join(server), /503/);
    await members.shift().leave();
    await until(ms(5000), () => Member.join(server).then((m) => members.push(m), () => false), "a free place");
    await assert.rejects(Member.join(server), /503/);
    await Promise.all(members.map((m) => m.leave()));
  }));

// ---- proxies ----

const forwarded = (client) => ({ headers: { "X-Forwarded-For": client } });

test("behind a proxy each client has its own budget, and cannot choose another", limit(20),
  withServer([...TINY, "--log-level", "debug"], async (server) => {
    const enter = (prefix, client) => enterRooms(server, prefix, 3, { "X-Forwarded-For": client });
    assert.equal(await enter("a", "203.0.113.1"), 2);
    assert.equal(await enter("b", "203.0.113.2"), 2);
    assert.equal(await enter("c", "198.51.100.7, 203.0.113.1"), 0, "what the client wrote in front");
    assert.equal(await enter("d", "2001:db8::1"), 2);
    assert.equal(await enter("e", "2001:db8::ffff:2"), 0, "the same /64");
    assert.equal(await enter("f", "2001:db8:0:1::1"), 2);
    assert.equal(await enter("g", "unknown"), 2, "unreadable: the proxy itself");
    assert.equal(await enter("h", "203.0.113.9, junk"), 0, "the proxy itself");
    assert.match(server.stderr, /websocket_closed.*peer=203\.0\.113\.1 /);
    assert.match(server.stderr, /websocket_closed.*peer=2001:db8:: /);
  }));

test("headers of who is no trusted proxy are not heard", limit(20),
  withServer([...TINY, "--trusted-proxies", "127.0.0.2,192.0.2.0/24"], async (server) => {
    const enter = async (localAddress, client, room) => {
      const options = { localAddress, headers: { "X-Forwarded-For": client, "X-Real-IP": client } };
      const member = await Member.join(server, room, options).catch(() => null);
      if (member) await member.leave();
      return member !== null;
    };
    for (const [i, want] of [true, true, false, false].entries())
      assert.equal(await enter("127.0.0.1", `203.0.113.${i}`, `a${i}`), want);
    for (let i = 0; i < 4; i++) assert.ok(await enter("127.0.0.2", `203.0.113.${i}, 192.0.2.7`, `b${i}`));
  }));

test("a proxy that is not trusted is named once, with the option that has it believed", limit(20), async (t) => {
  const names = { "X-Forwarded-For": "203.0.113.77", Forwarded: "for=203.0.113.77", "X-Real-IP": "203.0.113.77" };
  for (const [name, value] of Object.entries(names))
    await t.test(name, withServer([...NO_PROXIES, "--workers", "2"], async (server) => {
      await getFrom(server, "127.0.0.4", "/", { Via: "1.1 squid", "X-Forwarded-Proto": "https" });
      await getFrom(server, "127.0.0.5", "/");
      for (const from of ["127.0.0.6", "127.0.0.7", "127.0.0.8", "127.0.0.6"]) await getFrom(server, from, "/", { [name]: value });
      await server.says(/proxy_not_trusted/, ms(5000));
      const said = server.stderr.split("\n").filter((line) => line.includes("proxy_not_trusted"));
      assert.equal(said.length, 1, said.join("\n"));
      assert.match(said[0], / warn {2}proxy_not_trusted .* peer=127\.0\.0\.6 option="--trusted-proxies 127\.0\.0\.6"/);
      assert.doesNotMatch(server.stderr, /203\.0\.113/);
    }));
  await t.test("and is believed then", withServer([...TINY, "--trusted-proxies", "127.0.0.6"], async (server) => {
    const options = (i) => ({ localAddress: "127.0.0.6", headers: { "X-Forwarded-For": `203.0.113.${i}` } });
    for (let i = 0; i < 6; i++) await (await Member.join(server, `room-${i}`, options(i))).leave();
    assert.doesNotMatch(server.stderr, /proxy_not_trusted/);
  }));
});

for (const [name, value] of Object.entries({
  "X-Real-IP": (ip) => ip,
  Forwarded: (ip) => `for=198.51.100.1, for="${ip}:77";proto=https`,
}))
  test(`--client-address-header ${name}: that one, and no other`, limit(20),
    withServer([...TINY, "--client-address-header", name.toLowerCase()], async (server) => {
      const enter = (prefix, ip, other) =>
        enterRooms(server, prefix, 3, { [name]: value(ip), "X-Forwarded-For": other });
      assert.equal(await enter("a", "203.0.113.1", "198.51.100.1"), 2);
      assert.equal(await enter("b", "203.0.113.1", "198.51.100.2"), 0);
      assert.equal(await enter("c", "203.0.113.2", "198.51.100.2"), 2);
    }));

test("--max-connections-per-ip counts clients of a proxy; a /64 is one", limit(20),
  withServer(["--workers", "2", "--max-connections-per-ip", "5"], async (server) => {
    const join = (client) => Member.join(server, "lobby", forwarded(client));
    const members = [];
    for (const prefix of ["203.0.113.1", "203.0.113.2", "2001:db8:0:1::"])
      for (let i = 0; i < 5; i++) members.push(await join(prefix.endsWith(":") ? `${prefix}${i}` : prefix));
    for (const full of ["203.0.113.1", "2001:db8:0:1:ffff::9"]) await assert.rejects(join(full), /503/);
    members.push(await join("2001:db8:0:2::1"));
    await members.shift().leave();
    await until(ms(5000), () => join("203.0.113.1").then((m) => members.push(m), () => false), "a free place");
    await Promise.all(members.map((m) => m.leave()));
  }));

test("one connection of a proxy brings requests of many clients", limit(20),
  withServer(["--max-connections-per-ip", "1"], async (server) => {
    const member = await Member.join(server, "lobby", forwarded("203.0.113.1"));
    const proxy = await HttpConnection.open(server.port);
    const ask = (client) => proxy.ask("GET", "/", { "X-Forwarded-For": client });
    assert.equal((await ask("203.0.113.2")).status, 200);
    assert.equal((await ask("203.0.113.3")).status, 200);
    const second = await Member.join(server, "lobby", forwarded("203.0.113.2"));
    assert.equal((await ask("203.0.113.1")).status, 503, "its place is taken");
    await within(ms(5000), proxy.closed, "end");
    await Promise.all([member.leave(), second.leave()]);
  }));

test("connections that a proxy keeps for further requests are nobody's", limit(20),
  withServer(["--max-connections-per-ip", "2"], async (server) => {
    const kept = [];
    for (let i = 0; i < 6; i++) {
      kept.push(await HttpConnection.open(server.port));
      assert.equal((await kept[i].ask("GET", "/", { "X-Forwarded-For": "203.0.113.1" })).status, 200);
    }
    for (const connection of kept) // all are still open
      assert.equal((await connection.ask("GET", "/", { "X-Forwarded-For": "203.0.113.1" })).status, 200);
    await (await Member.join(server, "lobby", forwarded("203.0.113.1"))).leave();
    for (const connection of kept) connection.end();
  }));

test("connects of a client behind a proxy that keeps its connections", limit(20),
  withServer(["--connects-per-ip", "3"], async (server) => {
    const from = forwarded("203.0.113.1");
    for (let i = 0; i < 3; i++) await (await Member.join(server, "lobby", from)).leave();
    let refused = false;
    for (let i = 0; i < 3 && !refused; i++)
      refused = await Member.join(server, "lobby", from).then((m) => m.leave().then(() => false), (e) => /429/.test(e.message));
    assert.ok(refused);
    await (await Member.join(server, "lobby", forwarded("203.0.113.2"))).leave();
  }));

// ---- PROXY protocol ----

const V2 = Buffer.from("0d0a0d0a000d0a515549540a", "hex");
const bytes = (ip) => Buffer.from(ip.split(".").map(Number));
const v1 = (ip) => Buffer.from(`PROXY ${ip.includes(":") ? "TCP6" : "TCP4"} ${ip} ${ip} 1 2\r\n`);
const v2 = (ip) => Buffer.concat([V2, Buffer.from([0x21, 0x11, 0, 12]), bytes(ip), bytes("192.0.2.9"), Buffer.alloc(4)]);

/** A server with a listener for the PROXY protocol at server.proxyPort. */
const withProxyListener = (args, body) => withServer(
  ["--listen", "proxy:127.0.0.1:0", ...args, "--log-level", "debug"],
  async (server) => {
    await until(ms(5000), () => (server.stderr.match(/listening/g) ?? []).length > 1, "both listeners");
    const urls = [...server.stderr.matchAll(/http:\/\/127\.0\.0\.1:(\d+)\//g)].map((m) => Number(m[1]));
    server.proxyPort = urls.find((port) => port !== server.port);
    await body(server);
  });

/** @param {{localAddress?: string, headers?: Record<string, string>}} how */
async function joinThrough(server, header, room, how = {}) {
  const { localAddress, headers } = how;
  const raw = await Raw.connect(server.proxyPort, { localAddress });
  await raw.send(header);
  await raw.upgrade(`/ws/chat/${room}/`, { headers });
  return raw;
}

test("PROXY protocol: the client is whom the header names", limit(20), withProxyListener(TINY, async (server) => {
  await server.says(/PROXY protocol/, ms(5000));
  for (const [i, header] of [v1("203.0.113.1"), v2("203.0.113.1")].entries())
    await (await joinThrough(server, header, `a${i}`)).closeClean();
  await assert.rejects(joinThrough(server, v1("203.0.113.1"), "a9"), /handshake/);
  await (await joinThrough(server, v1("2001:db8::1"), "b0")).closeClean();
  // Not a trusted proxy: what it says of itself in a header is not heard.
  const forged = { headers: { "X-Forwarded-For": "198.51.100.1" } };
  await assert.rejects(joinThrough(server, v1("203.0.113.1"), "c0", forged), /handshake/);
  await server.says(/websocket_closed.*peer=203\.0\.113\.1 /, ms(5000));
  await server.says(/websocket_closed.*peer=2001:db8:: /, ms(5000));
  // A proxy that speaks for itself, with a header in any number of pieces.
  const local = Buffer.concat([V2, Buffer.from([0x20, 0, 0, 0])]);
  const raw = await Raw.connect(server.proxyPort);
  await raw.sendChopped(local, 3);
  await raw.upgrade("/ws/chat/d0/");
  await raw.closeClean();
}));

test("PROXY protocol: no header, a bad one or an unknown proxy ends the connection", limit(20),
  withProxyListener(["--trusted-proxies", "127.0.0.1"], async (server) => {
    for (const first of ["GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", "PROXY TCP4 a b 1 2\r\n", V2.toString("latin1") + "\x31\0\0\0"]) {
      const raw = await Raw.connect(server.proxyPort);
      await raw.send(Buffer.from(first, "latin1"));
      await within(ms(5000), raw.over, "end");
      assert.equal(raw.bytesIn, 0);
      raw.destroy();
    }
    const stranger = await Raw.connect(server.proxyPort, { localAddress: "127.0.0.2" });
    await within(ms(5000), stranger.over, "end of a stranger");
    stranger.destroy();
    await server.says(/proxy_refused.*peer=127\.0\.0\.2 /, ms(5000));
    // And the ordinary listener does not take the header.
    const raw = await HttpConnection.open(server.port);
    raw.write(Buffer.concat([v1("203.0.113.1"), Buffer.from("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")]));
    assert.equal((await raw.answer()).status, 400);
    raw.end();
  }));

test("PROXY protocol: 200 sockets of one /64 are one client", limit(60),
  withProxyListener(["--max-connections-per-ip", "5", "--connects-per-ip", "none"], async (server) => {
    const raws = [];
    for (let i = 0; i < 200; i++) {
      const raw = await Raw.connect(server.proxyPort);
      await raw.send(v1(`2001:db8::${i.toString(16)}`));
      raws.push(raw);
    }
    await until(ms(5000), async () => (await server.metric(/^parlor_connections$/)) <= 5 + 1, "five of them");
    for (const raw of raws) raw.destroy();
  }));
