// The socket, and the manners of coming back.
//
// A chat page outlives its connections: laptops sleep, trains enter tunnels, servers restart. This
// module keeps one WebSocket alive at a time and tells, in one word and a few facts, where it stands.
//
// Invariants
//   1. At most one socket and at most one timer exist. Events of a socket that was given up are ignored.
//   2. Every reconnect is delayed by chance ("full jitter", a uniform pick from a window that doubles),
//      or ten thousand pages would return in the same instant after a restart and fell the server again.
//   3. No path reconnects without a floor. "Come back now" (42xx) is obeyed once at a time: a connection
//      that did not serve long enough counts as a failed attempt, whatever its close code says. Serving
//      begins when the caller calls settled(): an open socket alone proves nothing about the server.
//   4. 40xx means the server will not have us as we are: nothing is retried until a person asks.
//   5. A person, a returning network or whoever calls nudge() may shorten a wait.
//
// A browser does not tell why a handshake failed, nor does it show protocol pings; a silent dead peer
// is found by the caller, who misses the answer to a request and calls suspect().

const CONNECT_TIMEOUT_MS = 15000;
const STABLE_AFTER_MS = 10000;
const NUDGE_FLOOR_MS = 300;

// Windows of the random delay by family of close code: it is picked from [floorMs, window], where the
// window starts at firstMs and doubles with every attempt up to capMs.
const BACKOFF = { floorMs: 250, firstMs: 1000, capMs: 30000 }; // a lost line
const BUSY = { floorMs: 2000, firstMs: 8000, capMs: 60000 }; // 41xx, 1013, 1008: full, limited
const RESUME = { floorMs: 100, firstMs: 400, capMs: 30000 }; // 42xx: too slow, no pong
const RESTART = { floorMs: 250, firstMs: 5000, capMs: 30000 }; // 1012: it needs a moment, and all return

/** @param {number} code */
function familyOf(code) {
  if (code === 1012) return RESTART;
  if (code === 1008 || code === 1013 || (code >= 4100 && code < 4200)) return BUSY;
  if (code >= 4200 && code < 4300) return RESUME;
  return BACKOFF;
}

/** @param {number} code of the close */
export const isFinal = (code) => code >= 4000 && code < 4100;

/**
 * @param {number} code of the close
 * @param {number} attempt counts from 0: the connections in a row that failed or did not last
 */
export function retryDelayMs(code, attempt, random = Math.random) {
  const { floorMs, firstMs, capMs } = familyOf(code);
  const windowMs = Math.min(capMs, firstMs * 2 ** Math.min(attempt, 20));
  return Math.round(floorMs + random() * (windowMs - floorMs));
}

/** @typedef {{name: "waiting", untilMs: number, code: number, reason: string, offline: boolean}} Waiting */
/** @typedef {{name: "refused", code: number, reason: string}} Refused */
/** @typedef {{name: "connecting" | "connected" | "closed"} | Waiting | Refused} State */

export class Connection {
  #url;
  #protocols;
  #onState;
  #onText;
  /** @type {WebSocket | null} */
  #socket = null;
  #timer = 0;
  #attempt = 0;
  #settledAtMs = 0;
  #pacedMs = 0;
  #stopped = true;
  /** @type {AbortController | null} */
  #listeners = null;

  /**
   * @param {object} options
   * @param {() => string} options.url the address, asked for before every attempt, as is...
   * @param {() => string[]} options.protocols ...what is offered
   * @param {(state: State) => void} options.onState
   * @param {(text: string) => void} options.onText a frame
   */
  constructor({ url, protocols, onState, onText }) {
    this.#url = url;
    this.#protocols = protocols;
    this.#onState = onState;
    this.#onText = onText;
  }

  start() {
    this.#stopped = false;
    this.#attempt = 0;
    this.#listen();
    this.#open();
  }

  stop() {
    this.#end();
    this.#onState({ name: "closed" });
  }

  /**
   * Returns whether it was handed to an open socket; that it arrives is not promised.
   * @param {string} text
   */
  send(text) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(text);
    return true;
  }

  // Asked for by a person: at once, and with a fresh count.
  retryNow() {
    this.#attempt = 0;
    if (this.#stopped) this.start();
    else if (!this.#socket) this.#open();
  }

  /**
   * The server says how long to stay away after the close that follows: it spreads its clients itself.
   * @param {number} delayMs
   */
  paceNext(delayMs) {
    this.#pacedMs = Math.min(delayMs, BUSY.capMs);
  }

  // The caller has got what it connected for.
  settled() {
    if (this.#socket) this.#settledAtMs ||= performance.now();
  }

  /**
   * The caller has reason to think the peer is gone although no close has come.
   * @param {string} reason
   */
  suspect(reason) {
    if (this.#socket) this.#lost(1006, reason);
  }

  // Whatever kept us waiting may be over: try soon, spread by chance.
  nudge() {
    if (this.#socket || this.#stopped) return;
    this.#wait(NUDGE_FLOOR_MS * (1 + Math.random()), { code: 1006, reason: "" });
  }

  // Outside of a browser nobody tells of the network.
  #listen() {
    this.#listeners?.abort();
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    globalThis.addEventListener?.("online", () => this.nudge(), { signal });
    // A socket does not notice a pulled cable for minutes. The retry that follows finds out at
    // once where the server is reachable all the same, as on this machine.
    globalThis.addEventListener?.("offline", () => this.suspect("the network is gone"), { signal });
  }

  #open() {
    clearTimeout(this.#timer);
    this.#onState({ name: "connecting" });
    const socket = new WebSocket(this.#url(), this.#protocols());
    this.#socket = socket;
    this.#settledAtMs = 0;
    this.#pacedMs = 0;
    /** @type {<E>(handler: (event: E) => void) => (event: E) => void} */
    const current = (handler) => (event) => {
      if (socket === this.#socket) handler(event);
    };
    socket.onopen = current(() => {
      clearTimeout(this.#timer);
      this.#onState({ name: "connected" });
    });
    socket.onmessage = current(({ data }) => typeof data === "string" && this.#onText(data));
    socket.onclose = current(({ code, reason }) => this.#lost(code, reason));
    this.#timer = setTimeout(() => this.suspect("no answer"), CONNECT_TIMEOUT_MS);
  }

  #drop() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #end() {
    this.#stopped = true;
    this.#listeners?.abort();
    this.#drop();
  }

  /** @param {number} code @param {string} reason */
  #lost(code, reason) {
    const lasted = this.#settledAtMs > 0 && performance.now() - this.#settledAtMs >= STABLE_AFTER_MS;
    if (isFinal(code)) {
      this.#end();
      this.#onState({ name: "refused", code, reason });
      return;
    }
    this.#drop();
    if (lasted) this.#attempt = 0;
    this.#wait(this.#pacedMs * (1 + 0.1 * Math.random()) || retryDelayMs(code, this.#attempt), { code, reason });
    this.#attempt += 1;
  }

  /** @param {number} delayMs @param {{code: number, reason: string}} why */
  #wait(delayMs, { code, reason }) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#open(), delayMs);
    const untilMs = performance.now() + delayMs;
    this.#onState({ name: "waiting", untilMs, code, reason, offline: globalThis.navigator?.onLine === false });
  }
}
