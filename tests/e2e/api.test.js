// The HTTP API: every route, its key, its errors, bodies and pipelines, and export and import. Every
// answer that goes through lib/api.js is held against the OpenAPI document.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import path from "node:path";
import { test } from "node:test";
import { AUTH, Api, KEY, document, keyFile, promised, seen, startApi, withApi } from "./lib/api.js";
import { Member } from "./lib/chat.js";
import { HttpConnection, request } from "./lib/http.js";
import { Raw, text } from "./lib/raw.js";
import { BIN, runToEnd, startServer, withDirectory, withServer } from "./lib/server.js";
import { SANITIZED, SEQ_STEP, count, limit, ms, pause, until, within } from "./lib/wait.js";

const RICH = { protocols: ["parlor.v1"] };
const enc = encodeURIComponent;
const idOf = (message) => message.id;
const textOf = (message) => message.message;

function isError(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.headers["content-type"], "application/json");
  assert.deepEqual(Object.keys(answer.json.error).sort(), ["code", "detail"]);
  assert.equal(answer.json.error.code, code);
}

/** The next frame of a rich client that has this type. */
async function nextOf(member, type) {
  for (;;) {
    const frame = await member.next();
    if (frame.type === type) return frame;
  }
}

// ---- the key ----

test("without a key there is no API, and the answer says how to get one", limit(20), () =>
  withDirectory(async (dir) => {
    await withServer(["--data", path.join(dir, "x.db")], async (server) => {
      for (const target of ["/api/", "/api/v1/rooms", "/api/v1/openapi.json", "/api/v2/x"]) {
        const answer = await request(server.port, "GET", target, AUTH);
        isError(answer, 404, "not_found");
        assert.match(answer.json.error.detail, /--api-key-file/);
      }
      isError(await request(server.port, "GET", "/openapi.json"), 404, "not_found");
    })();
  }));

test("the key: what is accepted, what is not", limit(20), withApi([], async (api, server) => {
  const ask = (headers, target = "/api/v1/stats", method = "GET") =>
    request(server.port, method, target, headers);
  for (const value of [undefined, "", "Bearer", "Bearer ", KEY, `Basic ${KEY}`, `Bearer ${KEY}x`,
    `Bearer ${KEY.slice(0, -1)}`, `Bearer  ${KEY}`, `Bearer ${KEY.toUpperCase()}`]) {
    const answer = await ask(value === undefined ? {} : { Authorization: value });
    isError(answer, 401, "unauthorized");
    assert.match(answer.headers["www-authenticate"], /^Bearer/);
  }
  for (const target of ["/api/v1/rooms/x/messages", "/api/v1/nothing", "/api/"])
    isError(await ask({}, target), 401, "unauthorized");
  assert.equal((await ask({ Authorization: `bearer ${KEY}` })).status, 200, "the scheme has no case");
  const answer = await ask({ ...AUTH, Origin: "https://evil.example" });
  assert.equal(answer.status, 200);
  assert.ok(!Object.keys(answer.headers).some((name) => name.startsWith("access-control")), "no CORS");
  assert.equal((await request(server.port, "GET", "/api/v1/openapi.json")).status, 200, "needs no key");
  assert.ok(!server.stderr.includes(KEY), "the key is not logged");
}));

test("who tries keys is seen: a line with the address, and a count", limit(20), withApi([], async (api, server) => {
  const ask = (headers) => request(server.port, "GET", "/api/v1/rooms", headers);
  await ask({});
  await ask({ Authorization: "Bearer guess-guess-guess" });
  await ask(AUTH);
  await server.says(/api_key_refused.* peer=127\.0\.0\.1 given=true/, ms(5000));
  assert.match(server.stderr, /api_key_refused.* peer=127\.0\.0\.1 given=false/);
  assert.doesNotMatch(server.stderr, /guess-guess/);
  assert.equal(await server.metric(/^parlor_api_keys_refused_total$/), 2);
  for (let i = 0; i < 200; i++) await ask({});
  assert.ok(server.stderr.match(/api_key_refused/g).length <= 2 + 10 * 20, "repeats are limited");
}));

test("the key on the command line is wiped from the process title", limit(20), () =>
  withDirectory(async (dir) => {
    for (const form of [["--api-key", KEY], [`--api-key=${KEY}`]]) {
      const server = await startServer(["--data", path.join(dir, "x.db"), ...form]);
      assert.equal((await request(server.port, "GET", "/api/v1/stats", AUTH)).status, 200);
      const title = readFileSync(`/proc/${server.pid}/cmdline`, "utf8");
      assert.match(title, /--api-key/);
      assert.ok(!title.includes(KEY), title);
      await server.stop();
      assert.ok(!server.stderr.includes(KEY));
    }
    const server = await startServer(["--data", path.join(dir, "x.db"), "--api-key-file", keyFile(dir, `${KEY}\r\nmore\n`)]);
    assert.equal((await request(server.port, "GET", "/api/v1/stats", AUTH)).status, 200);
    await server.stop();
  }));

test("a bad key stops the start without being shown; --print-config shows none", limit(20), () =>
  withDirectory(async (dir) => {
    const refused = async (args, env, reason) => {
      const end = await runToEnd(["--check-config", ...args], env);
      assert.equal(end.code, 2, end.stderr);
      assert.match(end.stderr, reason);
      assert.equal(end.stderr.trim().split("\n").length, 1, end.stderr);
      for (const secret of ["short-secret", "with blank", KEY]) assert.ok(!end.stderr.includes(secret), end.stderr);
    };
    await refused(["--api-key", "short-secret"], {}, /--api-key: .*16 to 255/);
    await refused([`--api-ky=${KEY}`], {}, /--api-ky: unknown option; did you mean --api-key\?/);
    await refused([], { PARLOR_API_KEY: "a key with blank in it" }, /PARLOR_API_KEY: .*visible/);
    await refused(["--api-key-file", path.join(dir, "none")], {}, /api-key-file .*none.*No such file/);
    await refused(["--api-key-file", dir], {}, /api-key-file .*directory/);
    await refused(["--api-key-file", keyFile(dir, "short-secret\n")], {}, /first line/);
    for (const mode of [0o644, 0o640, 0o604, 0o620, 0o602])
      await refused(["--api-key-file", keyFile(dir, `${KEY}\n`, mode)], {}, /api-key-file .*key": other users .*chmod 600/);
    const ini = keyFile(dir, `workers = 1\napi-key = ${KEY}\n`, 0o644);
    await refused(["--config", ini], {}, /key:2: api-key: other users .*chmod 600/);
    keyFile(dir, `api-key = ${KEY}\n`);
    assert.equal((await runToEnd(["--check-config", "--config", ini])).code, 0);
    await refused(["--api-key-file", keyFile(dir, "")], {}, /first line/);
    await refused(["--api-key-file", keyFile(dir, `${"x".repeat(300)}\n`)], {}, /first line/);
    await refused(["--api-key-file", keyFile(dir)], { PARLOR_API_KEY: KEY }, /both given/);
    const printed = await runToEnd(["--print-config", "--api-key", KEY]);
    assert.equal(printed.code, 0);
    assert.ok(!printed.stdout.includes(KEY));
    const named = await runToEnd(["--print-config", "--api-key-file", keyFile(dir)]);
    assert.ok(named.stdout.includes(`api-key-file = ${path.join(dir, "key")}`), named.stdout);
    assert.ok(!named.stdout.includes(KEY));
  }));

// ---- reading ----

test("rooms: listed by name, page by page, with who is in them", limit(20), withApi([], async (api, server) => {
  assert.deepEqual(await api.get("/rooms"), { rooms: [], more: false });
  const names = ["a", "a b", "ab", "a~", "b", "lobby", "straße", "комната", "房间", "🎉", "%41"];
  for (const name of names) await api.post(name, `hello ${name}`);
  const sorted = [...names].sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y)));
  assert.deepEqual((await api.get("/rooms")).rooms.map((r) => r.room), sorted);
  const paged = [];
  for (let after = ""; ;) {
    const page = await api.get(`/rooms?limit=3&after=${enc(after)}`);
    paged.push(...page.rooms.map((r) => r.room));
    if (!page.more) break;
    assert.equal(page.rooms.length, 3);
    after = paged.at(-1);
  }
  assert.deepEqual(paged, sorted);
  for (const name of names) {
    const room = await api.get(`/rooms/${enc(name)}`);
    assert.equal(room.room, name);
    assert.equal(room.events, 1);
    assert.equal(room.first, room.head);
    assert.equal(room.members, 0);
  }
  const member = await Member.join(server, enc("房间"));
  assert.equal((await api.get(`/rooms/${enc("房间")}`)).members, 1);
  assert.equal((await api.get("/rooms")).rooms.find((r) => r.room === "房间").members, 1);
  for (const name of ["a!", "aa", "c", "0", "zz", "房"]) await api.fails(404, "not_found", "GET", `/rooms/${enc(name)}`);
  const quiet = await Member.join(server, "quiet");
  const room = await api.get("/rooms/quiet");
  assert.deepEqual([room.members, room.first, room.events, room.last_ts], [1, null, 0, null]);
  assert.match(room.head, /-0$/);
  await api.fails(400, "bad_room", "GET", "/rooms/%2f");
  await api.fails(400, "bad_room", "GET", `/rooms/${"x".repeat(129)}`);
  await api.fails(400, "bad_room", "GET", "/rooms/");
  await api.fails(400, "bad_parameter", "GET", "/rooms?limit=0");
  await api.fails(400, "bad_parameter", "GET", "/rooms?limit=x");
  await api.fails(400, "bad_parameter", "GET", "/rooms?after=%ff");
  assert.equal((await api.get("/rooms?limit=99999999999999999999")).rooms.length, names.length);
  await member.leave();
  await quiet.leave();
}));

