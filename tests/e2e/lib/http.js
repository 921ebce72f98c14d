// HTTP/1.1 by hand over a socket, so that tests decide every byte of the request and see every byte
// of the answer, several answers on one connection included.
import net from "node:net";
import { Inbox, ms, within } from "./wait.js";

export class HttpConnection {
  #data = Buffer.alloc(0);
  #answers = new Inbox();
  #heads = []; // for each request not yet answered: was it HEAD?
  closed;

  /** @param {string} [localAddress] */
  static async open(port, host = "127.0.0.1", localAddress = undefined) {
    const socket = net.connect({ port, host, localAddress, noDelay: true });
    const self = new HttpConnection(socket);
    await within(ms(5000), new Promise((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    }), "TCP connection");
    return self;
  }

  constructor(socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.once("close", resolve));
    socket.on("data", (chunk) => {
      this.#data = Buffer.concat([this.#data, chunk]);
      try {
        while (this.#parse());
      } catch (error) {
        this.#answers.end(error);
      }
    });
    socket.on("error", () => {});
    socket.on("close", () => this.#answers.end(new Error("connection closed without an answer")));
  }

  #parse() {
    const end = this.#data.indexOf("\r\n\r\n");
    if (end < 0) return false;
    const [first, ...lines] = this.#data.subarray(0, end).toString("latin1").split("\r\n");
    const status = /^HTTP\/1\.1 (\d{3}) ?(.*)$/.exec(first);
    if (!status) throw new Error(`not an HTTP/1.1 status line: ${first}`);
    /** @type {Record<string, string>} */
    const headers = {};
    for (const line of lines) {
      const header = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line);
      if (!header) throw new Error(`bad header line: ${line}`);
      const name = header[1].toLowerCase();
      headers[name] = name in headers ? `${headers[name]}, ${header[2]}` : header[2];
    }
    const code = Number(status[1]);
    const bodyless = this.#heads[0] || code === 304 || code === 204 || code < 200;
    const length = bodyless ? 0 : Number(headers["content-length"]);
    if (!bodyless && !/^\d+$/.test(headers["content-length"] ?? ""))
      throw new Error(`${code} without a Content-Length: ${JSON.stringify(headers)}`);
    if (this.#data.length < end + 4 + length) return false;
    const body = Buffer.from(this.#data.subarray(end + 4, end + 4 + length));
    this.#data = this.#data.subarray(end + 4 + length);
    this.#heads.shift();
    this.#answers.push({
      status: code,
      headers,
      body,
      get text() {
        return body.toString("utf8");
      },
      get json() {
        return JSON.parse(body.toString("utf8"));
      },
    });
    return this.#data.length > 0;
  }

  /** Bytes as they are; say head for each HEAD request in them. */
  write(bytes, { head = false } = {}) {
    this.#heads.push(head);
    this.socket.write(bytes);
  }

  /** Bytes of a request already announced by write(). */
  more(bytes) {
    this.socket.write(bytes);
  }

  answer(time = ms(5000)) {
    return this.#answers.next(time, "HTTP answer");
  }

  /** Bytes received that belong to no answer. */
  get surplus() {
    return this.#data.length;
  }

  async ask(method, path, headers = {}) {
    const lines = Object.entries({ Host: "localhost", ...headers }).map(([k, v]) => `${k}: ${v}\r\n`);
    this.write(`${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n`, { head: method === "HEAD" });
    return this.answer();
  }

  end() {
    this.socket.destroy();
  }
}

/**
 * Where a server of Node's own listens.
 * @param {net.Server} server
 */
export const portOf = (server) => /** @type {net.AddressInfo} */ (server.address()).port;

/** One request on a connection of its own. */
export async function request(port, method, path, headers = {}, host = undefined, localAddress = undefined) {
  const connection = await HttpConnection.open(port, host, localAddress);
  try {
    return await connection.ask(method, path, { Connection: "close", ...headers });
  } finally {
    connection.end();
  }
}
