// The conversation as a list of rows, top to bottom: what the log shows, with nothing about how. Pure.
//
// A row is {key, kind, ...facts}. Two rows with the same key are the same thing on the screen, so a
// message keeps its key from the moment it was said here until it has an id; and a row is redrawn iff one
// of its facts is no longer the same value. So every fact is a primitive or an object of Room or Outbox
// that is replaced when it changes; what mutates (an entry of the outbox) is spelled out.

import { dayKey } from './text.js';

const GROUP_MS = 5 * 60 * 1000;

const continues = (above, m) =>
  above?.kind === 'message' && !above.message.deleted && above.message.username === m.username &&
  above.message.own === m.own && Math.abs(m.ts - above.message.ts) < GROUP_MS;

// An entry that is no message of the room yet, in the shape of one; always the same object for it.
const shapes = new WeakMap();
function asMessage(entry, name) {
  if (!shapes.has(entry)) {
    shapes.set(entry, {
      id: null, seq: Infinity, ts: entry.ts, username: name, text: entry.text, replyTo: entry.replyTo, editedMs: 0,
      reactions: [], own: true, key: entry.nonce, deleted: false,
    });
  }
  return shapes.get(entry);
}

// older: 'more' | 'loading' | 'failed' | 'full': how it stands with what lies before the first message.
// loading: the `to` of gaps that are being filled.
// mine(message): the emoji that we reacted with, one a line.
export function rowsOf({ room, entries, name, older, loading, mine }) {
  const rows = [];
  const open = new Map(entries.map((entry) => [entry.nonce, entry]));
  const gaps = [...room.gaps];
  let day = '';
  let lineDrawn = room.lineSeq === null;

  const pushGaps = (seq) => {
    while (gaps.length > 0 && gaps[0].from < seq) {
      const { from, to, next } = gaps.shift();
      rows.push({ key: `gap ${to}`, kind: 'gap', from, to, next, loading: loading.has(to) });
    }
  };
  const pushMessage = (message, entry) => {
    const key = dayKey(message.ts);
    if (key !== day) {
      day = key;
      rows.push({ key: `day ${key}`, kind: 'day', ts: message.ts });
    }
    if (!lineDrawn && message.seq >= room.lineSeq) {
      lineDrawn = true;
      rows.push({ key: 'unread', kind: 'unread' });
    }
    rows.push({
      key: `message ${message.key}`, kind: 'message', message, start: !continues(rows.at(-1), message),
      quote: message.replyTo ? room.get(message.replyTo) ?? null : null,
      mine: message.reactions.length > 0 ? mine(message) : '',
      state: entry?.state ?? '', reason: entry?.reason ?? '', nonce: entry?.nonce ?? null,
    });
  };

  const start = room.anew ? 'anew' : 'start';
  if (room.messages.length > 0) rows.push({ key: 'top', kind: 'top', older: room.atStart ? start : older });
  for (const message of room.messages) {
    pushGaps(message.seq);
    pushMessage(message, open.get(message.key));
    open.delete(message.key);
  }
  pushGaps(Infinity);
  for (const entry of open.values()) pushMessage(asMessage(entry, name), entry);
  return uniqueKeys(rows);
}

// Clocks step back, so a day may come twice.
function uniqueKeys(rows) {
  const seen = new Set();
  for (const row of rows) {
    for (let n = 2; seen.has(row.key); n++) row.key = `${row.key} ${n}`;
    seen.add(row.key);
  }
  return rows;
}
