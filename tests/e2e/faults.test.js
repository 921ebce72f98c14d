// Memory and disk that fail, at every place in turn: the n-th allocation of the whole process (OpenSSL,
// SQLite and zlib included), and the n-th use of a file, while something is asked of the real server.
// The server may refuse; it may not end, hang, or lose what it has acknowledged.
//
// What fails, is slow, or sets the clock, is a library for LD_PRELOAD (tests/faults/faults.c). The short form takes a few n of each
// scenario; FAULTS_ALL=1 (make test-faults) takes every one.
import assert from "node:assert/strict";
import { closeSync, copyFileSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import { test } from "node:test";
import { Member, Rich } from "./lib/chat.js";
import { HttpConnection, portOf, request } from "./lib/http.js";
import { handshake, jsonText } from "./lib/raw.js";
import { BIN, runToEnd, startServer, withDirectory } from "./lib/server.js";
import { MODE, SANITIZED, limit, ms, until, within } from "./lib/wait.js";

const ALL = !!process.env.FAULTS_ALL;
const KEY = "a-key-for-tests-0123456789";
const EIO = 5;
const ENOSPC = 28;
const COUNT_FROM = 1e9;
const END = 48; // the last so many uses of files of an import, which are all tried
const UNUSED_MAX = 3; // so many n in a row that nothing came to: the scenario is over before them
const PATIENCE = ms(4000);
const NO_PRELOAD = MODE === "tsan" && "two libraries that replace malloc";
const LIBRARY = path.join(path.dirname(BIN), "faults.so");

/** The file that the library maps. */
class Faults {
  constructor(directory) {
    this.file = path.join(directory, "faults");
    writeFileSync(this.file, Buffer.alloc(56));
    this.fd = openSync(this.file, "r+");
    this.off();
  }

  /** For the server: AddressSanitizer minds not being the first library. */
  get env() {
    return {
      LD_PRELOAD: LIBRARY,
      FAULTS_FILE: this.file,
      ASAN_OPTIONS: "verify_asan_link_order=0:detect_leaks=1:exitcode=99:abort_on_error=0",
    };
  }

  #put(at, value) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(value));
    writeSync(this.fd, bytes, 0, 8, at * 8);
  }

  off() {
    this.#put(0, -1);
    this.#put(1, -1);
    this.#put(5, 0);
  }

  /** From now on each read of a file takes so much longer. */
  slow(time) {
    this.#put(5, time * 1000);
  }

  /** From now on the wall clock is so many seconds ahead. */
  ahead(seconds) {
    this.#put(6, seconds);
  }

  /** what: 'allocs' or 'files'; from now on, n succeed before one fails, or all that follow. */
  arm(what, n, { sticky = false, error = EIO } = {}) {
    this.off();
    this.#put(2, sticky ? 1 : 0);
    this.#put(3, error);
    this.#put(4, 0);
    this.#put(what === "allocs" ? 0 : 1, n);
  }

  /** From now on uses of files are counted, and none fails. */
  count() {
    this.arm("files", COUNT_FROM);
  }

  /** Uses since count(). */
  get counted() {
    return COUNT_FROM - Number(readFileSync(this.file).readBigInt64LE(8));
  }

  get hits() {
    return Number(readFileSync(this.file).readBigInt64LE(32));
  }

  close() {
    closeSync(this.fd);
  }
}

/** The n to try: ever fewer the larger they get, but all from `dense` on. */
function* places(dense) {
  for (let n = 0; ; n = n >= dense ? n + 1 : Math.min(n + 1 + Math.floor(n / 4), dense)) yield n;
}

const MODES = [
  { what: "allocs", sticky: false },
  { what: "allocs", sticky: true },
  { what: "files", sticky: false, error: EIO },
  { what: "files", sticky: true, error: ENOSPC },
];

/** A server, clients that take an error for an answer, and what was acknowledged to them. */
class World {
  acked = new Map(); // room to texts
  ids = [];
  #count = 0;

  constructor(server) {
    this.server = server;
  }

  text() {
    return `word${++this.#count} of many`;
  }

  /**
   * @param {string} method
   * @param {string} target
   * @param {{key?: string, body?: object}} how
   */
  async call(method, target, { key = KEY, body } = {}) {
    const json = body && JSON.stringify(body);
    const answer = await fetch(`http://127.0.0.1:${this.server.port}/api/v1${target}`, {
      method,
      headers: { Authorization: `Bearer ${key}`, Connection: "close", ...(json && { "Content-Type": "application/json" }) },
      body: json,
      signal: AbortSignal.timeout(PATIENCE),
    });
    return { status: answer.status, text: await answer.text() };
  }

  async post(room = "lobby") {
    const message = this.text();
    const answer = await this.call("POST", `/rooms/${room}/messages`, { body: { message, username: "app" } });
    if (answer.status !== 201) return answer;
    this.keep(room, message);
    if (room === "lobby") this.ids.push(JSON.parse(answer.text).id);
    return answer;
  }