test("messages: pages in every direction", limit(30), withApi([], async (api) => {
  const at = "/rooms/log/messages";
  assert.deepEqual(await api.get(at), { room: "log", messages: [], more: false }, "nothing was said yet");
  const posted = [];
  for (let i = 1; i <= 120; i++) posted.push(await api.post("log", `m${i}`));
  const texts = async (query) => {
    const page = await api.get(at + query);
    return [page.messages.map(textOf), page.more];
  };
  const span = (from, to) => posted.slice(from - 1, to).map(textOf);
  assert.deepEqual(await texts(""), [span(71, 120), true], "50 by default");
  assert.deepEqual(await texts("?limit=200"), [span(1, 120), false]);
  assert.deepEqual(await texts("?limit=100000"), [span(1, 120), false], "one over 200 is 200");
  assert.deepEqual(await texts(`?before=${idOf(posted[70])}&limit=30`), [span(41, 70), true]);
  assert.deepEqual(await texts(`?before=${idOf(posted[5])}`), [span(1, 5), false]);
  assert.deepEqual(await texts(`?after=${idOf(posted[9])}&limit=10`), [span(11, 20), true]);
  assert.deepEqual(await texts(`?after=${idOf(posted[119])}`), [[], false]);
  assert.deepEqual(await texts(`?around=${idOf(posted[59])}&limit=10`), [span(55, 64), true]);
  assert.deepEqual(await api.get(`${at}/${idOf(posted[3])}`), posted[3]);
  const epoch = idOf(posted[0]).split("-")[0];
  for (const id of [`${epoch}-121`, `${epoch}-0`, "zzzzzzzz-1"]) {
    await api.fails(404, "no_message", "GET", `${at}/${id}`);
    await api.fails(404, "no_message", "PATCH", `${at}/${id}`, { message: "x" });
    await api.fails(404, "no_message", "DELETE", `${at}/${id}`);
  }
  await api.fails(404, "no_message", "GET", `${at}?before=zzzzzzzz-1`);
  await api.fails(404, "no_message", "GET", `/rooms/other/messages?after=${epoch}-1`);
  for (const id of ["x", `${epoch}-01`, ""]) {
    await api.fails(400, "bad_id", "GET", `${at}/${id}`);
    await api.fails(400, "bad_id", "GET", `${at}?before=${id}`);
  }
  await api.fails(400, "bad_parameter", "GET", `${at}?before=${epoch}-3&after=${epoch}-1`);
  await api.fails(400, "bad_parameter", "GET", `${at}?limit=-1`);
}));

test("search: words, case, prefixes, pages; newest first", limit(30), withApi([], async (api) => {
  const at = "/rooms/shop/search";
  assert.deepEqual(await api.search(`${at}?q=apple`), { room: "shop", messages: [], more: false });
  for (let i = 0; i < 6; i++) await api.post("shop", `Apple number ${i}`);
  await api.post("shop", 'ein Äpfelchen, 两个苹果 and "quotes" OR *');
  await api.post("elsewhere", "apple");
  const found = async (query) => (await api.search(`${at}?${query}`)).messages.map(textOf);
  assert.deepEqual(await found("q=apple&limit=2"), ["Apple number 5", "Apple number 4"]);
  const page = await api.search(`${at}?q=appl+number&limit=4`);
  assert.equal(page.more, false, "only the last word may be a beginning");
  const first = await api.search(`${at}?q=NUMBER+app&limit=4`);
  assert.equal(first.more, true);
  assert.deepEqual(await found(`q=NUMBER+app&before=${first.messages.at(-1).id}`), ["Apple number 1", "Apple number 0"]);
  assert.equal((await found(`q=${enc("apfelchen")}`)).length, 1);
  assert.equal((await found(`q=${enc('"quotes" or')}`)).length, 1, "no syntax in what is searched for");
  assert.equal((await found(`q=${enc("number AND 3")}`)).length, 0);
  for (const query of ["", "q=", "q=%20", `q=${enc('"*"')}`, `q=${"x".repeat(513)}`, "q=%ff"])
    await api.fails(400, "bad_search", "GET", `${at}?${query}`);
  await api.fails(404, "no_message", "GET", `${at}?q=x&before=zzzzzzzz-1`);
}));

test("rights, where nothing is set for rooms; what is set is in rights.test.js", limit(20), withApi([], async (api) => {
  for (const [query, user] of [["", undefined], ["?user=u1", "u1"], ["?user=", undefined]]) {
    const got = await api.get(`/rooms/nobody-was-here/rights${query}`);
    assert.deepEqual([got.room, got.user, got.right, got.reason, got.pattern], ["nobody-was-here", user, "write", "default", undefined]);
    assert.deepEqual([got.actions.message, got.actions.kick, "note" in got], [true, false, user !== undefined]);
  }
}));

