// A chat member on the `ws` package: an implementation of WebSocket that is not ours, so that both
// ends of a conversation never share one misreading of the RFC.
import assert from 'node:assert/strict';
import WebSocket from 'ws';
import { Inbox, ms, within } from './wait.js';

export class Member {
  #inbox = new Inbox();

  /** Joins a room; resolves once the handshake is done. The room is taken as it stands in the URL. */
  static async join(server, room = 'lobby', { query = '', protocols = [], ...options } = {}) {
    const port = server.port ?? server;
    const url = `ws://127.0.0.1:${port}/ws/chat/${room}/${query}`;
    const member = new Member(new WebSocket(url, protocols, { perMessageDeflate: false, ...options }));
    await within(ms(20000), member.opened, `WebSocket to ${url}`);
    return member;
  }

  constructor(socket) {
    this.socket = socket;
    this.opened = new Promise((resolve, reject) => {
      socket.once('open', resolve);
      socket.once('error', reject);
    });
    this.opened.catch(() => {});
    this.closed = new Promise((resolve) => {
      socket.once('close', (code, reason) => {
        resolve({ code, reason: reason.toString() });
        this.#inbox.end(new Error(`closed with ${code} ${reason}`));
      });
    });
    socket.on('error', () => {});
    socket.on('message', (data, isBinary) => this.#inbox.push(isBinary ? null : data.toString()));
  }

  /** Sends a message, or any object as it is. */
  say(what, more = {}) {
    this.sendText(JSON.stringify(typeof what === 'string' ? { message: what, ...more } : what));
  }

  sendText(text) {
    this.socket.send(text);
  }

  /** The next frame as the text that came. */
  async nextText(time = ms(10000)) {
    const text = await this.#inbox.next(time, 'frame for a member');
    assert.notEqual(text, null, 'a binary frame on rung 0 or 1');
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
    assert.notEqual(end.reason, '', 'a close without a reason text (protocol.md 8)');
    return end;
  }

  async leave() {
    this.socket.close(1000);
    await within(ms(10000), this.closed, 'close');
  }
}

/** protocol.md section 3: the one form of a refusal. */
export function refusal(got, code) {
  assert.deepEqual(Object.keys(got).sort(), ['error', 'message', 'username'], JSON.stringify(got));
  assert.equal(got.username, 'system');
  assert.deepEqual(got.error, { code });
  assert.match(got.message, /^Not sent: \S.{4,}/, 'a reason that a person understands');
}