  keep(room, message) {
    if (!this.acked.has(room)) this.acked.set(room, new Set());
    this.acked.get(room).add(message);
  }

  /** All its threads run: one that starts without memory ends the sanitizer, not us. */
  async settles() {
    for (let i = 0; i < 30; i++) await this.post();
    await this.check();
  }

  async say(rich) {
    const message = this.text();
    const answer = await rich.ask({ type: "message", message }, PATIENCE);
    if (answer.type === "ack") this.keep("lobby", message);
    return answer;
  }

  /** Works as if nothing had been, and has all that was acknowledged. */
  async recovers(what) {
    assert.equal(this.server.status, null, `the server is gone after ${what}:\n${this.server.stderr.slice(-3000)}`);
    const healthy = await request(this.server.port, "GET", "/healthz");
    assert.equal(healthy.status, 200, what);
    await until(ms(20000), async () => (await this.post("later")).status === 201, `a message after ${what}`);
  }

  async check() {
    for (const [room, texts] of this.acked) {
      const { status, text } = await this.call("GET", `/export?room=${room}`);
      assert.equal(status, 200, text);
      for (const line of text.trim().split("\n")) texts.delete(JSON.parse(line).message);
      assert.deepEqual([...texts], [], `acknowledged in ${room}, and lost`);
    }
    this.acked.clear();
  }
}

const query = "?username=ann";

/** Each is run with something that fails; what it throws is an answer, too. */
const SCENARIOS = {
  "a request with the key": (w) => w.call("GET", "/stats"),
  "a request with a wrong key": (w) => w.call("GET", "/stats", { key: "wrong-key-0123456789" }),
  "posting": (w) => w.post(),
  "posting to a new room": (w) => w.post(`new-${Math.random()}`),
  "editing and deleting": async (w) => {
    const id = w.ids.pop();
    await w.call("PATCH", `/rooms/lobby/messages/${id}`, { body: { message: "edited", username: "app" } });
    await w.call("DELETE", `/rooms/lobby/messages/${id}`);
  },
  "searching": (w) => w.call("GET", "/rooms/lobby/search?q=many"),
  "exporting": (w) => w.call("GET", "/export?room=lobby"),
  "a page": (w) => w.call("GET", "/rooms/lobby/messages?limit=100"),
  "joining a room": async (w) => {
    const rich = await within(PATIENCE, Rich.join(w.server, "lobby", { query }), "join");
    await rich.cut();
  },
  "joining, saying and leaving": async (w) => {
    const rich = await within(PATIENCE, Rich.join(w.server, "lobby", { query, perMessageDeflate: true }), "join");
    try {
      await w.say(rich);
      await rich.ask({ type: "history", limit: 50 }, PATIENCE);
      await rich.ask({ type: "react", id: w.ids.at(-1), emoji: "+1" }, PATIENCE);
      await rich.ask({ type: "read", id: w.ids.at(-1) }, PATIENCE);
    } finally {
      await rich.cut();
    }
  },
  "a bare member": async (w) => {
    const member = await within(PATIENCE, Member.join(w.server, "lobby", { query: "?history=20" }), "join");
    try {
      member.say({ message: "anybody?", username: "bob" });
      while ((await member.next(PATIENCE)).message !== "anybody?");
    } finally {
      member.socket.terminate();
    }
  },
};

/** What asks a site, which names everybody; each time with another cookie, so that it is asked. */
const SIGNING_IN = {
  "signing in at the site, and joining": async (w) => {
    const headers = { Cookie: `sid=${Math.random()}` };
    const rich = await within(PATIENCE, Rich.join(w.server, "lobby", { headers }), "join");
    try {
      await rich.ask({ type: "join", room: "later" }, PATIENCE);
    } finally {
      await rich.cut();
    }
  },
};

/** A message that may be changed: nobody looks for its text afterwards. */
async function fresh(world) {
  await world.post();
  world.acked.clear();
}

async function run(scenario, world, faults, what, mode) {
  let unused = 0;
  let tried = 0;
  for (const n of places(ALL ? 0 : Infinity)) {
    if (scenario === SCENARIOS["editing and deleting"]) await fresh(world);
    faults.arm(mode.what, n, mode);
    await scenario(world).catch(() => {});
    const { hits } = faults;
    faults.off();
    await world.recovers(`${what}: ${mode.what} ${n}${mode.sticky ? " and all that follow" : ""}`);
    tried++;
    unused = hits ? 0 : unused + 1;
    if (unused === UNUSED_MAX) break;
  }
  await world.check();
  return tried;
}

const options = (file) =>
  ["--workers", "1", "--rate", "0", "--data", file, "--handshake-timeout", "2s", "--api-key", KEY];