test("members and stats", limit(20), withApi([], async (api, server) => {
  assert.deepEqual(await api.get("/rooms/empty/members"), { room: "empty", count: 0, members: [] });
  const before = Date.now();
  const members = await Promise.all(["ann", "bob", "Ünal"].map((name, i) =>
    Member.join(server, "here", { query: `?username=${enc(name)}`, ...(i === 2 ? RICH : {}) })));
  const list = await api.get("/rooms/here/members");
  assert.equal(list.count, 3);
  assert.deepEqual(list.members.map((m) => m.username).sort(), ["ann", "bob", "Ünal"].sort());
  for (const m of list.members) assert.ok(Math.abs(m.since - before) < 60000);
  await api.post("here", "x");
  const stats = await api.get("/stats");
  assert.equal(stats.websockets, 3);
  assert.ok(stats.connections >= 3 && stats.rooms === 1 && stats.workers === 2);
  assert.ok(stats.messages === 1 && stats.store.committed === 1 && stats.store.healthy);
  assert.ok(stats.memory.resident_bytes > 1e6);
  for (const member of members) await member.leave();
}));

// ---- writing ----

test("a post reaches every kind of member at once, and is a full message", limit(20), withApi([], async (api, server) => {
  const [bare, full, rich] = [await Member.join(server, "live"), await Member.join(server, "live", { query: "?fields=full" }),
    await Member.join(server, "live", RICH)];
  const data = { n: 1.10, deep: [null, { "ключ": "\u0000" }] };
  const first = await api.post("live", "hé\u0000llo 🎉", { username: " Ann ", data });
  await bare.expectBare("Ann", "hé\u0000llo 🎉");
  assert.deepEqual(await full.next(), first);
  assert.deepEqual(await nextOf(rich, "message"), first);
  assert.deepEqual(first.data, data);
  assert.ok(!("user" in first));
  const reply = await api.post("live", "answer", { reply_to: first.id, user: "u-17" });
  assert.deepEqual([reply.reply_to, reply.user, reply.seq], [first.id, "u-17", 2 * SEQ_STEP]);
  assert.deepEqual(await nextOf(rich, "message"), reply);
  assert.deepEqual((await api.get("/rooms/live/messages")).messages, [first, reply]);
  bare.say("from a member", { username: "bob" });
  assert.equal((await nextOf(rich, "message")).seq, 3 * SEQ_STEP);
  for (const member of [bare, full, rich]) await member.leave();
}));

test("what a post may not be", limit(20), withApi(["--max-message-bytes", "1000"], async (api) => {
  const at = "/rooms/x/messages";
  const good = { message: "m", username: "u" };
  const bad = async (status, code, body, headers) => api.fails(status, code, "POST", at, body, headers);
  for (const body of ["", "{", "[]", '"x"', "null", '{"message":"m","username":"u"} x', '{"message":"m",}'])
    await bad(400, "bad_json", body);
  for (const message of [undefined, null, "", 7, ["x"]]) await bad(400, "bad_message", { ...good, message });
  for (const username of [undefined, null, "", " ", "system", 7, "x".repeat(65), "a\nb"])
    await bad(400, "bad_username", { ...good, username });
  for (const user of ["", 7, {}, "x".repeat(65)]) await bad(400, "bad_field", { ...good, user });
  for (const reply_to of [7, "x", "abcdefgh-0"]) await bad(400, "bad_id", { ...good, reply_to });
  await bad(404, "no_message", { ...good, reply_to: "zzzzzzzz-1" });
  await bad(413, "too_long", { ...good, message: "x".repeat(1001) });
  await bad(413, "too_long", { ...good, data: "x".repeat(5000) });
  await bad(415, "bad_media_type", JSON.stringify(good), { "Content-Type": "text/plain" });
  await bad(415, "bad_media_type", JSON.stringify(good), { "Content-Type": "application/json-patch+json" });
  for (const key of ["", "x".repeat(256), "a b", "é"])
    await bad(400, "bad_idempotency_key", good, { "Idempotency-Key": key });
  const plain = { "Content-Type": "Application/JSON ; charset=utf-8" };
  await api.ok("POST", at, { ...good, user: null, data: null, reply_to: null, extra: 1 }, { status: 201, headers: plain });
  await api.ok("POST", at, "{\"message\":\"\\ud800!\",\"username\":\"u\"}", { status: 201 });
  assert.deepEqual((await api.get(at)).messages.map(textOf), ["m", "\ufffd!"]);
}));

test("Idempotency-Key: posted once, also at the same time, also after a restart", limit(60), () =>
  withDirectory(async (dir) => {
    const data = path.join(dir, "x.db");
    let server = await startApi(data);
    let api = new Api(server);
    const at = "/rooms/pay/messages";
    const send = (message, more = {}, key = "order-1") =>
      api.call("POST", at, { message, username: "shop", ...more }, { "Idempotency-Key": key });
    const first = await send("paid");
    assert.equal(first.status, 201);
    const again = await send("paid twice?");
    assert.deepEqual([again.status, again.json], [200, first.json]);
    assert.equal((await send("other user", { user: "u2" })).status, 201, "a key is one of its user");
    await api.ok("PATCH", `${at}/${first.json.id}`, { message: "refunded" });
    assert.equal((await send("paid")).json.message, "refunded", "as it is now");

    for (let round = 0; round < count(30, 10); round++) {
      const all = await Promise.all(Array.from({ length: 6 }, () => send("once", {}, `round-${round}`)));
      assert.deepEqual(all.map((a) => a.status).sort(), [200, 200, 200, 200, 200, 201]);
      assert.equal(new Set(all.map((a) => a.json.id)).size, 1);
    }
    await server.stop();
    server = await startApi(data);
    api = new Api(server);
    assert.deepEqual([(await send("paid")).status, (await send("paid")).json.id], [200, first.json.id]);
    await api.ok("DELETE", `${at}/${first.json.id}`, undefined, { status: 204 });
    await api.fails(404, "no_message", "POST", at, { message: "paid", username: "shop" }, { "Idempotency-Key": "order-1" });
    await server.stop();
  }));

test("no member can use up a key of the API, nor see it", limit(20), withApi([], async (api, server) => {
  const rich = await Member.join(server, "pay", RICH);
  const { nonce } = await api.post("pay", "paid", { username: "app" }, { "Idempotency-Key": "order-1" });
  assert.ok(!nonce.includes("order-1"));
  const next = `api:${createHash("sha256").update("order-2").digest("hex")}`;
  rich.say({ type: "message", ref: 1, message: "mine", username: "app", nonce: "order-2" });
  assert.equal((await nextOf(rich, "ack")).ref, 1);
  rich.say({ type: "message", ref: 2, message: "mine", username: "app", nonce: next });
  assert.equal((await nextOf(rich, "error")).code, "bad_field");
  assert.equal((await api.post("pay", "paid", {}, { "Idempotency-Key": "order-2" })).nonce, next);
  await rich.leave();
}));

test("edit and delete: any message, members are told, history and search follow", limit(20), withApi([], async (api, server) => {
  const rich = await Member.join(server, "mod", RICH);
  const bare = await Member.join(server, "mod");
  bare.say("somthing rude", { username: "bob" });
  const said = await nextOf(rich, "message");
  const at = `/rooms/mod/messages/${said.id}`;
  const edited = await api.ok("PATCH", at, { message: "something polite" });
  assert.equal(edited.message, "something polite");
  assert.ok(edited.edited >= said.ts);
  const { edited: _, ...rest } = edited;
  assert.deepEqual(rest, { ...said, message: "something polite" });
  const told = await nextOf(rich, "edit");
  assert.deepEqual([told.id, told.message, told.username], [said.id, "something polite", "system"]);
  assert.equal((await api.search("/rooms/mod/search?q=polite")).messages.length, 1);
  assert.equal((await api.search("/rooms/mod/search?q=rude")).messages.length, 0);
  await api.fails(400, "bad_message", "PATCH", at, {});
  await api.fails(400, "bad_json", "PATCH", at, "");
  assert.equal((await api.call("DELETE", at)).status, 204);
  assert.equal((await nextOf(rich, "delete")).id, said.id);
  await api.fails(404, "no_message", "DELETE", at);
  await api.fails(404, "no_message", "PATCH", at, { message: "x" });
  await api.fails(404, "no_message", "GET", at);
  assert.deepEqual((await api.get("/rooms/mod/messages")).messages, []);
  const head = (await api.get("/rooms/mod")).head;
  await api.fails(404, "no_message", "PATCH", `/rooms/mod/messages/${head}`, { message: "an event is no message" });
  await rich.leave();
  await bare.leave();
}));

