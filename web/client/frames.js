// What the server says, made safe to believe. Pure.
//
// Everything a socket delivers is hostile until its shape is proved, and what other people wrote passes
// through the server unread. After parseFrame() a frame has only known keys of known types; the rest of
// the page doubts nothing any more. A frame of an unknown type, or one that lacks what it needs, is
// null: a later server may say more, and unknown is no reason to break (protocol section 5).

const ID_MAX_CHARS = 64;
const EMOJI_MAX_CHARS = 32;
const REACTIONS_MAX = 64;
const PAGE_MAX = 200;
const NAMES_MAX = 200;
const TIME_MAX_MS = 8e15; // dates end at 8.64e15; beyond, every formatter throws

/** @import { Frame, Message } from "./types.js" */
/** @typedef {Record<string, unknown>} Unproved */

/** @param {unknown} value @returns {value is string} */
const isText = (value) => typeof value === "string";
/** @param {unknown} value @returns {value is number} */
const isCount = (value) => Number.isSafeInteger(value) && Number(value) >= 0;
/** @param {unknown} value @returns {value is string} */
const isId = (value) => isText(value) && value !== "" && value.length <= ID_MAX_CHARS;
// An id holds an epoch and the seq. It is opaque to clients, but this one comes with its server.
/** @param {unknown} id */
const seqOf = (id) => (isId(id) ? countOr(Number(/-(\d+)$/.exec(id)?.[1]), 0) : 0);
/** @param {unknown} value @returns {value is string} */
const isEmoji = (value) => isText(value) && value !== "" && value.length <= EMOJI_MAX_CHARS;
/** @param {unknown} value @returns {value is number} */
const isTime = (value) => Number.isFinite(value) && Math.abs(Number(value)) < TIME_MAX_MS;
/** @type {<T>(value: unknown, other: T) => string | T} */
const textOr = (value, other) => (isText(value) ? value : other);
/** @type {<T>(value: unknown, other: T) => number | T} */
const countOr = (value, other) => (isCount(value) ? value : other);
/** @type {<T>(value: unknown, other: T) => number | T} */
const timeOr = (value, other) => (isTime(value) ? value : other);
/** @type {(value: unknown, max: number) => unknown[]} */
const list = (value, max) => (Array.isArray(value) ? value.slice(0, max) : []);
/** @param {unknown} value @returns {value is Unproved} */
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * A guest's key is handed on as the name of a subprotocol.
 * @param {unknown} value
 * @returns {value is string}
 */
export const isGuestKey = (value) => isText(value) && /^[\w-]{1,200}$/.test(value);

/** @param {unknown} value */
function reactionsOf(value) {
  if (!isObject(value)) return [];
  const pairs = Object.entries(value).slice(0, REACTIONS_MAX);
  return pairs.flatMap(([emoji, count]) =>
    (isEmoji(emoji) && isCount(count) && count > 0 ? [{ emoji, count, names: [] }] : []));
}

/** @param {Unproved} f @param {number} nowMs @returns {Message | null} */
function message(f, nowMs) {
  if (!isId(f.id) || !isCount(f.seq) || !isText(f.message) || !isText(f.username)) return null;
  return {
    id: f.id, seq: f.seq, ts: timeOr(f.ts, nowMs), text: f.message,
    username: f.username,
    user: textOr(f.user, null),
    replyTo: isId(f.reply_to) ? f.reply_to : null,
    nonce: textOr(f.nonce, null),
    editedMs: timeOr(f.edited, 0),
    reactions: reactionsOf(f.reactions),
  };
}

/** @param {Unproved} f @param {number} nowMs */
function change(f, nowMs) {
  if (!isId(f.id) || !isCount(f.seq)) return null;
  const lacks = f.type === "edit" ? !isText(f.message) : f.type !== "delete" && !isEmoji(f.emoji);
  if (lacks) return null;
  return {
    target: f.id, id: isId(f.event_id) ? f.event_id : null, seq: f.seq, ts: timeOr(f.ts, nowMs),
    username: textOr(f.username, ""), text: textOr(f.message, ""), emoji: textOr(f.emoji, ""),
  };
}

/** @param {Unproved} f */
function presence(f) {
  /** @param {unknown} value */
  const names = (value) => list(value, NAMES_MAX).filter(isText);
  const one = isText(f.username) && f.username !== "" ? [f.username] : [];
  const many = Array.isArray(f.joined) || Array.isArray(f.left);
  return {
    joined: many ? names(f.joined) : f.event === "join" ? one : [],
    left: many ? names(f.left) : f.event === "leave" ? one : [],
    named: many || one.length > 0,
    count: countOr(f.count, 0),
  };
}

/** @type {Record<string, (f: Unproved, nowMs: number) => object | null>} */
const readers = {
  message,
  edit: change,
  delete: change,
  react: change,
  unreact: change,
  presence,
  welcome: (f) => ({
    username: textOr(f.username, ""), user: textOr(f.user, null),
    guestKey: isObject(f.guest) && isGuestKey(f.guest.key) ? f.guest.key : "",
    messageMaxBytes: isObject(f.limits) ? countOr(f.limits.message_bytes, null) : null,
  }),
  joined: (f) => ({
    epoch: textOr(f.epoch, ""), seq: countOr(f.seq, 0), id: isId(f.id) ? f.id : null,
    recovered: f.recovered === true, replayed: countOr(f.replayed, 0), members: countOr(f.members, 0),
    right: textOr(f.right, ""), readSeq: seqOf(f.read),
  }),
  left: () => ({}),
  ack: (f) => ({
    id: isId(f.id) ? f.id : null, seq: countOr(f.seq, 0), ts: isTime(f.ts) ? f.ts : null, dup: f.dup === true,
  }),
  error: (f) => ({
    code: textOr(f.code, ""), detail: textOr(f.detail, ""), temporary: f.temporary === true,
    retryAfterMs: countOr(f.retry_after_ms, 0),
  }),
  history: (f, nowMs) => ({
    messages: list(f.messages, PAGE_MAX).filter(isObject).flatMap((m) => message(m, nowMs) ?? [])
      .sort((a, b) => a.seq - b.seq),
    more: f.more === true,
  }),
  members: (f) => ({
    count: countOr(f.count, 0),
    names: list(f.members, NAMES_MAX).filter(isObject).map((m) => m.username).filter(isText),
  }),
  typing: (f) => (isText(f.username) ? { username: f.username, on: f.on !== false } : null),
  gap: ({ from, to, next }) => (isCount(from) && isCount(to) && isId(next) ? { from, to, next } : null),
  notice: (f) => ({ code: textOr(f.code, ""), detail: textOr(f.detail, "") }),
  bye: (f) => ({ code: countOr(f.code, 0), retryAfterMs: countOr(f.retry_after_ms, 0) }),
};

/**
 * One text frame; room and ref are null where they are absent.
 * @param {string} text
 * @param {number} nowMs
 * @returns {Frame | null}
 */
export function parseFrame(text, nowMs) {
  let f;
  try {
    f = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isObject(f) || !isText(f.type) || !Object.hasOwn(readers, f.type)) return null;
  const read = readers[f.type](f, nowMs);
  const frame = { type: f.type, room: textOr(f.room, null), ref: isCount(f.ref) ? f.ref : null, ...read };
  return read && /** @type {Frame} */ (frame);
}
