// A WebSocket client with control over every byte: it builds valid and invalid frames, splits writes
// where a test wants them split, and reads the server's frames with the strictness of RFC 6455: a
// server frame that is masked, has RSV2 or RSV3, an opcode unknown, a length not in its shortest form
// or a control frame that is fragmented or long, fails the test that receives it, whatever it tests.
import { createHash, randomBytes } from "node:crypto";
import assert from "node:assert/strict";
import net from "node:net";
import { Inbox, ms, within } from "./wait.js";

export const CONT = 0;
export const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

/** The headers that ask for the rich form. */
export const RICH = { "Sec-WebSocket-Protocol": "parlor.v1" };

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

export const acceptFor = (key) => createHash("sha1").update(key + GUID).digest("base64");

/**
 * A client frame. lengthForm forces the 7, 16 or 64 bit form; length claims another length than
 * the payload has; mask false sends it unmasked, a Buffer of four is the key.
 * @param {number} opcode
 * @param {string | Uint8Array} payload
 * @param {{fin?: boolean, rsv?: number, mask?: boolean | Buffer, lengthForm?: number, length?: number}} options
 */
export function frame(opcode, payload = "", options = {}) {
  const { fin = true, rsv = 0, mask = true, lengthForm, length } = options;
  const data = Buffer.from(payload);
  const said = length ?? data.length;
  const form = lengthForm ?? (said < 126 ? 7 : said < 65536 ? 16 : 64);
  const head = [(fin ? 0x80 : 0) | (rsv << 4) | opcode];
  const masked = mask ? 0x80 : 0;
  const size = Buffer.alloc(form === 7 ? 0 : form === 16 ? 2 : 8);
  if (form === 7) head.push(masked | said);
  else if (form === 16) head.push(masked | 126), size.writeUInt16BE(said);
  else head.push(masked | 127), size.writeBigUInt64BE(BigInt(said));
  if (!mask) return Buffer.concat([Buffer.from(head), size, data]);
  const key = Buffer.isBuffer(mask) ? mask : randomBytes(4);
  const body = Buffer.allocUnsafe(data.length);
  for (let i = 0; i < data.length; i++) body[i] = data[i] ^ key[i & 3];
  return Buffer.concat([Buffer.from(head), size, key, body]);
}

export const text = (payload, options) => frame(TEXT, payload, options);
export const binary = (payload, options) => frame(BINARY, payload, options);
export const cont = (payload, options) => frame(CONT, payload, options);
export const ping = (payload, options) => frame(PING, payload, options);
export const pong = (payload, options) => frame(PONG, payload, options);

export const jsonText = (object) => text(JSON.stringify(object));

/**
 * A close frame: no code means no payload.
 * @param {number} [code]
 * @param {string | Buffer} reason
 */
export function close(code, reason = "") {
  if (code === undefined) return frame(CLOSE);
  const head = Buffer.alloc(2);
  head.writeUInt16BE(code);
  return frame(CLOSE, Buffer.concat([head, Buffer.from(reason)]));
}

/** A message in fragments of this size; RSV1 on the first one only when deflated. */
export function fragments(opcode, payload, size, { rsv = 0 } = {}) {
  const data = Buffer.from(payload);
  const out = [];
  for (let at = 0; at === 0 || at < data.length; at += size) {
    const last = at + size >= data.length;
    out.push(frame(at === 0 ? opcode : CONT, data.subarray(at, at + size), {
      fin: last,
      rsv: at === 0 ? rsv : 0,
    }));
  }
  return out;
}

/** The head of a handshake as text, with these headers too, or instead; one that is null is left out. */
export function handshake(path, headers = {}) {
  const all = {
    Host: "localhost",
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Key": randomBytes(16).toString("base64"),
    "Sec-WebSocket-Version": "13",
    ...headers,
  };
  const lines = Object.entries(all).filter(([, v]) => v !== null).map(([k, v]) => `${k}: ${v}\r\n`);
  return `GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n`;
}

