// A chat member on the `ws` package: an implementation of WebSocket that is not ours, so that both
// ends of a conversation never share one misreading of the RFC.
import assert from "node:assert/strict";
import WebSocket from "ws";
import { Inbox, ms, within } from "./wait.js";

/**
 * Where and how to connect; guest: of a rich client, the key of the guest that it is. What is not named
 * here is an option of the `ws` package.
 * @typedef {{query?: string, protocols?: string[], host?: string, guest?: string} & WebSocket.ClientOptions} How
 */

export class Member {
  #inbox = new Inbox();

  /**
   * Joins a room; resolves once the handshake is done. The room is taken as it stands in the URL.
   * @param {How} how
   */
  static async join(server, room = "lobby", how = {}) {
    const { query = "", protocols = [], host = "127.0.0.1", ...options } = how;
    const port = server.port ?? server;
    const url = `ws://${host}:${port}/ws/chat/${room}/${query}`;
    const member = new Member(new WebSocket(url, protocols, { perMessageDeflate: false, ...options }));
    await within(ms(20000), member.opened, `WebSocket to ${url}`);
    return member;
  }

  constructor(socket) {
    this.socket = socket;
    this.opened = new Promise((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("error", reject);
    });
    this.opened.catch(() => {});
    this.closed = new Promise((resolve) => {
      socket.once("close", (code, reason) => {
        resolve({ code, reason: reason.toString() });
        this.#inbox.end(new Error(`closed with ${code} ${reason}`));
      });
    });
    socket.on("error", () => {});
    socket.on("message", (data, isBinary) => this.#inbox.push(isBinary ? null : data.toString()));
  }

  /** Sends a message, or any object as it is. */
  say(what, more = {}) {
    this.sendText(JSON.stringify(typeof what === "string" ? { message: what, ...more } : what));
  }

  sendText(text) {
    this.socket.send(text);
  }

  /** The next frame as the text that came. */
  async nextText(time = ms(10000)) {
    const text = await this.#inbox.next(time, "frame for a member");
    assert.notEqual(text, null, "a binary frame on rung 0 or 1");
    return text;
  }

  async next(time) {
    return JSON.parse(await this.nextText(time));
  }

  /** The next frame is this chat message, with exactly the keys of rung 0. */
  async expectBare(username, message) {
    const got = await this.next();
    assert.deepEqual(got, { message, username });
  }

  /** The next frame is a refusal with this code, in its exact form. */
  async expectRefusal(code) {
    const got = await this.next();
    refusal(got, code);
    return got;
  }

  /** Nothing is waiting: proved by a message of one's own that arrives next. */
  async expectNothing(marker) {
    this.say(marker);
    const got = await this.next();
    assert.equal(got.message, marker, `${JSON.stringify(got)} came unasked`);
  }

  get waiting() {
    return this.#inbox.size;
  }

  async closesWith(code, time = ms(10000)) {
    const end = await within(time, this.closed, `close with ${code}`);
    assert.equal(end.code, code, `close code (reason "${end.reason}")`);
    assert.notEqual(end.reason, "", "a close without a reason text (protocol.md 8)");
    return end;
  }

  async leave() {
    this.socket.close(1000);
    await within(ms(10000), this.closed, "close");
  }
}

/** protocol.md section 3: the one form of a refusal. */
export function refusal(got, code) {
  assert.deepEqual(Object.keys(got).sort(), ["error", "message", "username"], JSON.stringify(got));
  assert.equal(got.username, "system");
  assert.deepEqual(got.error, { code });
  assert.match(got.message, /^Not sent: \S.{4,}/, "a reason that a person understands");
}

/** Frames of parlor.v1 that stand in the room's log, and so take part in a resume. */
export const LOGGED = ["message", "edit", "delete", "react", "unreact"];

/**
 * A rich client (parlor.v1). ask() sends a frame with a ref of its own and resolves with the one
 * answer to it; everything else that arrives waits, in order, until next() asks for its type.
 */
export class Rich {
  frames = []; // all there ever were
  #unread = [];
  #readers = [];
  #asked = new Map();
  #over = null;
  #ref = 0;
  #guest = "";
  /** @type {any} */
  welcome;
  /** @type {any} */
  joined;

  /**
   * Joins a room; resolves once `welcome` and `joined` are there.
   * @param {How} how
   */
  static async join(server, room = "lobby", how = {}) {
    const rich = await Rich.open(server, room, how);
    rich.welcome = await rich.next("welcome");
    rich.joined = await rich.next("joined");
    return rich;
  }

