// Brings to the room what a person says, and sees to it that it stands there once; see Outbox.

import { Outbox } from "../client/outbox.js";
import { byteLength, FRAME_MAX_BYTES, messageProblem } from "./rules.js";

/** @import { Entry } from "../client/outbox.js" */
/** @import { RequestError } from "../client/session.js" */
/** @import { Ack, Message, Request } from "../client/types.js" */
/** @import { Ours } from "./ours.js" */
/** @import { Room } from "./room.js" */

const REF_ROOM_BYTES = 200; // what else a frame may hold beside what was said

/** @param {{text: string, replyTo: string | null, nonce: string}} said */
const frameOf = ({ text, replyTo, nonce }) =>
  ({ type: "message", message: text, nonce, ...(replyTo ? { reply_to: replyTo } : {}) });

export class Sender {
  outbox = new Outbox();
  #room;
  #ours;
  #me;
  #isLive;
  #request;
  #onChange;

  /**
   * @param {object} options
   * @param {Room} options.room
   * @param {Ours} options.ours
   * @param {() => {name: string, user: string | null}} options.me as the server knows us
   * @param {() => boolean} options.isLive there is a connection, and it is known what has arrived
   * @param {(frame: Request) => Promise<Ack & {id: string}>} options.request
   * @param {() => void} options.onChange
   */
  constructor({ room, ours, me, isLive, request, onChange }) {
    this.#room = room;
    this.#ours = ours;
    this.#me = me;
    this.#isLive = isLive;
    this.#request = request;
    this.#onChange = onChange;
  }

  /**
   * Returns why not, or "".
   * @param {{text: string, replyTo: string | null, maxBytes: number}} what
   */
  say({ text, replyTo, maxBytes }) {
    const problem = messageProblem(text, maxBytes);
    if (problem) return problem;
    const bytes = byteLength(JSON.stringify(frameOf({ text, replyTo, nonce: "" })));
    if (bytes > FRAME_MAX_BYTES - REF_ROOM_BYTES) {
      return "Too long to send once encoded: it holds many control characters.";
    }
    const entry = this.outbox.add({ text, replyTo, nowMs: Date.now() });
    this.#room.clearLine();
    if (this.#isLive()) this.#transmit(entry);
    this.#onChange();
    return "";
  }

  /**
   * A message of the room: returns what we said, if that is it.
   * @param {Message} message
   */
  echo(message) {
    const earlier = this.outbox.get(message.nonce)?.echoId ?? null;
    const entry = this.outbox.echo(message);
    if (!entry) return null;
    if (earlier !== null && earlier !== message.id) this.#room.drop(earlier);
    this.#ours.addMessage(message.id);
    return entry;
  }

  /**
   * We are back; whole: all that was missed has come.
   * @param {boolean} whole
   */
  resume(whole) {
    for (const entry of this.outbox.resume({ nowMs: Date.now(), whole })) this.#transmit(entry);
  }

  /** @param {Entry} entry that has failed */
  retry(entry) {
    this.outbox.retry(entry);
    if (this.#isLive()) this.#transmit(entry);
    this.#onChange();
  }

  /** @param {Entry} entry */
  giveUp(entry) {
    this.outbox.remove(entry.nonce);
    if (entry.echoId !== null) this.#room.drop(entry.echoId);
    this.#onChange();
  }

  /** @param {Entry} entry */
  async #transmit(entry) {
    this.outbox.markSent(entry, Date.now());
    try {
      const ack = await this.#request(frameOf(entry));
      this.outbox.remove(entry.nonce);
      this.#ours.addMessage(ack.id);
      if (entry.echoId !== null && entry.echoId !== ack.id) this.#room.drop(entry.echoId);
      const { text, replyTo, nonce, ts } = entry;
      const { name, user } = this.#me();
      this.#room.acked({ ...ack, ts: ack.ts ?? ts, text, replyTo, username: name, user }, nonce);
    } catch (error) {
      const { code, message } = /** @type {RequestError} */ (error);
      if (code === "lost") return; // it is sent again after coming back
      this.outbox.fail(entry, message);
    }
    this.#onChange();
  }
}
