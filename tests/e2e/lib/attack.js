// 200 ordinary members, and one address that does its worst (lib/attacker.js). What is measured is
// what the members see: whether they are refused, whether anything is lost, how long a message takes;
// and whether the health checks answer.
import { fork } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";
import WebSocket from "ws";
import { request } from "./http.js";
import { ms, pause, until } from "./wait.js";

const ATTACKER = path.join(path.dirname(fileURLToPath(import.meta.url)), "attacker.js");
const ATTACKER_ADDRESS = "127.66.6.6";
const ROOM_SIZE = 20;
const TURN_MS = 50; // one of them says something; of 200, each every 10 s
const HEALTH_EVERY_MS = 200;
const HEALTH_LIMIT_MS = ms(1000);
const VISIT_LIMIT_MS = ms(20000);
const FAULTS_SHOWN = 10;

/** Four members an address, as people behind one router. */
const addressOf = (i) => `127.0.1.${1 + Math.floor(i / 4)}`;

/** Milliseconds seen, in buckets of one: no list of an hour's samples. */
class Histogram {
  #buckets = new Uint32Array(60001);
  count = 0;

  add(value) {
    this.#buckets[Math.min(60000, Math.max(0, Math.ceil(value)))]++;
    this.count++;
  }

  quantile(q) {
    let left = q * this.count;
    for (let i = 0; i < this.#buckets.length; i++) if ((left -= this.#buckets[i]) <= 0) return i;
    return 60000;
  }
}

class Crowd {
  counts = { said: 0, delivered: 0, refused: 0, lost: 0, disorder: 0, returns: 0, returnsRefused: 0, visits: 0, visitsRefused: 0 };
  latency = new Histogram();
  entering = new Histogram();
  visiting = new Histogram();
  faults = [];

  fault(kind, textOf) {
    this.counts[kind]++;
    if (this.faults.length < FAULTS_SHOWN) this.faults.push(`${kind}: ${textOf}`);
  }
}

/** Says something now and then, hangs up now and then, and comes back with the id it has. */
class Person {
  since = "";
  #last = 0;
  #sent = 0;
  #mine = new Map(); // text: when it was said; those that have not come back
  leaving = false;

  constructor(crowd, port, i) {
    this.crowd = crowd;
    this.port = port;
    this.name = `person${i}`;
    this.room = `room${Math.floor(i / ROOM_SIZE)}`;
    this.address = addressOf(i);
  }