// ---- HTTP ----

test("methods: 405 with Allow; unknown paths; HEAD", limit(20), withApi([], async (api, server) => {
  const ask = (method, target, headers) => request(server.port, method, `/api/v1${target}`, { ...AUTH, ...headers });
  const allows = {
    "/stats": "GET, HEAD", "/export": "GET, HEAD", "/rooms": "GET, HEAD", "/rooms/x": "GET, HEAD",
    "/rooms/x/members": "GET, HEAD", "/rooms/x/search": "GET, HEAD", "/rooms/x/messages": "GET, HEAD, POST",
    "/rooms/x/messages/abcdefgh-1": "GET, HEAD, PATCH, DELETE",
  };
  for (const [target, methods] of Object.entries(allows)) {
    const allow = `${methods}, OPTIONS`;
    for (const method of ["PUT", "TRACE", "POST", "DELETE"]) {
      if (allow.includes(method)) continue;
      const answer = await ask(method, target, { "Content-Length": "0" });
      isError(answer, 405, "bad_method");
      assert.equal(answer.headers.allow, allow, `${method} ${target}`);
    }
    for (const key of [AUTH, {}]) {
      const answer = await request(server.port, "OPTIONS", `/api/v1${target}`, key);
      assert.deepEqual([answer.status, answer.headers.allow], [204, allow], `OPTIONS ${target}`);
    }
  }
  for (const target of ["", "/", "/room", "/rooms/x/", "/rooms/x/y", "/rooms/x/members/", "/rooms/x/messages/a/b", "/stats/", "/openapi.yaml"])
    isError(await ask("GET", target), 404, "not_found");
  isError(await request(server.port, "GET", "/api/v2/rooms", AUTH), 404, "not_found");

  const said = await api.post("x", "hello");
  assert.equal((await api.search("/rooms/x/search?q=hello")).messages.length, 1);
  for (const target of ["/stats", "/rooms", "/rooms/x", "/rooms/x/messages", `/rooms/x/messages/${said.id}`, "/rooms/x/search?q=hello"]) {
    const [get, head] = [await ask("GET", target), await ask("HEAD", target)];
    assert.deepEqual([get.status, head.status], [200, 200], target);
    if (target !== "/stats") assert.equal(head.headers["content-length"], get.headers["content-length"], target);
    assert.equal(head.body.length, 0);
    assert.equal(get.headers["cache-control"], "no-store");
    assert.equal(get.headers["x-content-type-options"], "nosniff");
  }
  assert.equal((await ask("HEAD", "/rooms/none")).status, 404);
  const head = await HttpConnection.open(server.port);
  const exported = await head.ask("HEAD", "/api/v1/export?room=x", AUTH);
  assert.deepEqual([exported.status, exported.headers["transfer-encoding"]], [200, "chunked"]);
  assert.equal((await head.ask("GET", "/api/v1/rooms/x", AUTH)).status, 200, "the connection goes on");
  head.end();
  isError(await ask("GET", "/stats", { "Content-Length": "5" }), 413, "body_refused");
}));

const HEAD = (method, target, headers) =>
  `${method} /api/v1${target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${KEY}\r\n` +
  `${Object.entries(headers).map(([k, v]) => `${k}: ${v}\r\n`).join("")}\r\n`;
const JSON_HEAD = (length, more = {}) =>
  HEAD("POST", "/rooms/body/messages", { "Content-Type": "application/json", "Content-Length": length, ...more });
const bodyOf = (message, more = {}) => Buffer.from(JSON.stringify({ message, username: "u", ...more }));

/** Sends one request on a connection of its own and gives the answer. */
async function raw(server, bytes) {
  const connection = await HttpConnection.open(server.port);
  connection.write(bytes);
  try {
    return await connection.answer();
  } finally {
    connection.end();
  }
}

