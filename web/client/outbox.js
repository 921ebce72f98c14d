// What this tab has said and the server has not acknowledged. Pure.
//
// Every entry has a nonce, which the server remembers for five minutes, so an entry whose fate is
// unknown is simply sent again: if it had arrived, the first ack comes back. Beyond those minutes two
// things are still certain: what came back to us did arrive, and what is missing after a resume without
// a hole did not. Only where neither is known does a person have to decide.
//
// States of an entry: waiting (for a connection) -> sent (no answer yet) -> gone with its ack, or failed.
// `echoId`: it came back as this message of the room, and stands there; its ack is still to come.

/** @import { Message } from "./types.js" */

/**
 * @typedef {{
 *   nonce: string, text: string, replyTo: string | null, ts: number, state: "waiting" | "sent" | "failed",
 *   sentAtMs: number, echoId: string | null, reason: string,
 * }} Entry
 */

const NONCE_SAFE_MS = 4 * 60 * 1000;
const UNKNOWN = "The connection was lost, and it may or may not have arrived.";

function newNonce() {
  const words = globalThis.crypto.getRandomValues(new Uint32Array(4)); // randomUUID() needs https
  return Array.from(words, (word) => word.toString(36)).join("-");
}

export class Outbox {
  /** @type {Map<string, Entry>} */
  #entries = new Map(); // by nonce; insertion order is the order of saying

  get size() {
    return this.#entries.size;
  }

  all() {
    return [...this.#entries.values()];
  }

  /** @param {string | null} nonce */
  get(nonce) {
    return nonce === null ? undefined : this.#entries.get(nonce);
  }

  /** @param {{text: string, replyTo?: string | null, nowMs: number}} said */
  add({ text, replyTo = null, nowMs }) {
    /** @type {Entry} */
    const entry = {
      nonce: newNonce(), text, replyTo, ts: nowMs, state: "waiting", sentAtMs: 0, echoId: null, reason: "",
    };
    this.#entries.set(entry.nonce, entry);
    return entry;
  }

  /** @param {string} nonce */
  remove(nonce) {
    this.#entries.delete(nonce);
  }

  /** @param {Entry} entry @param {number} nowMs */
  markSent(entry, nowMs) {
    entry.state = "sent";
    entry.sentAtMs ||= nowMs; // the first time counts: from then on the server may know the nonce
  }

  /**
   * A message of the room: returns the entry that it is, or null. The text must match as well, since
   * a nonce is public once its message is.
   * @param {Message} message
   */
  echo(message) {
    const entry = this.get(message.nonce);
    if (!entry || entry.state === "waiting" || entry.text !== message.text) return null;
    entry.echoId = message.id;
    if (entry.state === "failed") this.remove(entry.nonce); // given up too early
    return entry;
  }

  /** @param {Entry} entry @param {string} reason */
  fail(entry, reason) {
    entry.state = "failed";
    entry.reason = reason;
  }

  /** @param {Entry} entry */
  retry(entry) {
    entry.state = "waiting";
    entry.reason = "";
  }

  /**
   * We are back, and have seen what was missed; whole: without a hole. Returns what is to be sent now.
   * @param {{nowMs: number, whole: boolean}} back
   */
  resume({ nowMs, whole }) {
    for (const entry of this.all()) {
      if (entry.state !== "sent") continue;
      const safe = nowMs - entry.sentAtMs < NONCE_SAFE_MS || (whole && entry.echoId === null);
      if (safe) entry.state = "waiting";
      else if (entry.echoId !== null) this.remove(entry.nonce);
      else this.fail(entry, UNKNOWN);
    }
    return this.all().filter((entry) => entry.state === "waiting");
  }

  // There will be no connection.
  giveUp() {
    for (const entry of this.all()) {
      if (entry.echoId !== null) this.remove(entry.nonce);
      else if (entry.state === "sent") this.fail(entry, UNKNOWN);
      else if (entry.state === "waiting") this.fail(entry, "There is no connection.");
    }
  }
}