  connect() {
    const begun = performance.now();
    const url = `ws://127.0.0.1:${this.port}/ws/chat/${this.room}/?username=${this.name}&since=${this.since}`;
    const socket = new WebSocket(url, { localAddress: this.address, perMessageDeflate: false, handshakeTimeout: 20000 });
    this.socket = socket;
    return /** @type {Promise<void>} */ (new Promise((resolve) => {
      socket.on("open", () => {
        this.crowd.entering.add(performance.now() - begun);
        resolve();
      });
      socket.on("error", (error) => {
        if (socket.readyState === WebSocket.CONNECTING || error.message.startsWith("Unexpected server response"))
          this.crowd.fault("returnsRefused", `${this.name}: ${error.message}`);
        resolve();
      });
      socket.on("message", (data) => this.#hear(JSON.parse(data.toString())));
      socket.on("close", (code, reason) => {
        if (this.socket !== socket || this.leaving) return;
        this.crowd.fault("refused", `${this.name} was closed with ${code} ${reason}`);
        setTimeout(() => this.leaving || this.connect(), 500);
      });
    }));
  }

  #hear(frame) {
    const { crowd } = this;
    if (frame.error) return crowd.fault("refused", `${this.name}: ${JSON.stringify(frame)}`);
    if (!frame.id) return undefined;
    this.since = frame.id;
    if (frame.seq <= this.#last) return crowd.fault("disorder", `${this.name}: ${frame.id} after ${this.#last}`);
    this.#last = frame.seq;
    crowd.counts.delivered++;
    const said = Number(/at (\d+\.\d+)/.exec(frame.message)?.[1]);
    if (said && !this.returning) crowd.latency.add(performance.now() - said);
    if (frame.username === this.name) this.#mine.delete(frame.message);
    return undefined;
  }

  say() {
    if (this.socket.readyState !== WebSocket.OPEN) return;
    const message = `${this.name}#${this.#sent++} at ${performance.now().toFixed(3)}`;
    this.#mine.set(message, performance.now());
    this.crowd.counts.said++;
    this.socket.send(JSON.stringify({ message, username: this.name }));
  }

  /** Hangs up in good order, so that nothing said is on its way, and comes back. */
  async comeBack() {
    if (!(await this.caughtUp(5000))) return;
    this.returning = true;
    const { socket } = this;
    this.socket = null;
    socket.terminate();
    this.crowd.counts.returns++;
    await this.connect();
    setTimeout(() => (this.returning = false), 1000);
  }

  /** Looks into a room that nobody is in, which the server has to read from its file. */
  async visit(room, messages) {
    const { crowd, name } = this;
    const begun = performance.now();
    crowd.counts.visits++;
    const url = `ws://127.0.0.1:${this.port}/ws/chat/${room}/?history=${messages}`;
    const socket = new WebSocket(url, { localAddress: this.address, perMessageDeflate: false, handshakeTimeout: 20000 });
    let got = 0;
    let late;
    const failure = await new Promise((resolve) => {
      socket.on("message", () => ++got === messages && resolve(null));
      socket.on("error", (error) => resolve(error.message));
      socket.on("close", (code, reason) => resolve(`${code} ${reason}`));
      late = setTimeout(() => resolve(`${got} of ${messages} in ${VISIT_LIMIT_MS} ms`), VISIT_LIMIT_MS);
    });
    clearTimeout(late);
    if (failure) crowd.fault("visitsRefused", `${name} in ${room}: ${failure}`);
    else crowd.visiting.add(performance.now() - begun);
    socket.terminate();
  }

  async caughtUp(time) {
    const end = performance.now() + time;
    while (this.#mine.size > 0 && performance.now() < end) await pause(20);
    return this.#mine.size === 0;
  }

  checkLost() {
    for (const message of this.#mine.keys()) this.crowd.fault("lost", `${message} never came back`);
  }

  leave() {
    this.leaving = true;
    this.socket?.terminate();
  }
}

/** Asks again and again; counts what did not answer 200 in time. */
async function watchHealth(port, state) {
  while (!state.over) {
    const begun = performance.now();
    const answer = await Promise.race([
      request(port, "GET", "/healthz").catch((error) => ({ status: error.message })),
      pause(HEALTH_LIMIT_MS).then(() => ({ status: "no answer in time" })),
    ]);
    state.checks++;
    state.health.add(performance.now() - begun);
    if (answer.status !== 200) {
      state.failed++;
      if (state.failures.length < FAULTS_SHOWN) state.failures.push(answer.status);
    }
    await pause(HEALTH_EVERY_MS);
  }
}

async function watchMemory(server, state) {
  while (!state.over) {
    state.resident = Math.max(state.resident, server.residentBytes());
    await pause(500);
  }
}

function startAttacker(port, connectsPerS, room) {
  const child = fork(ATTACKER, [String(port), ATTACKER_ADDRESS, String(connectsPerS), room], { stdio: ["ignore", "pipe", "inherit", "ipc"] });
  const attacker = { child, counts: { dialled: 0 } };
  let rest = "";
  child.stdout.setEncoding("utf8").on("data", (data) => {
    const lines = (rest + data).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line) attacker.counts = JSON.parse(line);
  });
  return attacker;
}

/**
 * Attacks a started server for this many seconds. `fatRoom` is a room with a long history, which is
 * what costs most to be asked for; `quietRooms` have as many messages as `quietMessages` says.
 * Resolves with what was seen.
 */
export async function attack(server, { seconds, members, connectsPerS, fatRoom, quietRooms, quietMessages }) {
  const { port } = server;
  const crowd = new Crowd();
  const people = Array.from({ length: members }, (_, i) => new Person(crowd, port, i));
  for (let i = 0; i < members; i += 10) await Promise.all(people.slice(i, i + 10).map((p) => p.connect()));

  const state = { over: false, checks: 0, failed: 0, failures: [], health: new Histogram(), resident: 0 };
  const watches = [watchHealth(port, state), watchMemory(server, state)];
  const attacker = startAttacker(port, connectsPerS, fatRoom);
  const end = performance.now() + seconds * 1000;
  for (let turn = 0; performance.now() < end; turn++) {
    const person = people[turn % members];
    if (turn % 53 === 52) person.comeBack();
    else if (turn % 7 === 6) person.visit(quietRooms[(turn / 7 | 0) % quietRooms.length], quietMessages);
    else if (!person.returning) person.say();
    await pause(TURN_MS);
  }
  state.over = true;
  attacker.child.disconnect();
  await Promise.all([...watches, new Promise((resolve) => attacker.child.once("exit", resolve))]);
  const settled = until(ms(20000), async () => {
    for (const person of people) if (!(await person.caughtUp(0))) return false;
    return true;
  }, "everything said has come back");
  await settled.catch(() => {});
  for (const person of people) {
    person.checkLost();
    person.leave();
  }
  return {
    ...crowd.counts,
    faults: crowd.faults,
    p50: crowd.latency.quantile(0.5),
    p99: crowd.latency.quantile(0.99),
    visitP99: crowd.visiting.quantile(0.99),
    enterP99: crowd.entering.quantile(0.99),
    healthChecks: state.checks,
    healthFailed: state.failed,
    healthFailures: state.failures,
    healthP99: state.health.quantile(0.99),
    residentMiB: Math.round(state.resident / 1048576),
    attacker: attacker.counts,
  };
}