test("bodies: length, size, pieces, 100-continue", limit(60), withApi(["--max-message-bytes", "90k", "--max-frame-bytes", "200k"],
  async (api, server) => {
    isError(await raw(server, HEAD("POST", "/rooms/x/messages", { "Content-Type": "application/json" })), 411, "length_required");
    isError(await raw(server, JSON_HEAD(0)), 400, "bad_json");
    isError(await raw(server, JSON_HEAD(200000)), 413, "body_too_large");
    isError(await raw(server, JSON_HEAD("99999999999999999999")), 400, "bad_request");
    isError(await raw(server, Buffer.concat([Buffer.from(JSON_HEAD(6)), Buffer.from('{"\xff":1}', "latin1").subarray(0, 6)])),
      400, "bad_json");

    const big = bodyOf("x".repeat(90 * 1024), { data: "y".repeat(4000) });
    const connection = await HttpConnection.open(server.port);
    connection.write(JSON_HEAD(big.length));
    for (let at = 0; at < big.length; at += 1000) {
      connection.more(big.subarray(at, at + 1000));
      await new Promise(setImmediate);
    }
    const answer = await connection.answer();
    assert.equal(answer.status, 201);
    assert.equal(answer.json.message.length, 90 * 1024);

    const small = bodyOf("in single bytes");
    const bytes = Buffer.concat([Buffer.from(JSON_HEAD(small.length)), small]);
    connection.write("");
    for (const byte of bytes) {
      connection.more(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    assert.equal((await connection.answer()).json.message, "in single bytes");
    connection.end();

    const patient = await HttpConnection.open(server.port);
    patient.write(JSON_HEAD(small.length, { Expect: "100-continue" }));
    assert.equal((await patient.answer()).status, 100);
    patient.write(small);
    assert.equal((await patient.answer()).status, 201);
    patient.write(JSON_HEAD(999999, { Expect: "100-continue" }));
    isError(await patient.answer(), 413, "body_too_large");
    await within(ms(5000), patient.closed, "the end of a connection with an unread body");

    // Whoever is refused before the body does not get to fill memory with it.
    const stranger = await HttpConnection.open(server.port);
    stranger.write(JSON_HEAD(50000).replace(KEY, "x".repeat(KEY.length)));
    isError(await stranger.answer(), 401, "unauthorized");
    stranger.end();
  }));

const CHUNKED_HEAD = (more = {}) =>
  HEAD("POST", "/rooms/chunked/messages", { "Content-Type": "application/json", "Transfer-Encoding": "chunked", ...more });
const chunk = (bytes, extension = "") =>
  Buffer.concat([Buffer.from(`${bytes.length.toString(16)}${extension}\r\n`), Buffer.from(bytes), Buffer.from("\r\n")]);
const LAST = "0\r\n\r\n";

test("chunked bodies: in any pieces, with the limits of others, and the next request begins behind them", limit(60),
  withApi(["--max-message-bytes", "90k", "--max-frame-bytes", "200k"], async (api, server) => {
    const body = bodyOf("in chunks");
    const whole = Buffer.concat([Buffer.from(CHUNKED_HEAD()), chunk(body.subarray(0, 5), ';a="b"'), chunk(body.subarray(5)),
      Buffer.from("0\r\nX-Sum: ignored\r\n\r\n")]);
    const connection = await HttpConnection.open(server.port);
    for (let i = 0; i < 3; i++) connection.write(Buffer.concat([whole, Buffer.from(HEAD("GET", "/rooms/chunked", {}))]));
    for (let i = 0; i < 3; i++) {
      const posted = await connection.answer();
      assert.deepEqual([posted.status, posted.json.message], [201, "in chunks"]);
      connection.write("");
      assert.equal((await connection.answer()).json.room, "chunked");
    }
    connection.write("");
    for (const byte of whole) {
      connection.more(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    assert.equal((await connection.answer()).json.message, "in chunks");
    connection.end();

    const long = bodyOf("x".repeat(90 * 1024), { data: "y".repeat(4000) });
    const parts = [Buffer.from(CHUNKED_HEAD())];
    for (let at = 0; at < long.length; at += 777) parts.push(chunk(long.subarray(at, at + 777)));
    const big = await raw(server, Buffer.concat([...parts, Buffer.from(LAST)]));
    assert.deepEqual([big.status, big.json.message.length], [201, 90 * 1024]);

    const patient = await HttpConnection.open(server.port);
    patient.write(CHUNKED_HEAD({ Expect: "100-continue" }));
    assert.equal((await patient.answer()).status, 100);
    patient.write(Buffer.concat([chunk(body), Buffer.from(LAST)]));
    assert.equal((await patient.answer()).status, 201);
    patient.end();
    isError(await raw(server, `${CHUNKED_HEAD()}${LAST}`), 400, "bad_json");
  }));

test("chunked bodies: what is wrong or too large ends the connection, and nothing behind it is a request", limit(60),
  withApi([], async (api, server) => {
    const smuggled = HEAD("DELETE", "/rooms/x/messages/y-1", {});
    const fails = async (bytes, status, code) => {
      const connection = await HttpConnection.open(server.port);
      connection.write(bytes);
      isError(await connection.answer(), status, code);
      connection.socket.end();
      await within(ms(5000), connection.closed, "close");
      assert.equal(connection.surplus, 0, "what came behind it was answered");
    };
    for (const bad of ["zz\r\n", "2\n{}\r\n", "2\rX{}\r\n", "2\r\n{}XX", "2;\n\r\n{}\r\n", "0\r\nfolded\r\n x\r\n\r\n", "0\r\n\n"])
      await fails(`${CHUNKED_HEAD()}${bad}${LAST}${smuggled}`, 400, "bad_request");
    await fails(`${CHUNKED_HEAD({ "Content-Length": 5 })}${LAST}${smuggled}`, 400, "bad_request");
    await fails(`${CHUNKED_HEAD({ "transfer-encoding": "gzip, chunked" }).replace("Transfer-Encoding: chunked\r\n", "")}${LAST}${smuggled}`,
      501, "bad_coding");
    await fails(`${CHUNKED_HEAD().replace("HTTP/1.1", "HTTP/1.0")}${LAST}${smuggled}`, 400, "bad_request");
    await fails(Buffer.concat([Buffer.from(CHUNKED_HEAD()), chunk(Buffer.alloc(150 * 1024, " ")), Buffer.from(smuggled)]),
      413, "body_too_large");
    await fails(`${CHUNKED_HEAD()}ffffffffff\r\n${smuggled}`, 413, "body_too_large");
    await fails(`${CHUNKED_HEAD()}0\r\nA: ${"x".repeat(20000)}`, 431, "head_too_large");
    const other = HEAD("GET", "/stats", { "Transfer-Encoding": "chunked" });
    await fails(`${other}${LAST}${smuggled}`, 413, "body_refused");
  }));

test("a body that does not come ends with 408; an answer is not held up by it", limit(30),
  withApi(["--handshake-timeout", "2s", "--keepalive-timeout", "10s"], async (api, server) => {
    const slow = await HttpConnection.open(server.port);
    slow.write(JSON_HEAD(1000)); // of which it gets a tenth before we give up
    const drip = setInterval(() => slow.more("x"), 50).unref();
    isError(await slow.answer(), 408, "timeout");
    clearInterval(drip);
    await within(ms(5000), slow.closed, "close");
    const stuck = await HttpConnection.open(server.port);
    stuck.write(`${CHUNKED_HEAD()}5\r\n{`);
    isError(await stuck.answer(), 408, "timeout");
    await within(ms(5000), stuck.closed, "close");
    const gone = await HttpConnection.open(server.port);
    gone.write(`${JSON_HEAD(100)}{`);
    gone.end();
    const late = await HttpConnection.open(server.port);
    assert.equal((await late.ask("GET", "/api/v1/stats", AUTH)).status, 200);
    await pause(2500);
    assert.equal((await late.ask("GET", "/api/v1/stats", AUTH)).status, 200, "the keep-alive time has its turn again");
    late.end();
  }));

test("pipelining: answers in the order of the requests", limit(60), withApi([], async (api, server) => {
  const said = await api.post("pipe", "zero");
  const requests = [];
  const expected = [];
  const add = (bytes, check) => (requests.push(Buffer.from(bytes)), expected.push(check));
  const post = (what) => {
    const body = bodyOf(what);
    add(Buffer.concat([Buffer.from(HEAD("POST", "/rooms/pipe/messages", { "Content-Type": "application/json", "Content-Length": body.length })), body]),
      (a) => assert.deepEqual([a.status, a.json.message], [201, what]));
  };
  for (let i = 0; i < count(60, 20); i++) {
    post(`p${i}`);
    add(HEAD("GET", "/rooms/pipe/messages?limit=1", {}), (a) => assert.deepEqual(a.json.messages.map(textOf), [`p${i}`], "a read sees the post before it"));
    add("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", (a) => assert.equal(a.text, "ok\n"));
    add(HEAD("GET", "/stats", {}), (a) => assert.ok(a.json.version));
    add(HEAD("GET", "/rooms/none", {}), (a) => isError(a, 404, "not_found"));
    const edit = Buffer.from(JSON.stringify({ message: `edit ${i}` }));
    add(Buffer.concat([Buffer.from(HEAD("PATCH", `/rooms/pipe/messages/${said.id}`, { "Content-Type": "application/json", "Content-Length": edit.length })), edit]),
      (a) => assert.deepEqual([a.status, a.json.message], [200, `edit ${i}`]));
    add(HEAD("GET", "/rooms/pipe/members", {}), (a) => assert.equal(a.json.count, 0));
  }
  const connection = await HttpConnection.open(server.port);
  const all = Buffer.concat(requests);
  for (let i = 1; i < expected.length; i++) connection.write("");
  connection.write(all);
  for (const check of expected) check(await connection.answer(ms(10000)));
  assert.equal(connection.surplus, 0);
  connection.end();
  // The same in pieces of odd sizes.
  const pieces = await HttpConnection.open(server.port);
  for (let i = 0; i < 28; i++) pieces.write("");
  const part = Buffer.concat(requests.slice(0, 28).map((r) => Buffer.from(r.toString().replaceAll('"p', '"q'))));
  for (let at = 0; at < part.length; at += 37) {
    pieces.more(part.subarray(at, at + 37));
    await new Promise(setImmediate);
  }
  for (let i = 0; i < 28; i++) await pieces.answer(ms(10000));
  pieces.end();
}));

test("connections that go away while they wait: the server does not mind, posts with a key are whole", limit(90),
  withApi([], async (api, server) => {
    const targets = [HEAD("GET", "/rooms/gone/messages", {}), HEAD("GET", "/rooms/gone/members", {}), HEAD("GET", "/rooms", {}),
      HEAD("GET", "/export?room=gone", {}), HEAD("GET", "/rooms/gone/search?q=x", {})];
    for (let i = 0; i < count(300, 60); i++) {
      const body = bodyOf("x");
      const post = JSON_HEAD(body.length, { "Idempotency-Key": `gone-${i}` }).replace("rooms/body", `rooms/gone-${i}`) + body;
      const sockets = [post, post, targets[i % targets.length]].map((bytes) => {
        const socket = net.connect(server.port, "127.0.0.1");
        return { socket, bytes, opened: once(socket, "connect") };
      });
      await Promise.all(sockets.map(({ opened }) => opened));
      for (const { socket, bytes } of sockets) {
        socket.on("error", () => {});
        socket.write(bytes);
      }
      if (i % 3) await new Promise(setImmediate);
      for (const { socket } of sockets) i % 2 ? socket.destroy() : socket.resetAndDestroy();
    }
    await until(ms(10000), async () => (await api.get("/stats")).connections <= 2, "the connections are gone");
    for (const room of (await api.get("/rooms?limit=1000")).rooms) assert.equal(room.events, 1, room.room);
  }));

test("calls under way when the server is told to stop", limit(30), () => withDirectory(async (dir) => {
  const server = await startApi(path.join(dir, "x.db"));
  const api = new Api(server);
  const posts = Array.from({ length: 200 }, (_, i) => api.call("POST", "/rooms/end/messages", { message: `${i}`, username: "u" })
    .catch(() => null));
  await posts[0];
  await server.stop();
  const answered = (await Promise.all(posts)).filter((a) => a?.status === 201).map((a) => a.json.id);
  const again = await startApi(path.join(dir, "x.db"));
  const lines = (await new Api(again).export("end")).split("\n").filter((l) => l.includes('"event"')).length;
  assert.ok(answered.length >= 1 && lines >= answered.length, `${answered.length} answered, ${lines} stored`);
  await again.stop();
}));

/* One worker has ended, the other serves for as long as one member does not answer its close. Which of them
 * that is, the kernel chooses. */
test("who is here, asked while one of two workers has ended already", limit(60), () => withDirectory(async (dir) => {
  for (let i = 0; i < 8; i++) {
    const server = await startApi(path.join(dir, `${i}.db`));
    const stubborn = await Raw.open(server.port, "/ws/chat/lobby/?history=1"); // so that the room stays in memory
    await stubborn.send(text('{"message":"hi"}'));
    await stubborn.next();
    const kept = await Promise.all(Array.from({ length: 12 }, async () => {
      const socket = net.connect(server.port, "127.0.0.1");
      socket.on("error", () => {}); // the end of those that belong to the worker that ends
      socket.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
      await once(socket, "data");
      return socket;
    }));
    server.kill("SIGTERM");
    await Promise.race(kept.map((socket) => once(socket, "close")).concat(pause(500)));
    for (const socket of kept)
      socket.write(`GET /api/v1/rooms/lobby/members HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${KEY}\r\n\r\n`);
    await pause(ms(50));
    stubborn.destroy();
    for (const socket of kept) socket.destroy();
    await server.stop();
  }
}));

test("a full disk: posts get 503 and leave nothing, reads go on, and it recovers by itself", limit(60),
  withApi([], async (api, server) => {
    const allow = (bytes) => execFileSync("prlimit", ["--pid", String(server.pid), `--fsize=${bytes}:`]);
    const said = await api.post("disk", "before");
    const at = `/rooms/disk/messages/${said.id}`;
    allow(4096); // no file can grow, nor be written but at its beginning
    const key = { "Idempotency-Key": "again" };
    await api.fails(503, "unavailable", "POST", "/rooms/disk/messages", { message: "lost", username: "u" }, key);
    await until(ms(5000), async () => !(await api.get("/stats")).store.healthy, "the store is known to fail");
    await api.fails(503, "unavailable", "PATCH", at, { message: "lost" });
    await api.fails(503, "unavailable", "DELETE", at);
    assert.deepEqual((await api.get("/rooms/disk/messages")).messages, [said]);
    assert.ok((await api.export("disk")).includes("before"));
    allow("unlimited");
    await until(ms(20000), async () => (await api.get("/stats")).store.healthy, "the store works again");
    const again = await api.post("disk", "lost", {}, key);
    assert.deepEqual((await api.get("/rooms/disk/messages")).messages.map(textOf), ["before", "lost"]);
    assert.equal((await api.ok("PATCH", at, { message: "after" })).message, "after");
    assert.notEqual(again.id, said.id);
  }));

// ---- export and import ----

/** All of it through a socket that is read when the test wants it. */
function openExport(server, room, version = "1.1") {
  return new Promise((resolve, reject) => {
    const options = { port: server.port, path: `/api/v1/export?room=${enc(room)}`, headers: AUTH, agent: false };
    if (version === "1.1") http.get(options, resolve).on("error", reject);
    const socket = version === "1.0" && net.connect(server.port, "127.0.0.1", () => {
      socket.write(`GET ${options.path} HTTP/1.0\r\nAuthorization: Bearer ${KEY}\r\n\r\n`);
      resolve(socket);
    });
  });
}

async function readAll(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts).toString("utf8");
}

/** A room with everything that can be in one. */
async function fillRoom(api, server, room) {
  const rich = await Member.join(server, enc(room), RICH);
  const first = await api.post(room, 'first\u0000 🎉 "quoted" \u2028', { data: { a: [1.10, true, "\n"] } });
  const member = await Member.join(server, enc(room));
  member.sendText('{"message":"with \\ud800 raw data","username":"ann","data":{"line":\n1.10, "big":1e999}}');
  const odd = await nextOf(rich, "message").then(() => nextOf(rich, "message"));
  assert.equal(odd.message, "with \ufffd raw data");
  const reply = await api.post(room, "reply", { reply_to: first.id, user: "u-1" }, { "Idempotency-Key": "k-1" });
  await api.ok("PATCH", `/rooms/${enc(room)}/messages/${reply.id}`, { message: "reply, edited" });
  await api.ok("PATCH", `/rooms/${enc(room)}/messages/${reply.id}`, { message: "reply, edited twice" });
  const gone = await api.post(room, "to be deleted", { data: "secret" });
  await api.ok("PATCH", `/rooms/${enc(room)}/messages/${gone.id}`, { message: "to be deleted, edited" });
  await api.ok("DELETE", `/rooms/${enc(room)}/messages/${gone.id}`, undefined, { status: 204 });
  let ref = 0;
  for (const [type, emoji] of [["react", "🎉"], ["react", "👍"], ["unreact", "👍"]]) {
    rich.say({ type, ref: ++ref, id: first.id, emoji });
    await nextOf(rich, "ack");
  }
  await rich.leave();
  await member.leave();
}

const importFile = (file, data) => runToEnd(["import", file, "--data", data]);

/** Ids that an imported room leaves to the server that it was taken from. */
const IMPORT_GAP = 16 * 65536 * SEQ_STEP;

test("a room taken from a server that goes on, and read back elsewhere: no id is given twice", limit(60), () => withDirectory(async (dir) => {
  const at = (name) => path.join(dir, name);
  const given = [];
  const first = await startApi(at("a.db"));
  try {
    const api = new Api(first);
    await api.post("small", "before");
    writeFileSync(at("room.ndjson"), await api.export("small"));
    for (let i = 0; i < 300; i++) given.push((await api.post("small", `meanwhile ${i}`)).id);
  } finally {
    await first.stop();
  }
  assert.equal((await importFile(at("room.ndjson"), at("b.db"))).code, 0);
  const second = await startApi(at("b.db"));
  try {
    const late = await Member.join(second, "small", { query: `?since=${given.at(-1)}` });
    const next = await new Api(second).post("small", "goes on");
    assert.ok(!given.includes(next.id), next.id);
    assert.equal((await late.next()).id, next.id, "a client of the first server misses nothing of the second");
    await late.leave();
  } finally {
    await second.stop();
  }
}));

test("export, import, export: the same bytes, and the same room", limit(90), () => withDirectory(async (dir) => {
  const rooms = ["big", "комната 🎉", "small"];
  const at = (name) => path.join(dir, name);
  let server = await startApi(at("a.db"));
  let api = new Api(server);
  for (const room of rooms) await fillRoom(api, server, room);
  const n = count(3000, 400);
  for (let i = 0; i < n; i += 100)
    await Promise.all(Array.from({ length: 100 }, (_, k) => api.post("big", `${i + k} ${"x".repeat(200)}`)));
  const before = {};
  for (const room of rooms) {
    before[room] = { text: await api.export(room), page: await api.get(`/rooms/${enc(room)}/messages?limit=200`), room: await api.get(`/rooms/${enc(room)}`) };
    assert.equal(await readAll(await openExport(server, room, "1.0")).then((t) => t.slice(t.indexOf("\r\n\r\n") + 4)),
      before[room].text, "HTTP/1.0 gets the same without chunks");
    assert.ok(!before[room].text.includes("to be deleted"), "what was deleted is gone");
  }
  const lines = before.big.text.trimEnd().split("\n");
  assert.deepEqual(JSON.parse(lines.at(-1)), { type: "end", events: lines.length - 2 });
  assert.equal(lines.length, n + 2 + 11);
  await server.stop();

  for (const room of rooms.slice(0, 2)) writeFileSync(at(`${room}.ndjson`), before[room].text);
  writeFileSync(at("all.ndjson"), rooms.map((room) => before[room].text).join(""));
  const done = await importFile(at("all.ndjson"), at("b.db"));
  assert.equal(done.code, 0, done.stderr);
  assert.match(done.stdout, /imported; rooms: 3, events: \d+\n/);

  server = await startApi(at("b.db"));
  api = new Api(server);
  for (const room of rooms) {
    assert.equal(await api.export(room), before[room].text, room);
    assert.deepEqual(await api.get(`/rooms/${enc(room)}/messages?limit=200`), before[room].page);
    assert.deepEqual(await api.get(`/rooms/${enc(room)}`), before[room].room);
  }
  assert.equal((await api.search("/rooms/big/search?q=edited+twice")).messages.length, 1);
  const dup = await api.call("POST", "/rooms/small/messages", { message: "again", username: "app", user: "u-1" }, { "Idempotency-Key": "k-1" });
  assert.equal(dup.status, 200, "the key is known");
  const late = await Member.join(server, "small", { query: `?since=${before.small.room.head}` });
  const next = await api.post("small", "goes on");
  assert.equal(next.id, before.small.room.head.replace(/-\d+$/, (seq) => `-${Number(seq.slice(1)) + SEQ_STEP + IMPORT_GAP}`));
  assert.equal((await late.next()).id, next.id, "a client goes on with the id it had");
  await late.leave();

  const busy = await importFile(at("big.ndjson"), at("b.db"));
  assert.equal(busy.code, 1);
  assert.match(busy.stderr, /in use by another Parlor/);
  await server.stop();

  // From a pipe, too.
  const piped = spawnSync(BIN, ["import", "-", "--data", at("c.db")], { input: before.big.text, encoding: "utf8", env: {} });
  assert.equal(piped.status, 0, piped.stderr);
  assert.match(piped.stdout, new RegExp(`rooms: 1, events: ${lines.length - 2}`));
}));

test("import refuses what is not whole or not new, and says where", limit(60), () => withDirectory(async (dir) => {
  const file = path.join(dir, "x.ndjson");
  const room = '{"type":"room","room":"r","epoch":"abcdefgh"}\n';
  const event = (seq, more = '"kind":"message","username":"u","message":"m"') => `{"type":"event","seq":${seq},"ts":1,${more}}\n`;
  const end = (n) => `{"type":"end","events":${n}}\n`;
  let n = 0;
  const refuse = async (lines, ...patterns) => {
    const data = path.join(dir, `${n++}.db`);
    writeFileSync(file, lines);
    const got = await importFile(file, data);
    assert.equal(got.code, 1, lines);
    for (const pattern of patterns) assert.match(got.stderr, pattern, lines);
    writeFileSync(file, room + event(1) + end(1));
    const good = await importFile(file, data);
    assert.equal(good.code, 0, `a refused file has changed nothing: ${good.stderr}`);
  };
  await refuse("", /empty/);
  await refuse(room + event(1), /line 3: .*cut.*"r"/);
  await refuse((room + event(1) + end(1)).slice(0, -20), /line 3: /);
  await refuse(room + event(1) + event(2) + end(3), /line 4: .*3 events, but there are 2/);
  await refuse(room + event(2) + event(2) + end(2), /line 3: "seq"/);
  await refuse(room + "nonsense\n" + end(0), /line 2: .*JSON/);
  await refuse(`${room}\n${end(0)}`, /line 2/);
  await refuse(event(1) + end(1), /line 1: an event without a room/);
  await refuse(room + room + end(0), /line 2: /);
  await refuse((room + event(1) + end(1)).repeat(2), /line 4: the room "r" is in the file already/);
  await refuse(room.replace('"r"', '"a/b"') + end(0), /line 1: "room"/);
  await refuse(room.replace("abcdefgh", "ABCDEFGH") + end(0), /line 1: "epoch"/);
  await refuse(room + event(1, '"kind":"poke","username":"u"') + end(1), /line 2: "kind"/);
  await refuse(room + event(1, '"kind":"message","username":"u","message":"m","data":"{"') + end(1), /line 2: "data"/);
  await refuse(room + event(1, '"kind":"edit","target":1,"username":"u","message":"m"') + end(1), /line 2: it changes a later/);
  await refuse(room + event(0) + end(1), /line 2: "seq"/);
  await refuse(Buffer.concat([Buffer.from(room), Buffer.from([0xff, 0x0a])]), /line 2: .*UTF-8/);

  const data = path.join(dir, "twice.db");
  writeFileSync(file, room + event(1) + end(1));
  assert.equal((await importFile(file, data)).code, 0);
  const again = await importFile(file, data);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /line 1: the room "r" has events already/);
  const much = Array.from({ length: 2000 }, (_, i) => event(i + 1, `"kind":"message","username":"u","message":"${"m".repeat(2000)}"`));
  writeFileSync(file, room + much.join("") + end(2000));
  const limited = (name) => spawnSync("prlimit", ["--fsize=1000000", BIN, "import", file, "--data", path.join(dir, name)],
    { encoding: "utf8", env: { PATH: process.env.PATH } });
  const full = limited("full.db");
  assert.equal(full.status, 1, full.stderr);
  assert.match(full.stderr, /line \d+: it cannot be stored: the limit on the size of files is reached: .*full\.db; nothing was imported/);
  writeFileSync(file, room + much.slice(0, 600).join("") + end(600));
  const late = limited("full.db");
  assert.equal(late.status, 1, late.stderr);
  assert.match(late.stderr, /cannot be stored at its end: the limit on the size of files is reached: .*full\.db; nothing was imported: .*again/);
  writeFileSync(file, "nonsense");
  const left = () => readdirSync(dir).filter((name) => /^(full|was)\./.test(name));
  assert.equal((await importFile(file, path.join(dir, "full.db"))).code, 1);
  assert.deepEqual(left(), [], "what was made for nothing is gone");
  writeFileSync(path.join(dir, "was.db"), "");
  assert.equal((await importFile(file, path.join(dir, "was.db"))).code, 1);
  assert.ok(left().includes("was.db"), "what was there is left");
  writeFileSync(file, room + event(1) + end(1));
  const errors = [
    [["import", "--data", data], 2, /file name is missing/],
    [["import", file, "--data", data, "--rate", "x"], 2, /--rate/],
    [["import", path.join(dir, "none"), "--data", data], 1, /No such file/],
    [["import", file, "--data", ":memory:"], 1, /keep nothing/],
    [["import", file, "--data", path.join(dir, "no", "x.db")], 1, /directory does not exist/],
    [["import", dir, "--data", data], 1, /director/],
  ];
  for (const [args, code, pattern] of /** @type {[string[], number, RegExp][]} */ (errors)) {
    const got = await runToEnd(args);
    assert.equal(got.code, code, got.stderr);
    assert.match(got.stderr, pattern);
  }
}));

test("a room that was imported with the last seq but one: it is read, and takes no more", limit(30),
  () => withDirectory(async (dir) => {
    const [file, data] = [path.join(dir, "x.ndjson"), path.join(dir, "x.db")];
    const seq = Number.MAX_SAFE_INTEGER - SEQ_STEP - IMPORT_GAP;
    writeFileSync(file, `{"type":"room","room":"r","epoch":"abcdefgh"}
{"type":"event","seq":${seq},"ts":1,"kind":"message","username":"u","message":"m"}
{"type":"end","events":1}
`);
    assert.equal((await importFile(file, data)).code, 0);
    const server = await startApi(data);
    const api = new Api(server);
    assert.equal((await api.post("r", "the last one")).seq, Number.MAX_SAFE_INTEGER);
    const body = { message: "x", username: "u" };
    await api.fails(503, "unavailable", "POST", "/rooms/r/messages", body);
    await api.fails(503, "unavailable", "DELETE", `/rooms/r/messages/abcdefgh-${seq}`);
    assert.equal((await api.get("/rooms/r/messages")).messages.length, 2);
    await api.post("another", "one");
    await server.killHard();
    const again = await startApi(data); // its next seq would lie far behind the last
    await new Api(again).fails(503, "unavailable", "POST", "/rooms/r/messages", body);
    await again.stop();
  }));

test("an export while others write is whole up to where it began", limit(60), withApi([], async (api) => {
  let stop = false;
  let posted = 0;
  const talker = (async () => {
    while (!stop) {
      await Promise.all(Array.from({ length: 20 }, () => api.post("busy", "y".repeat(500))));
      posted += 20;
    }
  })();
  await until(ms(20000), () => posted >= count(2000, 300), "posts");
  for (let i = 0; i < 3; i++) {
    const floor = posted;
    const lines = (await api.export("busy")).trimEnd().split("\n").map((l) => JSON.parse(l));
    assert.equal(lines.at(-1).events, lines.length - 2);
    assert.ok(lines.length - 2 >= floor);
    lines.slice(1, -1).forEach((line, k) => assert.equal(line.seq, (k + 1) * SEQ_STEP));
  }
  stop = true;
  await talker;
}));

test("an export that is not read costs the server a page, and its end costs nobody anything", limit(90),
  withApi([], async (api, server) => {
    const message = "z".repeat(12000);
    const n = count(4000, 800);
    for (let i = 0; i < n; i += 50) await Promise.all(Array.from({ length: 50 }, () => api.post("huge", message)));
    await api.export("huge");
    const before = server.residentBytes();
    const exports = await Promise.all(Array.from({ length: 8 }, () => openExport(server, "huge")));
    exports.forEach((e) => e.pause());
    await pause(500);
    for (let i = 0; i < 20; i++) await within(ms(5000), api.get("/rooms"), "answer to others meanwhile");
    if (!SANITIZED) assert.ok(server.residentBytes() - before < 24 * 1024 * 1024, `${server.residentBytes() - before} bytes more`);
    exports.slice(0, 6).forEach((e) => e.destroy());
    for (const e of exports.slice(6)) {
      const lines = (await readAll(e)).trimEnd().split("\n");
      assert.equal(JSON.parse(lines.at(-1)).events, n);
      assert.equal(lines.length, n + 2);
    }
    await api.fails(404, "not_found", "GET", "/export?room=nothing");
    await api.fails(400, "bad_room", "GET", "/export");
    await api.fails(400, "bad_room", "GET", "/export?room=a%2fb");
    await api.fails(400, "bad_parameter", "GET", "/export?room=%f");
  }));

// ---- the document ----

test("acts are decided and told again", limit(20), withApi([], async (api) => {
  for (const act of [{ act: "revoke", user: "u1" }, { act: "grant", room: "lobby", user: "u1", right: "own" }]) {
    const { status, json } = await api.call("POST", "/acts", act);
    assert.deepEqual([status, { ...act, id: json.id, ts: json.ts, by: "system" }], [201, json]);
  }
  const { json } = await api.call("GET", "/acts?limit=1");
  assert.deepEqual([json.acts.length, json.acts[0].act, json.more], [1, "grant", true]);
  assert.equal((await api.call("POST", "/acts", { act: "revoke" })).json.error.code, "bad_field");
}));

test("the document makes a client with names that can be used", () => {
  const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));
  const ids = operations.map((operation) => operation.operationId);
  assert.equal(new Set(ids).size, ids.length, "each once");
  for (const id of ids) // a verb and what it is done to: "export" alone is a word of JavaScript
    assert.match(id, /^(get|list|search|post|edit|delete|export)([A-Z][a-z]+)+$/);
  for (const { operationId, responses } of operations)
    assert.ok(responses["431"] && responses["421"], `${operationId}: what every request may get`);
});

test("the document: served as it is, and everything in it has been seen above", limit(20), withApi([], async (api, server) => {
  const answer = await api.call("GET", "/openapi.json");
  assert.deepEqual(answer.json, document);
  assert.ok(answer.headers.get("etag"));
  assert.equal((await request(server.port, "GET", "/api/v1/openapi.json", { "If-None-Match": answer.headers.get("etag") })).status, 304);
  assert.match(document.openapi, /^3\.1\./);
  await api.fails(401, "unauthorized", "GET", "/stats", undefined, { Authorization: "Bearer x" });
  for (const target of ["/stats", "/rooms", "/rooms/x", "/openapi.json"])
    await api.fails(431, "head_too_large", "GET", target, undefined, { "X-Fill": "x".repeat(17000) });
  await api.fails(431, "head_too_large", "POST", "/rooms/x/messages", { message: "m", username: "u" }, { "X-Fill": "x".repeat(17000) });
  for (const operation of promised)
    assert.ok([...seen].some((s) => s.startsWith(`${operation} 2`)), `${operation} was never called with success`);
}));
