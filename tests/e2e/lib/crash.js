// The crash test: many clients talk in several rooms while the server is killed at random moments and
// started again. Every client does what protocol.md tells it to: it comes back with the id it saw
// last, and sends again, with its nonce, what was not acked. The ledger notes whatever anybody has
// ever been told; at the end it is held against the history as a newcomer reads it.
//
// What the rules are
//  1. An acked message is in the history, once, with that id; an acked deletion is not undone.
//  2. An id never stands for two things, over all lives of the server.
//  3. Whatever a client is told comes in order of seq; inside a connection never twice.
//  4. A client's transcript, known ids dropped, is the history. Without `strict` it may hold messages
//     more that were shown and not committed when the server died; under `strict` it may not.
import WebSocket from "ws";
import { LOGGED, Rich } from "./chat.js";
import { ms, pause, until } from "./wait.js";

const ROOMS = ["lobby", "kitchen", "attic"];
const PENDING_MAX = 20;
const FAULTS_SHOWN = 10;

/** The same numbers for the same seed (mulberry32). */
function randomFrom(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return {
    upTo: (n) => Math.floor(next() * n),
    chance: (p) => next() < p,
    of: (list) => list[Math.floor(next() * list.length)],
  };
}

/** Texts begin with a token of their own, which edits leave alone. */
const tokenOf = (text) => text.split("|")[0];

/** What a frame of the log says, and under which id. */
function entryOf(frame) {
  const { type, seq, id, event_id: eventId, message, emoji, username } = frame;
  if (type === "message") return { type, seq, id, text: message, says: `message ${tokenOf(message)}` };
  return { type, seq, id: eventId, target: id, text: message, says: `${type} ${id} ${username} ${message ?? emoji ?? ""}` };
}

/** What has been said to anybody, and what went wrong. */
class Ledger {
  acked = new Map(); // room and id: token
  said = new Map(); // room and id: what it stands for
  counts = { acked: 0, lost: 0, reused: 0, disorder: 0, doubled: 0, differing: 0, other: 0 };
  faults = [];

  fault(kind, text) {
    this.counts[kind]++;
    if (this.faults.length < FAULTS_SHOWN) this.faults.push(`${kind}: ${text}`);
  }

  /** Somebody was told that this id of the room stands for this. */
  tell(room, id, says) {
    const key = `${room} ${id}`;
    const before = this.said.get(key);
    if (before === undefined) this.said.set(key, says);
    else if (before !== says) this.fault("reused", `${key} was "${before}", and is "${says}"`);
  }

  ack(room, id, token) {
    this.counts.acked++;
    this.acked.set(`${room} ${id}`, token);
    this.tell(room, id, `message ${token}`);
  }
}

/** What one client knows of one room. */
class Transcript {
  log = []; // entries, known ids dropped
  #known = new Set();
  #here = 0; // seq of the newest in this connection

  constructor(ledger, who, room, start) {
    this.ledger = ledger;
    this.who = who;
    this.room = room;
    this.since = start;
    this.seq = 0;
  }

  connected() {
    this.#here = 0;
  }

  has(id) {
    return this.#known.has(id);
  }

