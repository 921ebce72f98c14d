// Up to where a person has read a room: what tells news from what was seen, here and wherever else the server
// knows that it is the same one.

import { readMarks } from "./memory.js";

/** @import { Joined } from "../client/types.js" */
/** @import { Room } from "./room.js" */

const TELL_PAUSE_MS = 2000; // between two tellings, and more for each who is here:
const TELL_PAUSE_EACH_MS = 20; // a thousand who read make 50 writes a second, not 500

export class ReadMarker {
  #room;
  #roomName;
  #mark; // as of entering, or as the server knows it
  #rememberedSeq = 0;
  #toldSeq = 0; // as the server knows
  #tellNextMs = 0;

  /** @param {{room: Room, roomName: string, name: string}} options */
  constructor({ room, roomName, name }) {
    this.#room = room;
    this.#roomName = roomName;
    this.#mark = readMarks.get({ room: roomName, name });
  }

  // Of the log that was read, if it is known.
  get epoch() {
    return this.#mark?.epoch;
  }

  /** @param {Joined} frame */
  joined({ epoch, readSeq }) {
    const known = this.#mark?.epoch === epoch ? this.#mark.seq : 0;
    if (readSeq > known) this.#mark = { epoch, seq: readSeq };
    this.#toldSeq = readSeq;
  }

  /**
   * What is here on entering was seen before, if nothing is known of how far this person was here.
   * @param {number} seq
   * @param {boolean} looking at the newest messages
   */
  isSeen(seq, looking) {
    const mark = this.#mark?.epoch === this.#room.epoch ? this.#mark : null;
    if (mark !== null && seq <= mark.seq) return true;
    if (this.#room.entering) return mark === null;
    return looking && !this.#room.replaying;
  }

  /**
   * For the next visit.
   * @param {string} name
   */
  remember(name) {
    const { unread, head, epoch } = this.#room;
    // A room that began anew and is empty is remembered as what it was, so that a reload says so again.
    if (unread > 0 || head === 0 || head === this.#rememberedSeq || this.#room.replaying) return;
    this.#rememberedSeq = head;
    readMarks.set({ room: this.#roomName, name }, { epoch, seq: head });
  }

  /**
   * Whether the server is to be told now. What is told in vain is told again after the next message, or after
   * coming back.
   * @param {number} count of those who are here
   */
  isToTell(count) {
    const { unread, head } = this.#room;
    if (unread > 0 || head <= this.#toldSeq || Date.now() < this.#tellNextMs) return false;
    this.#toldSeq = head;
    this.#tellNextMs = Date.now() + TELL_PAUSE_MS + TELL_PAUSE_EACH_MS * count;
    return true;
  }
}
