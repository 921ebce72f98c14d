// One conversation with the server in its subprotocol parlor.v1 (protocol section 5): who asks for what
// gets its answer, and whatever happens in the room is handed on.
//
// Every request carries a ref; the one frame that echoes it settles the promise. When the connection is
// lost, all open requests fail with the code `lost`: whether to ask again is for the caller to know.
// Messages can be sent again without fear, because each has a nonce.
//
// An answer that does not come is how a silent dead peer is found.

import { socketAddress } from "./address.js";
import { Connection } from "./connection.js";
import { parseFrame } from "./frames.js";

/** @import { Frame, Request } from "./types.js" */
/** @import { State } from "./connection.js" */
/** @typedef {{resolve: (frame: any) => void, reject: (why: RequestError) => void, timer: number}} Asked */

const ANSWER_TIMEOUT_MS = 15000;
const HISTORY_ON_ENTERING = 50;

export class RequestError extends Error {
  /**
   * @param {string} code one of the server's, or `lost`
   * @param {string} message for people to read
   */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** @param {string} text */
const sentence = (text) => (text === "" ? "The server refused it." : `${text[0].toUpperCase()}${text.slice(1)}.`);

export class Session {
  #base;
  #room;
  #name;
  #since;
  #handlers;
  #connection;
  #joinTimer = 0;
  /** @type {Map<number | null, Asked>} */
  #open = new Map(); // by ref
  #lastRef = 0;

  /**
   * @param {object} options
   * @param {string} options.base the server's address
   * @param {string} options.room
   * @param {string} options.name under which one enters
   * @param {() => string} options.guestKey by which the server knows us again, or ""
   * @param {() => string | null} options.since the id to resume from
   * @param {{onState: (state: State) => void, onFrame: (frame: Frame) => void}} options.handlers
   */
  constructor({ base, room, name, guestKey, since, handlers }) {
    this.#base = base;
    this.#room = room;
    this.#name = name;
    this.#since = since;
    this.#handlers = handlers;
    this.#connection = new Connection({
      url: () => this.#url(),
      protocols: () => ["parlor.v1", ...(guestKey() === "" ? [] : [`guest.${guestKey()}`])],
      onState: (state) => this.#onState(state),
      onText: (text) => this.#onText(text),
    });
  }

  start() {
    this.#connection.start();
  }

  stop() {
    this.#connection.stop();
  }

  retryNow() {
    this.#connection.retryNow();
  }

  // Whatever kept us waiting may be over.
  nudge() {
    this.#connection.nudge();
  }

  /**
   * Resolves with the frame that answers, rejects with a RequestError.
   * @param {Request} frame
   * @returns {Promise<any>}
   */
  request(frame) {
    const ref = ++this.#lastRef;
    return new Promise((resolve, reject) => {
      if (!this.tell({ ...frame, ref })) {
        reject(new RequestError("lost", "There is no connection."));
        return;
      }
      const timer = setTimeout(() => this.#connection.suspect("no answer"), ANSWER_TIMEOUT_MS);
      this.#open.set(ref, { resolve, reject, timer });
    });
  }

  /**
   * Sends what nobody answers. Returns whether it was handed to an open socket.
   * @param {Request} frame
   */
  tell(frame) {
    return this.#connection.send(JSON.stringify(frame));
  }

  #url() {
    const since = this.#since();
    /** @type {Record<string, string | number>} */
    const from = since === null ? { history: HISTORY_ON_ENTERING } : { since };
    return socketAddress(this.#base, this.#room, { username: this.#name, ...from });
  }

  /** @param {State} state */
  #onState(state) {
    clearTimeout(this.#joinTimer);
    if (state.name === "connected") {
      this.#joinTimer = setTimeout(() => this.#connection.suspect("no answer"), ANSWER_TIMEOUT_MS);
    } else if (state.name !== "connecting") {
      this.#failAll();
    }
    this.#handlers.onState(state);
  }

  #failAll() {
    const open = [...this.#open.values()];
    this.#open.clear();
    for (const { reject, timer } of open) {
      clearTimeout(timer);
      reject(new RequestError("lost", "The connection was lost."));
    }
  }

  /** @param {string} text */
  #onText(text) {
    const frame = parseFrame(text, Date.now());
    if (!frame || (frame.room !== null && frame.room !== this.#room)) return;
    if (frame.type === "joined") {
      clearTimeout(this.#joinTimer);
      this.#connection.settled();
    }
    if (frame.type === "bye" && frame.retryAfterMs > 0) this.#connection.paceNext(frame.retryAfterMs);
    this.#handlers.onFrame(frame);
    const asked = this.#open.get(frame.ref);
    if (!asked) return;
    this.#open.delete(frame.ref);
    clearTimeout(asked.timer);
    if (frame.type === "error") asked.reject(new RequestError(frame.code, sentence(frame.detail)));
    else asked.resolve(frame);
  }
}
