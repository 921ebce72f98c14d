// Clients at other addresses. On Linux every 127.x.y.z is an address of this machine; to a server
// that trusts no proxy (NO_PROXIES) each is an ordinary client.
import net from "node:net";
import { HttpConnection, request } from "./http.js";

export const NO_PROXIES = ["--trusted-proxies", "none"];

/** GET from an address; resolves with the answer. */
export const getFrom = (server, localAddress, path, headers = {}) =>
  request(server.port, "GET", path, headers, undefined, localAddress);

const HANDSHAKE = {
  Upgrade: "websocket",
  Connection: "Upgrade",
  "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
  "Sec-WebSocket-Version": "13",
};

/**
 * The answer to a handshake, for those that are refused.
 * @param {Record<string, string>} how localAddress, and headers
 */
export async function refusedHandshake(server, path, how = {}) {
  const { localAddress, ...headers } = how;
  const connection = await HttpConnection.open(server.port, undefined, localAddress);
  try {
    return await connection.ask("GET", path, { ...HANDSHAKE, ...headers });
  } finally {
    connection.end();
  }
}

/** The time in which each of `count` sockets has to redial for 1,000 connects a second. */
const REDIAL_PER_SOCKET_MS = 1;

/** Sockets that say nothing. They redial when they are closed, until end(). */
export class Silence {
  #sockets = new Set();
  #over = false;
  closed = 0;

  /** @param {{host?: string, localAddress?: string, redial?: boolean, first?: string | Buffer}} how */
  constructor(server, count, how = {}) {
    const { host = "127.0.0.1", localAddress = host, redial = true, first } = how;
    this.server = server;
    this.options = { port: server.port, host, localAddress };
    this.redial = redial;
    this.redialMs = count * REDIAL_PER_SOCKET_MS;
    this.first = first;
    for (let i = 0; i < count; i++) this.#dial();
  }

  #dial() {
    const socket = net.connect({ ...this.options, allowHalfOpen: true });
    this.#sockets.add(socket);
    let gone = false;
    const settle = () => {
      if (gone) return;
      gone = true;
      this.closed++;
      this.#sockets.delete(socket);
      socket.destroy();
      if (this.redial && !this.#over) setTimeout(() => this.#over || this.#dial(), this.redialMs);
    };
    if (this.first) socket.once("connect", () => socket.write(this.first));
    socket.on("data", () => {});
    socket.on("error", settle);
    socket.on("close", settle);
    if (!this.first) socket.on("end", settle); // else it holds the half-closed one
  }

  get open() {
    return this.#sockets.size;
  }

  end() {
    this.#over = true;
    for (const socket of this.#sockets) socket.destroy();
  }
}
