// The conversation as a list of rows, top to bottom: what the log shows, with nothing about how. Pure.
//
// A row is {key, kind, ...facts}. Two rows with the same key are the same thing on the screen, so a
// message keeps its key from the moment it was said here until it has an id; and a row is redrawn iff one
// of its facts is no longer the same value. So every fact is a primitive or an object of Room or Outbox
// that is replaced when it changes; what mutates (an entry of the outbox) is spelled out.

/** @import { Entry } from "../client/outbox.js" */
/** @import { Shown } from "./messages.js" */
/** @import { Room } from "./room.js" */

/**
 * mine: the emoji that we reacted with, one a line; quote: what is answered, null: it is not loaded.
 * @typedef {{
 *   key: string, kind: "message", message: Said, start: boolean, quote: Shown | null, mine: string,
 *   state: Entry["state"] | "", reason: string, nonce: string | null,
 * }} MessageRow
 */
/** @typedef {Omit<Shown, "id"> & {id: string | null}} Said a message that may have no id yet */
/** @typedef {{key: string, kind: "gap", to: number, next: string, loading: boolean}} GapRow */
/** @typedef {{key: string, kind: "top", older: "start" | "anew" | "more" | "loading" | "failed" | "full"}} TopRow */
/** @typedef {{key: string, kind: "day", ts: number}} DayRow */
/** @typedef {MessageRow | GapRow | TopRow | DayRow | {key: string, kind: "unread"}} Row */

const GROUP_MS = 5 * 60 * 1000;

/**
 * Two moments have the same iff they fall on the same day here.
 * @param {number} ms
 */
export const dayOf = (ms) => new Date(ms).toDateString();

/** @param {Row | undefined} above @param {Said} m */
const continues = (above, m) =>
  above?.kind === "message" && !above.message.deleted && above.message.username === m.username &&
  above.message.own === m.own && (m.own || above.message.user === m.user) &&
  Math.abs(m.ts - above.message.ts) < GROUP_MS;

// An entry that is no message of the room yet, in the shape of one; always the same object for it.
/** @type {WeakMap<Entry, Said>} */
const shapes = new WeakMap();

/** @param {Entry} entry @param {string} name */
function asMessage(entry, name) {
  const shape = shapes.get(entry) ?? {
    id: null, seq: Infinity, ts: entry.ts, username: name, user: null, text: entry.text, replyTo: entry.replyTo,
    editedMs: 0, reactions: [], own: true, key: entry.nonce, deleted: false, changedSeq: 0,
  };
  shapes.set(entry, shape);
  return shape;
}

/**
 * @param {object} facts
 * @param {Room} facts.room
 * @param {Entry[]} facts.entries of the outbox
 * @param {string} facts.name
 * @param {"more" | "loading" | "failed" | "full"} facts.older of the pager
 * @param {Set<number>} facts.loading of the pager
 * @param {(message: Said) => string} facts.mine the emoji that we reacted with, one a line
 */
export function rowsOf({ room, entries, name, older, loading, mine }) {
  /** @type {Row[]} */
  const rows = [];
  const open = new Map(entries.map((entry) => [entry.nonce, entry]));
  const gaps = [...room.gaps];
  let day = "";
  let lineDrawn = room.lineSeq === null;

  /** @param {number} seq */
  const pushGaps = (seq) => {
    while (gaps.length > 0 && gaps[0].from < seq) {
      const { to, next } = gaps[0];
      rows.push({ key: `gap ${to}`, kind: "gap", to, next, loading: loading.has(to) });
      gaps.shift();
    }
  };
  /** @param {Said} message @param {Entry | undefined} entry */
  const pushMessage = (message, entry) => {
    const key = dayOf(message.ts);
    if (key !== day) {
      day = key;
      rows.push({ key: `day ${key}`, kind: "day", ts: message.ts });
    }
    if (!lineDrawn && message.seq >= (room.lineSeq ?? 0)) {
      lineDrawn = true;
      rows.push({ key: "unread", kind: "unread" });
    }
    rows.push({
      key: `message ${message.key}`, kind: "message", message, start: !continues(rows.at(-1), message),
      quote: message.replyTo ? room.get(message.replyTo) ?? null : null,
      mine: message.reactions.length > 0 ? mine(message) : "",
      state: entry?.state ?? "", reason: entry?.reason ?? "", nonce: entry?.nonce ?? null,
    });
  };

  const start = room.anew ? "anew" : "start";
  if (room.messages.length > 0) rows.push({ key: "top", kind: "top", older: room.atStart ? start : older });
  for (const message of room.messages) {
    pushGaps(message.seq);
    pushMessage(message, open.get(message.key));
    open.delete(message.key);
  }
  pushGaps(Infinity);
  for (const entry of open.values()) pushMessage(asMessage(entry, name), entry);
  return uniqueKeys(rows);
}

/**
 * Clocks step back, so a day may come twice.
 * @param {Row[]} rows
 */
function uniqueKeys(rows) {
  const seen = new Set();
  for (const row of rows) {
    for (let n = 2; seen.has(row.key); n++) row.key = `${row.key} ${n}`;
    seen.add(row.key);
  }
  return rows;
}