/** A site that names everybody, and the options of a server that asks it. */
async function startSite(t) {
  const site = createServer((_, response) => response.end('{"user":"u1","username":"Ann","rights":{"*":"own"}}'));
  await new Promise((resolve) => site.listen(0, "127.0.0.1", () => resolve(null)));
  t.after(() => {
    site.closeAllConnections();
    site.close();
  });
  return ["--auth-url", `http://127.0.0.1:${portOf(site)}/{room}`, "--auth-cookies", "sid", "--auth-timeout", "1s"];
}

for (const [name, scenario] of Object.entries({ ...SCENARIOS, ...SIGNING_IN }))
  test(`faults: ${name}`, { ...limit(ALL ? 1800 : 120), skip: NO_PRELOAD }, (t) =>
    withDirectory(async (directory) => {
      const faults = new Faults(directory);
      const more = name in SIGNING_IN ? await startSite(t) : [];
      const server = await startServer([...options(path.join(directory, "test.db")), ...more], { env: faults.env });
      const world = new World(server);
      try {
        await world.settles();
        const tried = [];
        for (const mode of MODES) tried.push(await run(scenario, world, faults, name, mode));
        t.diagnostic(`places tried: ${tried.join(", ")}`);
      } finally {
        faults.off();
        await server.stop();
        faults.close();
      }
    }));

/** Two handshakes in one write. True if the first was refused for want of memory, and the second was not. */
async function enterSecond(world, connection, rooms) {
  connection.socket.cork();
  for (const room of rooms) connection.write(handshake(`/ws/chat/${room}/${query}`));
  connection.socket.uncork();
  const first = await connection.answer(PATIENCE);
  if (first.status !== 503) return false;
  return (await connection.answer(PATIENCE)).status === 101;
}

test("a handshake behind one that was refused once its room was read enters its own room", { ...limit(120), skip: NO_PRELOAD }, (t) =>
  withDirectory(async (directory) => {
    const faults = new Faults(directory);
    const server = await startServer(options(path.join(directory, "test.db")), { env: faults.env });
    const world = new World(server);
    let entered = 0;
    try {
      await world.settles();
      for (let n = 0; n < 60; n++) {
        const rooms = [`first-${n}`, `second-${n}`];
        const connection = await HttpConnection.open(server.port);
        faults.arm("allocs", n);
        const second = await enterSecond(world, connection, rooms).catch(() => false);
        faults.off();
        if (second) {
          entered++;
          connection.socket.write(jsonText({ message: "where am I?" }));
          const said = await until(PATIENCE, async () => {
            const pages = await Promise.all(rooms.map((room) => world.call("GET", `/rooms/${room}/messages`)));
            const at = pages.findIndex((page) => /where am I/.test(page.text));
            return rooms[at];
          }, "the message");
          assert.equal(said, rooms[1], `allocation ${n}`);
        }
        connection.end();
        await world.recovers(`allocation ${n}`);
      }
      assert.ok(entered > 0, "none was refused");
      t.diagnostic(`refused and entered: ${entered}`);
    } finally {
      faults.off();
      await server.stop();
      faults.close();
    }
  }));

test("a handshake late on a kept connection has a handshake's time for its room to be read", { ...limit(60), skip: NO_PRELOAD }, () =>
  withDirectory(async (directory) => {
    const faults = new Faults(directory);
    const server = await startServer([...options(path.join(directory, "test.db")), "--keepalive-timeout", "1s", "--handshake-timeout", "30s"],
      { env: faults.env });
    try {
      const world = new World(server);
      const kept = await HttpConnection.open(server.port);
      assert.equal((await kept.ask("GET", "/healthz")).status, 200);
      await world.post(); // what the reader of the store had in memory is out of date
      faults.slow(1500); // longer than the connection is kept without a request
      const began = performance.now();
      kept.write(handshake(`/ws/chat/unread/${query}`));
      const answer = await kept.answer(ms(20000));
      assert.equal(answer.status, 101, answer.text);
      assert.ok(performance.now() - began > 1000, "its room was there at once");
      kept.end();
    } finally {
      faults.off();
      await server.stop();
      faults.close();
    }
  }));

test("a clock that is set forward makes nobody say something twice", { ...limit(60), skip: NO_PRELOAD }, () =>
  withDirectory(async (directory) => {
    const faults = new Faults(directory);
    const server = await startServer(["--data", path.join(directory, "test.db")], { env: faults.env });
    try {
      const ann = await Rich.join(server, "lobby", { query: "?username=ann" });
      const first = await ann.say("once", { nonce: "n1" });
      faults.ahead(400);
      assert.equal((await ann.say("once", { nonce: "n1" })).id, first.id);
      assert.ok((await ann.say("later")).ts - first.ts >= 400000, "and the clock was set");
      await ann.leave(); // the room is loaded anew
      const again = await Rich.join(server, "lobby", { query: "?username=ann", guest: ann.key });
      assert.equal((await again.say("once", { nonce: "n1" })).id, first.id);
      await again.leave();
    } finally {
      await server.stop();
      faults.close();
    }
  }));