  take(entry) {
    const { id, seq, says } = entry;
    const where = `${this.who} in ${this.room}: ${id}`;
    this.ledger.tell(this.room, id, says);
    if (seq <= this.#here) this.ledger.fault("disorder", `${where} after ${this.#here} on one connection`);
    this.#here = seq;
    if (this.#known.has(id)) return;
    if (seq <= this.seq) this.ledger.fault("disorder", `${where} for the first time after ${this.seq}`);
    this.#known.add(id);
    this.log.push(entry);
    this.seq = seq;
    this.since = id;
  }

  /** The messages as they are after all changes: Map of id to text. */
  state() {
    return stateOf(this.log);
  }
}

function stateOf(log) {
  const state = new Map();
  for (const { type, id, target, text } of log) {
    if (type === "message") state.set(id, text);
    if (type === "delete") state.delete(target);
    if (type === "edit" && state.has(target)) state.set(target, text);
  }
  return state;
}

/** A client that is cut again and again, and comes back. What it says and hears is up to its kind. */
class Client {
  /** @type {string[]} */
  protocols = [];
  socket = null;
  talking = true;
  leaving = false;

  constructor(world, name, rooms) {
    this.world = world;
    this.name = name;
    this.sent = 0;
    this.rooms = new Map(rooms.map((room) =>
      [room, new Transcript(world.ledger, name, room, world.starts.get(room))]));
    this.home = rooms[0];
  }

  start() {
    this.connect();
    this.talk();
  }

  connect() {
    if (this.leaving) return;
    const { port, random } = this.world;
    const at = `ws://127.0.0.1:${port}/ws/chat/${this.home}/`;
    const query = `?username=${this.name}&since=${this.rooms.get(this.home).since}`;
    const socket = new WebSocket(at + query, this.protocols, { perMessageDeflate: false, handshakeTimeout: ms(10000) });
    this.socket = socket;
    socket.on("open", () => this.onOpen());
    socket.on("message", (data) => this.socket === socket && this.onFrame(JSON.parse(data.toString())));
    socket.on("error", () => {});
    socket.on("close", (code, reason) => {
      if (![1006, 4202, 1012, 1013].includes(code))
        this.world.ledger.fault("other", `${this.name} closed with ${code} ${reason}`);
      if (this.socket === socket) this.lost();
      setTimeout(() => this.connect(), random.upTo(60));
    });
  }

  /** Cuts the connection; what still arrives on it does not count. */
  cut() {
    const { socket } = this;
    this.lost();
    socket.terminate();
  }

  lost() {
    this.socket = null;
  }

  onOpen() {}

  /** @param {any} _frame */
  onFrame(_frame) {}

  act() {}

  /** Says something now and then, and loses its connection now and then. */
  async talk() {
    const { random } = this.world;
    while (this.talking) {
      await pause(1 + random.upTo(12));
      if (!this.talking) return;
      if (this.socket && random.chance(0.01)) this.cut();
      for (let i = random.upTo(6); i > 0; i--) this.act();
    }
  }

  leave() {
    this.leaving = true;
    this.socket?.terminate();
  }
}

/** Rung 1: `?since=`, and messages without an ack. */
class PlainClient extends Client {
  onOpen() {
    this.rooms.get(this.home).connected();
  }

  onFrame(frame) {
    if (frame.error) this.world.ledger.fault("other", `${this.name} was refused: ${frame.error.code}`);
    else this.rooms.get(this.home).take(entryOf(frame));
  }

  act() {
    if (this.socket?.readyState !== WebSocket.OPEN || !this.world.random.chance(0.2)) return;
    this.socket.send(JSON.stringify({ message: `${this.name}#${this.sent++}`, username: this.name }));
  }
}

/** parlor.v1 in several rooms: whatever was not acked is sent again. */
class RichClient extends Client {
  protocols = ["parlor.v1"];
  ready = new Set(); // rooms joined on this connection
  pending = new Map(); // ref: frame
  mine = []; // acked, not deleted, nothing pending for it: {room, id, token, edits}

  lost() {
    super.lost();
    this.ready.clear();
  }

  onFrame(frame) {
    if (LOGGED.includes(frame.type)) this.rooms.get(frame.room).take(entryOf(frame));
    else if (frame.type === "welcome") this.onWelcome(frame);
    else if (frame.type === "joined") this.onJoined(frame);
    else if (frame.type === "ack") this.onAck(frame);
    else if (frame.type === "error") this.onError(frame);
    else if (frame.type === "gap") this.cut(); // the rest comes after a further join
  }

  /** The same guest from then on: its nonces and messages are its own. */
  onWelcome({ guest }) {
    if (guest) this.protocols = ["parlor.v1", `guest.${guest.key}`];
  }

  onJoined({ room, recovered }) {
    if (!recovered) this.world.ledger.fault("other", `${this.name}: ${room} was not recovered`);
    this.rooms.get(room).connected();
    this.ready.add(room);
    if (room === this.home)
      for (const [other, { since }] of this.rooms)
        if (other !== this.home) this.socket.send(JSON.stringify({ type: "join", room: other, since }));
    for (const frame of this.pending.values()) if (frame.room === room) this.transmit(frame);
  }

  transmit(frame) {
    if (this.ready.has(frame.room)) this.socket.send(JSON.stringify(frame));
  }

  ask(frame, done) {
    const ref = `${this.name}#${this.sent++}`;
    if (frame.type === "message") Object.assign(frame, { message: ref, nonce: ref });
    Object.defineProperty(frame, "done", { value: done }); // not sent
    this.pending.set(ref, Object.assign(frame, { ref }));
    this.transmit(frame);
  }

  onAck({ ref, id }) {
    const frame = this.pending.get(ref);
    if (!frame) return; // sent twice, acked twice
    this.pending.delete(ref);
    if (frame.type === "message") {
      this.world.ledger.ack(frame.room, id, ref);
      this.mine.push({ room: frame.room, id, token: ref, edits: 0 });
    }
    frame.done?.();
  }

  onError({ ref, code }) {
    const frame = this.pending.get(ref);
    if (frame && code === "no_message") { // deleted, and the ack was lost
      this.pending.delete(ref);
      frame.done?.();
    } else if (code === "unavailable") {
      this.cut();
    } else {
      this.world.ledger.fault("other", `${this.name} was refused: ${code}`);
    }
  }

  act() {
    if (this.pending.size >= PENDING_MAX) return;
    const { random } = this.world;
    const dice = random.upTo(100);
    const own = this.mine.length > 0 && dice < 20 ? this.mine.splice(random.upTo(this.mine.length), 1)[0] : null;
    if (!own) {
      this.ask({ type: "message", room: random.of([...this.rooms.keys()]) });
    } else if (dice < 8) {
      const message = `${own.token}|${++own.edits}`;
      this.ask({ type: "edit", room: own.room, id: own.id, message }, () => this.mine.push(own));
    } else if (dice < 15) {
      this.ask({ type: "react", room: own.room, id: own.id, emoji: random.of(["👍", "🎉"]) }, () => this.mine.push(own));
    } else {
      this.world.deleting.add(`${own.room} ${own.id}`);
      this.ask({ type: "delete", room: own.room, id: own.id });
    }
  }
}

/** The whole log of a room as a newcomer gets it, 1,000 events at a time. */
async function readLog(port, room, start) {
  const log = [];
  const reader = await Rich.open(port, room, { query: `?since=${start}` });
  let joined = await reader.next("joined", ms(20000));
  for (;;) {
    if (!joined.recovered) throw new Error(`${room} from ${start}: not recovered`);
    let seq = 0;
    while (seq < joined.seq && reader.unread("gap").length === 0) {
      const frame = await reader.next([...LOGGED, "gap"], ms(20000));
      if (frame.type === "gap") break;
      log.push(entryOf(frame));
      ({ seq } = frame);
    }
    if (seq >= joined.seq) break;
    await reader.get("left", { type: "leave", room });
    while (reader.unread([...LOGGED, "gap"]).length > 0) {
      const frame = await reader.next([...LOGGED, "gap"]);
      if (frame.type !== "gap") log.push(entryOf(frame));
    }
    joined = await reader.get("joined", { type: "join", room, since: log.at(-1).id }, ms(20000));
  }
  await reader.leave();
  return log;
}

/** Rule 1. */
function checkAcks(world, room, state) {
  const { ledger } = world;
  for (const [key, token] of ledger.acked) {
    const [at, id] = key.split(" ");
    if (at !== room) continue;
    const there = state.get(id);
    if (world.deleting.has(key)) {
      if (there !== undefined) ledger.fault("lost", `${key}: an acked deletion`);
    } else if (there === undefined || tokenOf(there) !== token) {
      ledger.fault("lost", `${key} "${token}" was acked; there is "${there}"`);
    }
  }
  const tokens = [...state.values()].map(tokenOf);
  for (const token of new Set(tokens.filter((one, i) => tokens.indexOf(one) !== i && !one.startsWith("plain"))))
    ledger.fault("doubled", `${token} was posted twice in ${room}`);
}

/** Rule 4. */
function checkTranscript(world, client, transcript, log, strict) {
  const final = [...stateOf(log)];
  const there = new Map(final);
  const gone = new Set(log.filter((e) => e.type === "delete").map((e) => e.target));
  const all = [...transcript.state()].filter(([id]) => !gone.has(id));
  const own = strict ? all : all.filter(([id]) => there.has(id));
  for (const [id] of all) if (!there.has(id)) world.shown.add(`${transcript.room} ${id}`);
  // Rung 1 is not told of changes of what it has.
  const told = client instanceof RichClient ? ([id, text]) => `${id} ${text}` : ([id, text]) => `${id} ${tokenOf(text)}`;
  const want = final.map(told);
  const got = own.map(told);
  const at = want.findIndex((line, i) => line !== got[i]);
  if (at >= 0 || got.length !== want.length)
    world.ledger.fault("differing", `${client.name} in ${transcript.room}: ${got.length} of ${want.length}; ` +
      `at ${at} "${got[at]}", in the history "${want[at]}"`);
}

/** One, two or all of the rooms, each a home to somebody. */
const roomsOf = (i) => ROOMS.map((_, k) => ROOMS[(i + k) % ROOMS.length]).slice(i % ROOMS.length);

/** Everybody stops talking, gets what it waits for, and has seen the last message of every room. */
async function settle(world, clients, starts) {
  for (const client of clients) client.talking = false;
  await until(ms(30000), () => clients.every((c) => !c.pending?.size), "everything acked");
  const ends = new Map();
  for (const room of starts.keys()) {
    const closer = await Rich.join(world.port, room);
    ends.set(room, (await closer.say("the end")).id);
    await closer.leave();
  }
  const caughtUp = (client) => [...client.rooms].every(([room, transcript]) => transcript.has(ends.get(room)));
  await until(ms(30000), () => clients.every(caughtUp), "everybody caught up");
}

/**
 * Runs the test on a server with a file (Lives, started). Resolves with the counts; faults has what
 * went wrong, in words; shown is how many messages somebody saw that did not outlive the server.
 * Where the past is read from (memory or file) changes from life to life.
 */
export async function crash(lives, { rounds, seed, strict = false }) {
  const random = randomFrom(seed);
  const ledger = new Ledger();
  const world = { port: lives.port, random, ledger, starts: new Map(), deleting: new Set(), shown: new Set() };
  for (const room of ROOMS) {
    const opener = await Rich.join(lives.server, room);
    world.starts.set(room, (await opener.say("the beginning")).id);
    await opener.leave();
  }
  const clients = [
    ...Array.from({ length: 6 }, (_, i) => new RichClient(world, `rich${i}`, roomsOf(i))),
    ...Array.from({ length: 4 }, (_, i) => new PlainClient(world, `plain${i}`, [ROOMS[i % 3]])),
  ];
  const args = lives.args;
  for (const client of clients) client.start();
  try {
    for (let i = 0; i < rounds; i++) {
      await pause(random.upTo(ms(350)));
      await lives.server.killHard();
      if (random.chance(0.2)) await lives.startAndKill(random.upTo(ms(30)));
      await lives.start(random.chance(0.3) ? [...args, "--memory-budget", "0"] : args);
    }
    await pause(ms(100));
    await settle(world, clients, world.starts);
    for (const room of ROOMS) {
      const log = await readLog(lives.port, room, world.starts.get(room));
      for (const entry of log) ledger.tell(room, entry.id, entry.says);
      checkAcks(world, room, stateOf(log));
      for (const client of clients)
        if (client.rooms.has(room)) checkTranscript(world, client, client.rooms.get(room), log, strict);
    }
  } finally {
    for (const client of clients) {
      client.talking = false;
      client.leave();
    }
  }
  return { ...ledger.counts, faults: ledger.faults, ids: ledger.said.size, shown: world.shown.size };
}