  /** @param {How} how */
  static async open(server, room = "lobby", how = {}) {
    const { query = "", guest = "", protocols = ["parlor.v1", ...(guest ? [`guest.${guest}`] : [])], ...options } = how;
    const url = `ws://127.0.0.1:${server.port ?? server}/ws/chat/${room}/${query}`;
    const rich = new Rich(new WebSocket(url, protocols, { perMessageDeflate: false, ...options }));
    await within(ms(20000), rich.opened, `WebSocket to ${url}`);
    rich.#guest = guest;
    return rich;
  }

  /** With which it comes back as the guest that it is. */
  get key() {
    return this.#guest || this.welcome.guest.key;
  }

  constructor(socket) {
    this.socket = socket;
    this.opened = new Promise((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("error", reject);
    });
    this.opened.catch(() => {});
    this.closed = new Promise((resolve) => {
      socket.once("close", (code, reason) => {
        this.#end(new Error(`closed with ${code} ${reason}`));
        resolve({ code, reason: reason.toString() });
      });
    });
    socket.on("error", () => {});
    socket.on("message", (data) => this.#take(JSON.parse(data.toString())));
  }

  #end(error) {
    this.#over = error;
    for (const { reject } of this.#asked.values()) reject(error);
    for (const reader of this.#readers.splice(0)) reader.reject(error);
    this.#asked.clear();
  }

  #take(frame) {
    this.frames.push(frame);
    const asked = this.#asked.get(frame.ref);
    if (asked) {
      this.#asked.delete(frame.ref);
      asked.resolve(frame);
      return;
    }
    const at = this.#readers.findIndex((reader) => reader.types.includes(frame.type));
    if (at < 0) this.#unread.push(frame);
    else this.#readers.splice(at, 1)[0].resolve(frame);
  }

  /** Sends any object as it is. */
  send(frame) {
    this.socket.send(JSON.stringify(frame));
  }

  /** Sends a frame with a new ref; resolves with its answer, whatever that is. */
  ask(frame, time = ms(10000)) {
    const ref = `r${++this.#ref}`;
    const answer = this.#over ? Promise.reject(this.#over) : new Promise((resolve, reject) => {
      this.#asked.set(ref, { resolve, reject });
    });
    this.send({ ...frame, ref });
    return within(time, answer, `answer to ${JSON.stringify(frame).slice(0, 200)}`);
  }

  /** As ask(), and the answer has to be of this type. */
  async get(type, frame, time) {
    const answer = await this.ask(frame, time);
    assert.equal(answer.type, type, JSON.stringify(answer));
    return answer;
  }

  /** As ask(), and the answer has to be an error with this code. */
  async refused(code, frame) {
    const answer = await this.get("error", frame);
    assert.equal(answer.code, code, JSON.stringify(answer));
    return answer;
  }

  /** Posts; resolves with the ack. */
  say(message, more = {}) {
    return this.get("ack", { type: "message", message, ...more });
  }

  /** The first frame of these types that nobody has read yet. */
  next(types, time = ms(10000)) {
    const wanted = [types].flat();
    const at = this.#unread.findIndex((frame) => wanted.includes(frame.type));
    if (at >= 0) return Promise.resolve(this.#unread.splice(at, 1)[0]);
    if (this.#over) return Promise.reject(this.#over);
    let reader;
    const found = new Promise((resolve, reject) => {
      reader = { types: wanted, resolve, reject };
      this.#readers.push(reader);
    });
    return within(time, found, `frame of type ${wanted.join(", ")}`).finally(() => {
      const left = this.#readers.indexOf(reader);
      if (left >= 0) this.#readers.splice(left, 1);
    });
  }

  /**
   * The next n of them.
   * @param {number} n
   * @param {string | string[]} types
   * @param {number} [time]
   */
  async take(n, types = LOGGED, time) {
    const got = [];
    while (got.length < n) got.push(await this.next(types, time));
    return got;
  }

  /** What is there and was not read yet. */
  unread(types) {
    const wanted = [types].flat();
    return this.#unread.filter((frame) => wanted.includes(frame.type));
  }

  /** Everything that the server had sent before now is here: the answer to a question comes last. */
  async settled(room) {
    await this.get("members", { type: "who", room });
  }

  /** None of these frames is waiting. */
  async expectNothing(types, room) {
    await this.settled(room);
    assert.deepEqual(this.unread(types), []);
  }

  async closesWith(code, time = ms(10000)) {
    const end = await within(time, this.closed, `close with ${code}`);
    assert.equal(end.code, code, `close code (reason "${end.reason}")`);
    assert.notEqual(end.reason, "", "a close without a reason text (protocol.md 8)");
    return end;
  }

  async leave() {
    this.socket.close(1000);
    await within(ms(10000), this.closed, "close");
  }

  /** Cut without a word, as a phone in a tunnel. */
  async cut() {
    this.socket.terminate();
    await within(ms(10000), this.closed, "close");
  }
}