test("faults: a restore, in what it writes: the old database is whole, or every room has a new epoch", { ...limit(ALL ? 3600 : 120), skip: NO_PRELOAD }, (t) =>
  withDirectory(async (directory) => {
    const faults = new Faults(directory);
    const at = (name) => path.join(directory, name);
    const epochs = async (file) => {
      const server = await startServer(options(file));
      try {
        const world = new World(server);
        const { rooms } = JSON.parse((await world.call("GET", "/rooms?limit=1000")).text);
        return new Map(rooms.map(({ room, head }) => [room, head.split("-")[0]]));
      } finally {
        await server.stop();
      }
    };
    const server = await startServer(options(at("base.db")));
    const world = new World(server);
    for (let i = 0; i < 200; i++) await world.post(`a-room-whose-name-is-long-enough-to-fill-some-pages-${i}`);
    await server.stop();
    const before = await epochs(at("base.db"));
    assert.equal(before.size, 200);
    const restore = async (n, mode) => {
      for (const end of ["", "-witness"]) copyFileSync(at(`base.db${end}`), at(`test.db${end}`));
      copyFileSync(at("base.db"), at("copy.db"));
      if (mode) faults.arm("files", n, mode);
      else faults.count();
      const end = await runToEnd(["restore", at("copy.db"), "--data", at("test.db")], faults.env);
      const { hits, counted } = faults;
      faults.off();
      const after = await epochs(at("test.db"));
      const same = [...before].filter(([room, epoch]) => after.get(room) === epoch).length;
      const what = `${n} ${mode?.sticky}: ${end.signal} ${end.code} ${end.stderr}: ${same} of ${after.size} have the old epoch`;
      assert.equal(end.signal, null, what);
      assert.equal(after.size, 200, what);
      assert.ok(same === 0 || (same === 200 && end.code === 1), what);
      for (const name of readdirSync(directory).filter((one) => /^test/.test(one))) rmSync(at(name));
      return { hits, counted };
    };
    const { counted } = await restore();
    for (const mode of MODES.filter(({ what }) => what === "files"))
      for (const n of places(ALL ? 0 : counted - END)) if ((await restore(n, mode)).hits === 0) break;
    t.diagnostic(`a restore uses files ${counted} times`);
    faults.close();
  }));

test("faults: an import, from its first instruction", { ...limit(ALL ? 3600 : 120), skip: NO_PRELOAD }, (t) =>
  withDirectory(async (directory) => {
    const faults = new Faults(directory);
    const from = path.join(directory, "room.ndjson");
    const first = await startServer(options(path.join(directory, "first.db")));
    const world = new World(first);
    let exported;
    try {
      for (let i = 0; i < 50; i++) await world.post();
      exported = (await world.call("GET", "/export?room=lobby")).text;
    } finally {
      await first.stop();
    }
    writeFileSync(from, exported);
    faults.count();
    assert.equal((await runToEnd(["import", from, "--data", path.join(directory, "whole.db")], faults.env)).code, 0);
    const uses = faults.counted;
    const tried = [];
    for (const mode of MODES) {
      let unused = 0;
      // Two processes for each n: a day of them with a sanitizer, since opening a database takes thousands of allocations.
      const dense = ALL && !SANITIZED ? 0 : mode.what === "files" ? uses - END : Infinity;
      for (const n of places(dense)) {
        const file = path.join(directory, `${mode.what}-${mode.sticky}-${n}.db`);
        faults.arm(mode.what, n, mode);
        const end = await runToEnd(["import", from, "--data", file], faults.env);
        const { hits } = faults;
        faults.off();
        const what = `${mode.what} ${n}: ${end.signal} ${end.code} ${end.stderr}`;
        assert.equal(end.signal, null, what);
        assert.ok(end.code === 0 || end.code === 1 || end.code === 2, what);
        unused = hits ? 0 : unused + 1;
        if (!hits) assert.equal(end.code, 0, what);
        const again = await runToEnd(["import", from, "--data", file], {});
        const known = !/it is not known whether/.test(end.stderr);
        if (known) assert.equal(again.code, end.code === 0 ? 1 : 0, `${what}\nthen: ${again.code} ${again.stderr}`);
        else assert.ok(mode.sticky && (again.code === 0 || /has events already/.test(again.stderr)), `${what}\nthen: ${again.stderr}`);
        tried.push(n);
        if (unused === UNUSED_MAX) break;
      }
    }
    t.diagnostic(`places tried: ${tried.length}; an import uses files ${uses} times`);
    faults.close();
  }));