/** Received bytes, taken from the front without copying the rest. */
class Bytes {
  #chunks = [];
  length = 0;

  push(chunk) {
    this.#chunks.push(chunk);
    this.length += chunk.length;
  }

  take(n) {
    const parts = [];
    for (let need = n; need > 0; ) {
      const first = this.#chunks[0];
      if (first.length <= need) {
        parts.push(first);
        this.#chunks.shift();
        need -= first.length;
      } else {
        parts.push(first.subarray(0, need));
        this.#chunks[0] = first.subarray(need);
        need = 0;
      }
    }
    this.length -= n;
    return parts.length === 1 ? parts[0] : Buffer.concat(parts, n);
  }
}

/** Reads frames as the server must write them; throws on any that it must not write. */
class FrameReader {
  #bytes = new Bytes();
  #head = null;

  feed(chunk, emit) {
    this.#bytes.push(chunk);
    for (;;) {
      if (!this.#head && !this.#readHead()) return;
      if (!this.#sized()) return;
      if (this.#bytes.length < this.#head.length) return;
      const { fin, rsv1, opcode, length } = this.#head;
      this.#head = null;
      emit({ fin, rsv1, opcode, payload: this.#bytes.take(length), at: performance.now() });
    }
  }

  /** Bytes of a frame that has not come whole. */
  get partial() {
    return this.#bytes.length + (this.#head ? 2 : 0);
  }

  #readHead() {
    if (this.#bytes.length < 2) return false;
    const [a, b] = this.#bytes.take(2);
    const opcode = a & 15;
    const fin = (a & 0x80) !== 0;
    assert.equal(b & 0x80, 0, "server frame is masked (RFC 6455 5.1)");
    assert.equal(a & 0x30, 0, "server frame with RSV2 or RSV3");
    assert.ok([0, 1, 2, 8, 9, 10].includes(opcode), `server frame with opcode ${opcode}`);
    if (opcode >= 8) assert.ok(fin && (b & 127) < 126, "server control frame fragmented or long");
    this.#head = { fin, rsv1: (a & 0x40) !== 0, opcode, form: b & 127, length: -1 };
    return true;
  }

  #sized() {
    const head = this.#head;
    if (head.length >= 0) return true;
    const extra = head.form === 126 ? 2 : head.form === 127 ? 8 : 0;
    if (this.#bytes.length < extra) return false;
    const raw = this.#bytes.take(extra);
    if (extra === 0) head.length = head.form;
    else head.length = extra === 2 ? raw.readUInt16BE() : Number(raw.readBigUInt64BE());
    const least = extra === 0 ? 0 : extra === 2 ? 126 : 65536;
    assert.ok(head.length >= least, "server length not in its shortest form (RFC 6455 5.2)");
    return true;
  }
}

export class Raw {
  #reader = new FrameReader();
  #frames = new Inbox();
  #head = Buffer.alloc(0);
  #upgraded = null;
  #refused = null;
  #answerPings;
  pings = []; // the server's own, answered unless told not to
  bytesIn = 0;

  /** Connects and upgrades. The response's head is in .response. */
  static async open(port, path = "/ws/echo/", options = {}) {
    const raw = await Raw.connect(port, options);
    await raw.upgrade(path, options);
    return raw;
  }

  /**
   * localAddress: any 127.x.y.z is another client's address.
   * @param {number} port
   * @param {{host?: string, answerPings?: boolean, localAddress?: string}} how
   */
  static async connect(port, { host = "127.0.0.1", answerPings = true, localAddress } = {}) {
    const socket = net.connect({ port, host, localAddress, noDelay: true, allowHalfOpen: true });
    const raw = new Raw(socket, answerPings);
    await within(ms(10000), new Promise((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    }), "TCP connection");
    return raw;
  }

  constructor(socket, answerPings) {
    this.socket = socket;
    this.#answerPings = answerPings;
    this.over = new Promise((resolve) => {
      const settle = (how) => {
        resolve({ how, at: performance.now() });
        const error = new Error(`the server ended the connection (${how})`);
        this.#frames.end(error);
        this.#refused?.(error);
      };
      socket.once("end", () => settle("fin"));
      socket.once("error", (error) => settle(error.code));
      socket.once("close", () => settle("closed here"));
    });
    socket.on("error", () => {});
    socket.on("data", (chunk) => this.#onData(chunk));
  }

  #onData(chunk) {
    this.bytesIn += chunk.length;
    try {
      if (this.#upgraded) this.#onHead(chunk);
      else this.#reader.feed(chunk, (got) => this.#onFrame(got));
    } catch (error) {
      this.#frames.end(error);
      this.socket.destroy();
    }
  }

  #onHead(chunk) {
    this.#head = Buffer.concat([this.#head, chunk]);
    const end = this.#head.indexOf("\r\n\r\n");
    if (end < 0) return;
    const [status, ...lines] = this.#head.subarray(0, end).toString("latin1").split("\r\n");
    const headers = {};
    for (const line of lines) {
      const colon = line.indexOf(":");
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    const rest = this.#head.subarray(end + 4);
    const done = this.#upgraded;
    this.#upgraded = null;
    const code = Number(status.split(" ")[1]);
    if (code === 101 && rest.length > 0) this.#reader.feed(rest, (got) => this.#onFrame(got));
    done({ status: code, headers, rest });
  }

  #onFrame(got) {
    if (got.opcode === PING && this.#answerPings) {
      this.pings.push(got);
      this.socket.write(pong(got.payload));
    } else {
      this.#frames.push(got);
    }
  }

  /**
   * Sends the handshake and reads the answer. `first` are bytes sent in the same write.
   * @param {string} path
   * @param {{headers?: Record<string, string>, extensions?: string, expect?: number, first?: Buffer}} how
   */
  async upgrade(path, { headers = {}, extensions, expect = 101, first } = {}) {
    const key = randomBytes(16).toString("base64");
    const head = handshake(path, {
      Host: `localhost:${this.socket.remotePort}`,
      "Sec-WebSocket-Key": key,
      ...(extensions === undefined ? {} : { "Sec-WebSocket-Extensions": extensions }),
      ...headers,
    });
    const answered = new Promise((resolve, reject) => {
      this.#upgraded = resolve;
      this.#refused = reject;
    });
    const bytes = Buffer.from(head, "latin1");
    this.socket.write(first ? Buffer.concat([bytes, first]) : bytes);
    this.response = await within(ms(20000), answered, "handshake answer");
    this.#refused = null;
    assert.equal(this.response.status, expect, `handshake of ${path}`);
    if (expect === 101) {
      assert.equal(this.response.headers["sec-websocket-accept"], acceptFor(key));
      assert.match(this.response.headers.upgrade, /^websocket$/i);
      assert.match(this.response.headers.connection, /^upgrade$/i);
    }
    return this.response;
  }

  /** Writes these in one go; resolves when the kernel has taken them. */
  send(...parts) {
    const bytes = parts.length === 1 ? parts[0] : Buffer.concat(parts);
    return new Promise((resolve) => this.socket.write(bytes, resolve));
  }

  /** Writes in pieces of this size, each a write of its own. */
  async sendChopped(bytes, size) {
    for (let at = 0; at < bytes.length; at += size) await this.send(bytes.subarray(at, at + size));
  }

  next(time = ms(10000)) {
    return this.#frames.next(time, "frame from the server");
  }

  /** The next data message, put together; control frames between its fragments go to `between`. */
  /** @returns {Promise<any>} payload: as bytes */
  async message(time = ms(10000)) {
    const between = [];
    const parts = [];
    let first = null;
    for (;;) {
      const got = await this.next(time);
      if (got.opcode >= 8) {
        assert.ok(first, `a control frame (opcode ${got.opcode}) where a message was due: ${got.payload}`);
        between.push(got);
        continue;
      }
      if (first) {
        assert.equal(got.opcode, CONT, "a new message inside a fragmented one");
        assert.equal(got.rsv1, false, "RSV1 on a continuation (RFC 7692 6.1)");
      } else {
        assert.notEqual(got.opcode, CONT, "a continuation without a message");
        first = got;
      }
      parts.push(got.payload);
      if (got.fin)
        return { opcode: first.opcode, rsv1: first.rsv1, payload: Buffer.concat(parts), between };
    }
  }

  async expectMessage(opcode, payload, time) {
    const got = await this.message(time);
    assert.equal(got.opcode, opcode);
    sameBytes(got.payload, Buffer.from(payload));
    return got;
  }

  /** @param {string | Buffer} payload */
  async expectPong(payload = "") {
    const got = await this.next();
    assert.equal(got.opcode, PONG, `a pong, not opcode ${got.opcode}: ${got.payload.subarray(0, 80)}`);
    sameBytes(got.payload, Buffer.from(payload));
  }

  /** The next frame is a valid Close: {code (undefined without payload), reason, at}. */
  async expectClose(code, time) {
    const got = await this.next(time);
    assert.equal(got.opcode, CLOSE, `a close, not opcode ${got.opcode}: ${got.payload.subarray(0, 80)}`);
    const said = closeOf(got.payload);
    if (code !== undefined) assert.equal(said.code, code, `close code (reason "${said.reason}")`);
    return { ...said, at: got.at };
  }

  /** The server ends TCP by itself, and nothing but the end comes. */
  async expectEnd(time = ms(10000)) {
    const end = await within(time, this.over, "end of TCP by the server");
    assert.notEqual(end.how, "closed here", "the server has to close TCP first (RFC 6455 7.1.1)");
    assert.deepEqual(this.#frames.drain().map((f) => f.opcode), [], "frames after the close");
    assert.equal(this.#reader.partial, 0, "bytes of a frame after the close");
    this.socket.destroy();
    return end;
  }

  /** The server fails the connection (RFC 6455 7.1.7): Close with this code, then the end. */
  async expectFailure(code, time) {
    const said = await this.expectClose(code, time);
    this.socket.write(close(said.code));
    await this.expectEnd();
    return said;
  }

  /** Closes from this side, and checks the answer and who ends TCP. */
  async closeClean(code = 1000) {
    await this.send(close(code));
    const said = await this.expectClose(code);
    await this.expectEnd();
    return said;
  }

  frames() {
    return this.#frames.drain();
  }

  destroy() {
    this.socket.destroy();
  }

  /** Ends with a reset instead of an orderly end. */
  reset() {
    this.socket.resetAndDestroy();
  }
}

/** Code and reason of a close payload, checked for form. */
export function closeOf(payload) {
  if (payload.length === 0) return { code: undefined, reason: "" };
  assert.ok(payload.length >= 2, "close payload of one byte");
  const code = payload.readUInt16BE();
  const known = (code >= 1000 && code <= 1014 && ![1004, 1005, 1006].includes(code)) ||
    (code >= 3000 && code <= 4999);
  assert.ok(known, `close code ${code} must not be on the wire`);
  const reason = new TextDecoder("utf-8", { fatal: true }).decode(payload.subarray(2));
  return { code, reason };
}

/** Equality whose failure does not print megabytes. */
export function sameBytes(got, want) {
  if (got.equals(want)) return;
  let at = 0;
  while (at < got.length && at < want.length && got[at] === want[at]) at++;
  const cut = (b) => JSON.stringify(b.subarray(Math.max(0, at - 16), at + 32).toString("latin1"));
  assert.fail(`${got.length} bytes, not ${want.length}; differ at ${at}: ${cut(got)}, not ${cut(want)}`);
}
