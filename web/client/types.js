// What the server says, as it is once frames.js has proved its shape. Types only.

/** @typedef {{emoji: string, count: number, names: string[]}} Reaction */

/**
 * user: a stable id of who has said it, where there is one.
 * @typedef {{
 *   id: string, seq: number, ts: number, username: string, user: string | null, text: string, replyTo: string | null,
 *   nonce: string | null, editedMs: number, reactions: Reaction[],
 * }} Message
 */

/**
 * user: who we are; guestKey: with which we are that again, "": no new one.
 * @typedef {{username: string, user: string | null, guestKey: string, messageMaxBytes: number | null}} Welcome
 */

/** @typedef {{messages: Message[], more: boolean}} Page of history, oldest first */

/** @typedef {{from: number, to: number, next: string}} Gap in the stream: history after `next` brings from..to */

/**
 * `target` is changed by the event `id`.
 * @typedef {{
 *   type: "edit" | "delete" | "react" | "unreact", target: string, id: string | null, seq: number, ts: number,
 *   username: string, text: string, emoji: string,
 * }} Change
 */

/** @typedef {{joined: string[], left: string[], named: boolean, count: number}} Presence who came, who went */

/** @typedef {{username: string, on: boolean}} Typing */

/** @typedef {{count: number, names: string[]}} Members */

/**
 * @typedef {{
 *   epoch: string, seq: number, id: string | null, recovered: boolean, replayed: number, members: number,
 *   right: string, readSeq: number,
 * }} Joined
 */

/** @typedef {{id: string | null, seq: number, ts: number | null, dup: boolean}} Ack */

/**
 * @typedef {{room: string | null, ref: number | null} & (
 *   {type: "welcome"} & Welcome |
 *   {type: "joined"} & Joined | {type: "left"} | {type: "message"} & Message | Change | {type: "gap"} & Gap |
 *   {type: "presence"} & Presence | {type: "typing"} & Typing | {type: "members"} & Members |
 *   {type: "history"} & Page | {type: "ack"} & Ack |
 *   {type: "error", code: string, detail: string, temporary: boolean, retryAfterMs: number} |
 *   {type: "notice", code: string, detail: string} | {type: "bye", code: number, retryAfterMs: number}
 * )} Frame
 */

/** @typedef {{type: string, [key: string]: unknown}} Request what is asked; its answer carries the same `ref` */

export {};
