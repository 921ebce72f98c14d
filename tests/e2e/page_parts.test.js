// The parts of the page that need no browser: what is believed of the server, what is known of the room,
// what is sent again.
import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./lib/web.js";

const { parseFrame } = await load("client/frames.js");
const { Room } = await load("model/room.js");
const { Ours } = await load("model/ours.js");
const { Outbox } = await load("client/outbox.js");
const { Pager } = await load("client/pager.js");
const { rowsOf } = await load("model/rows.js");
const { mayWrite } = await load("model/rules.js");
const { People, typingText } = await load("model/people.js");
const { matcher, OlderSearch, snippet } = await load("model/search.js");
const { isFinal, retryDelayMs } = await load("client/connection.js");

const id = (seq) => `epoch000-${seq}`;
const message = (seq, more = {}) => ({
  type: "message", id: id(seq), seq, ts: 1000 * seq, username: "ann", user: null, text: `text ${seq}`, replyTo: null,
  nonce: null, editedMs: 0, reactions: [], ...more,
});
const change = (type, seq, target, more = {}) => ({
  type, id: id(seq), seq, ts: 1000 * seq, target: id(target), username: "bob", text: "", emoji: "", ...more,
});
const joined = (seq, more = {}) =>
  ({ epoch: "epoch000", seq, id: id(seq), recovered: true, replayed: 0, members: 1, ...more });
const seqs = (room) => room.messages.map((m) => m.seq);
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const nobody = { asOf: Number.MAX_SAFE_INTEGER, own: () => false };

/** A room that was entered with these messages. */
function entered(...list) {
  const room = new Room();
  room.joined(joined(list.at(-1) ?? 0, { replayed: list.length }));
  for (const seq of list) room.message(message(seq));
  assert.ok(room.caughtUp());
  return room;
}

// ---- frames

test("frames: how far was read is taken from the id, or is not known", () => {
  const readSeq = (read) => parseFrame(JSON.stringify({ type: "joined", read }), 0).readSeq;
  assert.equal(readSeq("k3f90abc-1052"), 1052);
  for (const none of [undefined, null, 7, "", "k3f90abc", "k3f90abc-", "-", "k-1x", "k-9007199254740993",
    `k-${"1".repeat(70)}`, {}]) assert.equal(readSeq(none), 0, String(none));
});

test("rules: whoever has a right that is not known may try to write", () => {
  const rightOf = (right) => parseFrame(JSON.stringify({ type: "joined", right }), 0).right;
  const writes = { none: false, read: false, write: true, moderate: true, own: true, other: true, undefined: true };
  for (const [right, may] of Object.entries(writes)) assert.equal(mayWrite(rightOf(right)), may, right);
  assert.equal(mayWrite(rightOf(7)), true);
});

test("frames: what lacks something, or is of another kind, is not believed", () => {
  const bad = ["", "x", "1", "null", "[]", "{}", '{"type":1}', '{"type":"toString"}', '{"type":"constructor"}',
    '{"type":"message","id":"a","seq":1,"username":"x"}', '{"type":"message","id":1,"seq":1,"username":"x","message":"y"}',
    '{"type":"message","id":"a","seq":-1,"username":"x","message":"y"}',
    '{"type":"message","id":"a","seq":1.5,"username":"x","message":"y"}',
    `{"type":"message","id":"${"a".repeat(65)}","seq":1,"username":"x","message":"y"}`,
    '{"type":"edit","id":"a","seq":1}', '{"type":"react","id":"a","seq":1,"emoji":""}',
    '{"type":"gap","from":1,"to":2}', '{"type":"typing"}'];
  for (const text of bad) assert.equal(parseFrame(text, 0), null, text);
});

test("frames: a message keeps what is sound and replaces what is not", () => {
  const read = (more) => parseFrame(JSON.stringify({
    type: "message", room: "r", id: "e-1", seq: 1, ts: 5, username: "ann", message: "hi", ...more,
  }), 99);
  assert.deepEqual(read({}), {
    type: "message", room: "r", ref: null, id: "e-1", seq: 1, ts: 5, username: "ann", user: null, text: "hi", replyTo: null,
    nonce: null, editedMs: 0, reactions: [],
  });
  assert.equal(read({ user: "u1" }).user, "u1");
  assert.equal(read({ user: 1 }).user, null);
  assert.equal(read({ ts: 1e300 }).ts, 99);
  assert.equal(read({ ts: "soon" }).ts, 99);
  assert.equal(read({ reply_to: { x: 1 } }).replyTo, null);
  assert.deepEqual(read({ reactions: { "👍": 2, x: 0, y: -1, z: "many", ["w".repeat(40)]: 1 } }).reactions,
    [{ emoji: "👍", count: 2, names: [] }]);
  assert.deepEqual(read({ reactions: [1] }).reactions, []);
});

test("frames: a guest's key is only taken if it can be the name of a subprotocol", () => {
  const keyOf = (guest) => parseFrame(JSON.stringify({ type: "welcome", username: "ann", user: "guest:1", guest }), 0).guestKey;
  assert.equal(keyOf({ id: "guest:1", key: "AZ-az_09" }), "AZ-az_09");
  for (const none of [undefined, null, "x", {}, { key: 1 }, { key: "" }, { key: "a b" }, { key: "a,b" }, { key: "a\n" },
    { key: "x".repeat(201) }]) assert.equal(keyOf(none), "", JSON.stringify(none));
});

test("frames: history is in order, without what is broken; presence in all its forms", () => {
  const page = parseFrame(JSON.stringify({ type: "history", ref: 7, messages: [
    { id: "e-2", seq: 2, username: "a", message: "two" }, null, { id: "e-3" }, { id: "e-1", seq: 1, username: "a", message: "one" },
  ], more: true }), 0);
  assert.deepEqual(page.messages.map((m) => m.text), ["one", "two"]);
  assert.deepEqual([page.ref, page.more], [7, true]);
  const presence = (more) => {
    const { joined: come, left, named, count } = parseFrame(JSON.stringify({ type: "presence", room: "r", ...more }), 0);
    return { come, left, named, count };
  };
  assert.deepEqual(presence({ event: "join", username: "ann", count: 3 }), { come: ["ann"], left: [], named: true, count: 3 });
  assert.deepEqual(presence({ event: "leave", username: "ann", count: 2 }), { come: [], left: ["ann"], named: true, count: 2 });
  assert.deepEqual(presence({ event: "join", username: "b", joined: ["a", "b", 1], left: ["c"], count: 9 }),
    { come: ["a", "b"], left: ["c"], named: true, count: 9 });
  assert.deepEqual(presence({ event: "join", count: 900 }), { come: [], left: [], named: false, count: 900 });
});

// ---- room

test("room: entering is history, and the head is where one resumes", () => {
  const room = new Room();
  room.joined(joined(9, { replayed: 2 }));
  assert.ok(room.entering);
  room.message(message(5));
  assert.equal(room.position, id(5), "a connection lost now goes on from here");
  assert.equal(room.caughtUp(), null);
  room.message(message(7));
  assert.equal(room.caughtUp(), null, "a gap may follow");
  assert.deepEqual(room.caughtUp(true), { again: false, recovered: true, anew: false, missed: 0, gap: false });
  assert.equal(room.position, id(9), "what lies between was no message");
  assert.deepEqual(seqs(room), [5, 7]);
  assert.ok(!room.replaying);
});

test("room: where nothing is kept there is nothing to wait for", () => {
  const room = new Room();
  room.joined(joined(900));
  assert.ok(room.caughtUp());
  assert.equal(room.position, id(900));
});

test("room: what is said first, where nothing ever was, has nothing before it", () => {
  const room = new Room();
  room.joined(joined(0));
  room.caughtUp();
  room.message(message(1));
  assert.ok(room.atStart);
  assert.equal(rowsOf({ room, entries: [], older: "more", loading: new Set() })[0].older, "start");
  room.joined(joined(90, { replayed: 50, recovered: false, epoch: "epoch001" }));
  assert.ok(!room.atStart, "of another log not all is here");
});

test("room: what was announced but does not come ends with the next event, or by force", () => {
  const room = new Room();
  room.joined(joined(9, { replayed: 3 }));
  room.message(message(5));
  assert.equal(room.caughtUp(), null);
  room.message(message(10)); // live already
  assert.ok(room.caughtUp());
  assert.equal(room.position, id(10));
  room.joined(joined(12, { replayed: 2 }));
  assert.equal(room.caughtUp(), null);
  assert.ok(room.caughtUp(true));
  assert.equal(room.position, id(12));
});

test("room: coming back counts what was missed, once", () => {
  const room = entered(1, 2);
  room.joined(joined(5, { replayed: 4 }));
  assert.equal(room.message(message(2), { seen: false }), false, "known already");
  room.message(message(3), { seen: false });
  room.message(message(4), { own: true, seen: false });
  room.change(change("edit", 5, 1, { text: "new" }));
  assert.deepEqual(room.caughtUp(), { again: true, recovered: true, anew: false, missed: 1, gap: false });
  assert.deepEqual(seqs(room), [1, 2, 3, 4]);
  assert.equal(room.get(id(1)).text, "new");
  assert.deepEqual([room.unread, room.lineSeq], [1, 3]);
  room.markSeen();
  assert.deepEqual([room.unread, room.lineSeq], [0, 3], "the line stays to be seen");
});

test("room: not recovered means a new list", () => {
  const room = entered(1, 2);
  room.joined({ ...joined(3, { recovered: false, replayed: 1 }), epoch: "other000", id: "other000-3" });
  assert.deepEqual(seqs(room), []);
  room.message(message(3, { id: "other000-3" }));
  assert.deepEqual(room.caughtUp(), { again: true, recovered: false, anew: true, missed: 1, gap: false });
  assert.equal(room.position, "other000-3");
  assert.ok(room.anew);
});

test("room: it began anew iff the log is another one than was known", () => {
  const anew = (...more) => {
    const room = new Room();
    room.joined(joined(0), ...more);
    return room.anew;
  };
  assert.deepEqual([anew(), anew(""), anew("epoch000"), anew("older000")], [false, false, false, true]);
  const room = entered(1);
  room.joined({ ...joined(9), recovered: false }); // the same log, but too long ago
  assert.equal(room.anew, false);
});

test("room: an ack does not move the position, and its echo is no second message", () => {
  const room = entered(1);
  room.acked({ id: id(3), seq: 3, ts: 3000, text: "mine", username: "me", user: "guest:1", replyTo: null }, "nonce");
  assert.equal(room.position, id(1), "seq 2 may still be on its way");
  room.message(message(2));
  assert.deepEqual(seqs(room), [1, 2, 3]);
  assert.equal(room.message(message(3, { text: "mine" }), { own: true, key: "nonce" }), false);
  assert.deepEqual([seqs(room), room.position], [[1, 2, 3], id(3)]);
  assert.equal(room.get(id(3)).key, "nonce");
  room.trim(2);
  room.acked({ id: id(1), seq: 1, ts: 0, text: "long ago", username: "me", replyTo: null }, "n2");
  assert.deepEqual(seqs(room), [2, 3], "what is older than the list is left to paging");
});

test("room: edits, deletes and reactions replace the message; each event works once", () => {
  const room = entered(1);
  const before = room.get(id(1));
  room.change(change("edit", 2, 1, { text: "new" }));
  assert.notEqual(room.get(id(1)), before);
  assert.deepEqual([room.get(id(1)).text, room.get(id(1)).editedMs], ["new", 2000]);
  room.change(change("react", 3, 1, { emoji: "👍" }));
  room.change(change("react", 3, 1, { emoji: "👍" }));
  room.change(change("react", 4, 1, { emoji: "👍" })); // the same person: still once
  room.change(change("react", 5, 1, { emoji: "👍", username: "cy" }));
  assert.deepEqual(room.get(id(1)).reactions, [{ emoji: "👍", count: 2, names: ["bob", "cy"] }]);
  room.change(change("unreact", 6, 1, { emoji: "👍" }));
  room.change(change("unreact", 7, 1, { emoji: "👍", username: "cy" }));
  assert.deepEqual(room.get(id(1)).reactions, []);
  room.change(change("delete", 8, 1));
  room.change(change("edit", 9, 1, { text: "risen" }));
  assert.deepEqual([room.get(id(1)).deleted, room.get(id(1)).text], [true, ""]);
  assert.equal(room.position, id(9));
  room.change(change("edit", 10, 77, { text: "not loaded" }));
  assert.deepEqual(seqs(room), [1]);
});

test("room: older pages go before; the last one is the start", () => {
  const room = entered(10, 11);
  room.pageBefore(10, { messages: [message(7), message(8)], more: true }, nobody);
  assert.deepEqual([seqs(room), room.atStart], [[7, 8, 10, 11], false]);
  room.pageBefore(7, { messages: [message(1)], more: false }, nobody);
  assert.deepEqual([seqs(room), room.atStart], [[1, 7, 8, 10, 11], true]);
  room.trim(3);
  assert.deepEqual([seqs(room), room.atStart], [[8, 10, 11], false]);
  room.pageBefore(8, { messages: [], more: true }, nobody);
  assert.ok(room.atStart, "an empty page ends it, whatever it claims");
});

test("room: a page is the truth for its range, but for what the stream told after it was asked for", () => {
  const room = entered(5, 6, 7, 8);
  const asOf = room.head;
  room.change(change("edit", 9, 6, { text: "newer than the page" }));
  room.change(change("delete", 10, 3)); // not loaded yet, and in the page as it was before
  room.change(change("edit", 11, 4, { text: "edited on the way" }));
  const page = [3, 4, 6, 8].map((seq) => message(seq, { text: `page ${seq}` }));
  room.pageBefore(12, { messages: page, more: true }, { asOf, own: () => false });
  assert.deepEqual(room.messages.map((m) => [m.seq, m.deleted ? "deleted" : m.text]),
    [[3, "deleted"], [4, "edited on the way"], [6, "newer than the page"], [8, "page 8"]]);
});

test("room: a gap is filled from its beginning and ends when all of it is there", () => {
  const room = entered(1, 2);
  room.joined(joined(2000, { replayed: 1 }));
  room.message(message(3));
  room.gap({ from: 4, to: 2000, next: id(3) });
  assert.equal(room.position, id(3));
  assert.deepEqual(room.caughtUp(), { again: true, recovered: true, anew: false, missed: 1, gap: true });
  room.message(message(2001));
  assert.deepEqual(room.gaps, [{ from: 4, to: 2000, next: id(3) }]);
  room.pageInGap(room.gaps[0], { messages: range(4, 203).map((s) => message(s)), more: true }, nobody);
  assert.deepEqual(room.gaps, [{ from: 204, to: 2000, next: id(203) }]);
  room.pageInGap(room.gaps[0], { messages: [message(204), message(1990), message(2001)], more: false }, nobody);
  assert.deepEqual(room.gaps, []);
  assert.deepEqual(seqs(room).slice(-4), [203, 204, 1990, 2001]);
});

test("room: a page that reaches beyond the gap closes it", () => {
  const room = entered(1);
  room.gap({ from: 2, to: 5, next: id(1) });
  room.message(message(6));
  room.message(message(7));
  room.pageInGap(room.gaps[0], { messages: [message(3), message(6)], more: true }, nobody);
  assert.deepEqual([seqs(room), room.gaps], [[1, 3, 6, 7], []]);
});

test("room: a resume that runs through an old gap shrinks it, a new one takes its place", () => {
  const room = entered(1);
  room.gap({ from: 2, to: 100, next: id(1) });
  room.joined(joined(150, { replayed: 2 }));
  room.message(message(2));
  room.message(message(3));
  assert.deepEqual(room.gaps, [{ from: 4, to: 100, next: id(3) }]);
  room.gap({ from: 4, to: 150, next: id(3) });
  assert.deepEqual(room.gaps, [{ from: 4, to: 150, next: id(3) }]);
});

test("room: an island far back is joined to the rest by a gap", () => {
  const room = entered(100, 101);
  room.pageAround({ messages: [40, 41, 42].map((s) => message(s)), more: true }, nobody);
  assert.deepEqual(room.gaps, [{ from: 43, to: 99, next: id(42) }]);
  room.pageAround({ messages: [60, 61].map((s) => message(s)), more: true }, nobody);
  assert.deepEqual(room.gaps, [{ from: 43, to: 59, next: id(42) }, { from: 62, to: 99, next: id(61) }]);
  room.pageBefore(40, { messages: [message(39)], more: false }, nobody);
  assert.deepEqual([seqs(room), room.atStart], [[39, 40, 41, 42, 60, 61, 100, 101], true]);
  room.trim(3);
  assert.deepEqual([seqs(room), room.gaps], [[61, 100, 101], [{ from: 62, to: 99, next: id(61) }]]);
});

test("room: between messages with seqs far apart nothing has to be missing", () => {
  const room = entered(700, 707);
  room.pageAround({ messages: [686, 693].map((seq) => message(seq)), more: true }, nobody);
  assert.deepEqual(room.gaps, [{ from: 694, to: 699, next: id(693) }], "there may be more");
  room.pageInGap(room.gaps[0], { messages: [message(700)], more: true }, nobody);
  assert.deepEqual([room.gaps, seqs(room)], [[], [686, 693, 700, 707]], "there is not");
});

test("room: a stream that ran through a gap leaves nothing of it, wherever its seqs are", () => {
  const room = entered(7);
  room.gap({ from: 8, to: 30, next: id(7) });
  room.joined(joined(28, { replayed: 2 }));
  room.message(message(14));
  assert.deepEqual(room.gaps, [{ from: 15, to: 30, next: id(14) }]);
  room.message(message(28));
  assert.ok(room.caughtUp());
  room.message(message(35));
  assert.deepEqual([room.gaps, seqs(room)], [[], [7, 14, 28, 35]]);
});

test("room: what is new does not close a gap that it did not run through", () => {
  const room = entered(700, 707);
  room.pageAround({ messages: [message(70)], more: true }, nobody);
  room.message(message(714));
  assert.deepEqual(room.gaps, [{ from: 71, to: 699, next: id(70) }]);
  room.gap({ from: 715, to: 770, next: id(714) });
  room.message(message(777));
  assert.deepEqual(room.gaps.map((gap) => gap.from), [71, 715]);
});

test("room: whatever is lost on the way, the list ends as the server has it", () => {
  let state = 7;
  const random = (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  for (let round = 0; round < 120; round++) {
    const step = round % 2 === 0 ? 1 : 7; // between two seqs
    const log = []; // the server's
    const room = new Room();
    let told = 0; // by the stream
    const speak = () => {
      const seq = step * (log.length + 1);
      const earlier = log.filter((e) => e.type === "message");
      const kind = earlier.length > 0 && random(4) === 0 ? ["edit", "delete"][random(2)] : "message";
      log.push(kind === "message" ? message(seq)
        : change(kind, seq, earlier[random(earlier.length)].seq, { text: `changed ${seq}` }));
    };
    const deliver = (event) => (event.type === "message" ? room.message(event) : room.change(event));
    const pageOf = (from, to) => {
      const now = new Map();
      for (const e of log) {
        if (e.type === "message") now.set(e.id, { ...e });
        else if (e.type === "delete") now.delete(e.target);
        else if (now.has(e.target)) Object.assign(now.get(e.target), { text: e.text, editedMs: e.ts });
      }
      return [...now.values()].filter((m) => m.seq >= from && m.seq <= to);
    };
    const join = (limit) => {
      const since = room.position === null ? null : Number(room.position.split("-")[1]);
      const missed = since === null ? log.slice(-5) : log.slice(since / step);
      room.joined(joined(step * log.length, { replayed: Math.min(missed.length, limit) }));
      missed.slice(0, limit).forEach(deliver);
      if (missed.length > limit) {
        const gap = { from: missed[limit].seq, to: step * log.length, next: missed[limit - 1].id };
        room.gap(gap);
        const known = pageOf(1, gap.from - 1);
        room.pageBefore(gap.from, { messages: known, more: false }, { asOf: room.head, own: () => false });
      }
      assert.ok(room.caughtUp(), "the replay ends");
      told = log.length;
    };
    for (let i = random(8); i > 0; i--) speak();
    join(100);
    for (let n = 0; n < 30; n++) {
      if (random(3) > 0) speak();
      else if (random(2) === 0) join(1 + random(4));
      else while (told < log.length) deliver(log[told++]);
    }
    join(100);
    for (let guard = 0; room.gaps.length > 0 && guard < 1000; guard++) {
      const gap = room.gaps[random(room.gaps.length)];
      const after = Number(gap.next.split("-")[1]);
      const rest = pageOf(after + 1, Infinity);
      const messages = rest.slice(0, 3);
      room.pageInGap(gap, { messages, more: rest.length > 3 }, { asOf: room.head, own: () => false });
    }
    if (!room.atStart && room.oldest) {
      const { seq } = room.oldest;
      room.pageBefore(seq, { messages: pageOf(1, seq - 1), more: false }, { asOf: room.head, own: () => false });
    }
    const shown = room.messages.filter((m) => !m.deleted).map((m) => [m.seq, m.text]);
    const expected = pageOf(1, Infinity).map((m) => [m.seq, m.text]);
    if (room.oldest) assert.deepEqual(shown, expected, `round ${round}`);
  }
});

// ---- outbox

test("outbox: every nonce is its own, an echo needs the same text, an ack ends it", () => {
  const outbox = new Outbox();
  const one = outbox.add({ text: "one", nowMs: 0 });
  const two = outbox.add({ text: "two", nowMs: 0 });
  assert.notEqual(one.nonce, two.nonce);
  assert.ok(one.nonce.length <= 64);
  assert.equal(outbox.echo(message(1, { nonce: one.nonce, text: "one" })), null, "it was not sent yet");
  outbox.markSent(one, 1);
  assert.equal(outbox.echo(message(1, { nonce: one.nonce, text: "forged" })), null);
  assert.equal(outbox.echo(message(1, { nonce: "unknown", text: "one" })), null);
  assert.equal(outbox.echo(message(1, { nonce: one.nonce, text: "one" })), one);
  assert.deepEqual([one.echoId, outbox.size], [id(1), 2], "it waits for its ack");
  outbox.remove(one.nonce);
  assert.equal(outbox.echo(message(2, { nonce: one.nonce, text: "one" })), null);
});

test("outbox: after a resume, what is not there is sent again; what may be there only while the nonce holds", () => {
  const minute = 60000;
  const at = (sentAtMs, { whole, echo = false }) => {
    const outbox = new Outbox();
    const entry = outbox.add({ text: "x", nowMs: 0 });
    outbox.markSent(entry, 1 + sentAtMs);
    if (echo) outbox.echo(message(1, { nonce: entry.nonce, text: "x" }));
    const again = outbox.resume({ nowMs: 1, whole });
    return again.length > 0 ? "again" : outbox.size > 0 ? entry.state : "gone";
  };
  assert.equal(at(-minute, { whole: false }), "again");
  assert.equal(at(-minute, { whole: true, echo: true }), "again", "its ack is still wanted");
  assert.equal(at(-60 * minute, { whole: true }), "again", "a resume without a hole would have brought it");
  assert.equal(at(-60 * minute, { whole: true, echo: true }), "gone");
  assert.equal(at(-60 * minute, { whole: false }), "failed", "only a person can know");
});

test("outbox: without hope of a connection everything is told", () => {
  const outbox = new Outbox();
  const [sent, waiting, echoed] = ["a", "b", "c"].map((text) => outbox.add({ text, nowMs: 0 }));
  outbox.markSent(sent, 1);
  outbox.markSent(echoed, 1);
  outbox.echo(message(1, { nonce: echoed.nonce, text: "c" }));
  outbox.giveUp();
  assert.deepEqual(outbox.all().map((e) => [e.text, e.state]), [["a", "failed"], ["b", "failed"]]);
  outbox.retry(waiting);
  assert.deepEqual(outbox.resume({ nowMs: 2, whole: true }), [waiting]);
});

// ---- pager

/** A pager of a room entered with some of the server's messages, which are `step` apart. */
function pagerOf(room, all) {
  const asked = [];
  const ask = async (query) => {
    asked.push(query);
    const { before, after, around, limit } = query;
    const seqOf = (text) => Number(text.split("-")[1]);
    if (after) {
      const rest = all.filter((seq) => seq > seqOf(after));
      return { messages: rest.slice(0, limit).map((seq) => message(seq)), more: rest.length > limit };
    }
    const end = before ? seqOf(before) : around ? seqOf(around) + 1 : Infinity;
    const rest = all.filter((seq) => seq < end);
    return { messages: rest.slice(-limit).map((seq) => message(seq)), more: rest.length > limit };
  };
  return { asked, pager: new Pager({ room, max: 3000, ask, own: () => false, onChange() {} }) };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

test("pager: a jump to the very message before ours leaves no gap; one further back does", async () => {
  const all = range(1, 100).map((n) => 7 * n);
  const near = entered(693, 700);
  const one = pagerOf(near, all);
  assert.ok(await one.pager.find(id(686)));
  await settled();
  assert.deepEqual([near.gaps, near.messages.length, one.asked.length], [[], 52, 2]);
  const far = entered(693, 700);
  const two = pagerOf(far, all);
  assert.ok(await two.pager.find(id(70)));
  await settled();
  assert.deepEqual(far.gaps, [{ from: 78, to: 692, next: id(77) }], "the first of what is missing tells");
});

test("pager: a gap in which nothing is left goes by itself; one that cannot be asked about stays", async () => {
  const room = entered(7);
  room.gap({ from: 8, to: 1407, next: id(7) });
  room.message(message(1414));
  const { pager } = pagerOf(room, [...range(1, 201).map((n) => 7 * n), 1414]);
  await pager.loadGap({ to: 1407 });
  await settled();
  assert.deepEqual([room.gaps, room.messages.length], [[], 202]);
  room.gap({ from: 1415, to: 1500, next: id(1414) });
  const lost = async () => { throw new Error("lost"); };
  new Pager({ room, max: 3000, ask: lost, own: () => false, onChange() {} }).closeIfEmpty(1500);
  await settled();
  assert.equal(room.gaps.length, 1);
});

// ---- rows

const rows = (room, entries = []) =>
  rowsOf({ room, entries, name: "me", older: "more", loading: new Set(), mine: () => "" });

test("rows: days, the line, gaps and what is not sent yet, in their places, each key once", () => {
  const day = 24 * 3600 * 1000;
  const room = entered(1);
  room.message(message(2, { ts: day * 3 }));
  room.gap({ from: 3, to: 9, next: id(2) });
  room.message(message(10, { ts: 2000 }), { seen: false }); // a clock that stepped back
  const outbox = new Outbox();
  outbox.add({ text: "on its way", nowMs: 2500 });
  const list = rows(room, outbox.all());
  assert.deepEqual(list.map((r) => r.kind),
    ["top", "day", "message", "day", "message", "gap", "day", "unread", "message", "message"]);
  assert.equal(new Set(list.map((r) => r.key)).size, list.length);
  assert.deepEqual([list.at(-1).state, list.at(-1).message.text], ["waiting", "on its way"]);
});

test("rows: a message keeps its key and its place from saying it to its ack", () => {
  const room = entered(1);
  const outbox = new Outbox();
  const entry = outbox.add({ text: "mine", nowMs: 1500 });
  const before = rows(room, outbox.all()).at(-1);
  assert.equal(rows(room, outbox.all()).at(-1).message, before.message, "nothing to redraw");
  outbox.markSent(entry, 1);
  outbox.echo(message(2, { nonce: entry.nonce, text: "mine" }));
  room.message(message(2, { text: "mine" }), { own: true, key: entry.nonce });
  const echoed = rows(room, outbox.all());
  assert.deepEqual([echoed.at(-1).key, echoed.at(-1).state, echoed.length], [before.key, "sent", 4]);
  outbox.remove(entry.nonce);
  assert.deepEqual([rows(room).at(-1).key, rows(room).at(-1).state], [before.key, ""]);
});

test("rows: two of one name do not stand as one", () => {
  const room = entered();
  for (const [seq, user] of [[1, "guest:a"], [2, "guest:a"], [3, "guest:b"], [4, null]]) room.message(message(seq, { user }));
  assert.deepEqual(rows(room).flatMap((r) => (r.kind === "message" ? [r.start] : [])), [true, false, true, true]);
});

test("ours: by the user where there is one, else by what is remembered", () => {
  globalThis.addEventListener ??= () => {}; // a browser's
  const ours = new Ours(() => {});
  const me = { name: "ann", user: "guest:a" };
  const own = (more) => ours.isOwn(message(1, more), me);
  assert.deepEqual([own({ user: "guest:a" }), own({ user: "guest:a", username: "anna" }), own({ user: "guest:b" }), own({})],
    [true, true, false, false]);
  assert.equal(ours.isOwn(message(1), { name: "ann", user: null }), false, "no user is nobody's");
});

test("rows: a reply shows what it answers as that is now", () => {
  const room = entered(1);
  room.message(message(2, { replyTo: id(1) }));
  room.message(message(3, { replyTo: id(99) }));
  assert.deepEqual(rows(room).slice(-2).map((r) => r.quote?.text ?? null), ["text 1", null]);
  room.change(change("edit", 4, 1, { text: "better" }));
  assert.equal(rows(room).at(-2).quote.text, "better");
});

// ---- people

test("people: names are counted, the count is the server's, and a mismatch is noticed", () => {
  const people = new People();
  people.replace({ count: 3, names: ["ann", "bob", "ann"] });
  assert.deepEqual(people.list(), [{ name: "ann", connections: 2 }, { name: "bob", connections: 1 }]);
  people.presence({ joined: [], left: ["ann"], named: true, count: 2 });
  assert.deepEqual([people.list().length, people.count, people.stale], [2, 2, false]);
  people.presence({ joined: ["cy"], left: ["ann", "nobody"], named: true, count: 2 });
  assert.deepEqual(people.list().map((p) => p.name), ["bob", "cy"]);
  people.presence({ joined: [], left: [], named: false, count: 700 });
  assert.deepEqual([people.count, people.stale], [700, true]);
});

test("people: typing ends by itself, or with whoever leaves", () => {
  const people = new People();
  people.typing({ username: "ann", on: true }, 0);
  people.typing({ username: "bob", on: true }, 1000);
  assert.deepEqual(people.typists(2000), ["ann", "bob"]);
  assert.deepEqual(people.typists(6500), ["bob"]);
  people.presence({ joined: [], left: ["bob"], named: true, count: 1 });
  assert.deepEqual(people.typists(2000), ["ann"]);
  people.typing({ username: "ann", on: false }, 2000);
  assert.equal(typingText(people.typists(2000)), "");
  assert.equal(typingText(["a"]), "a is typing…");
  assert.equal(typingText(["a", "b", "c"]), "Several people are typing…");
});

// ---- search

test("search: all words, in any order and case, none of them a pattern", () => {
  assert.equal(matcher("  "), null);
  const match = matcher("TEA (green");
  assert.ok(match.test("some (Green tea)"));
  assert.ok(!match.test("green tea"));
  assert.deepEqual(matcher("a.c").ranges("abc a.c A.C"), [[4, 7], [8, 11]]);
  assert.ok(matcher("É").test("café"));
  const { text, ranges } = snippet(`${"x".repeat(300)} needle ${"😀".repeat(100)}`, matcher("needle"));
  assert.ok(text.length <= 165 && text.startsWith("…") && text.endsWith("…"));
  assert.equal(text.slice(...ranges[0]), "needle");
  assert.ok(!/[\ud800-\udbff](?![\udc00-\udfff])/.test(text), "no half of a character");
});

test("search: older pages until there are no more, or somebody stops it", async () => {
  const asked = [];
  const pages = { [id(500)]: range(300, 499), [id(300)]: range(100, 299), [id(100)]: range(1, 99) };
  const fetch = async ({ before }) => {
    asked.push(before);
    const messages = pages[before].map((s) => message(s, { text: s % 100 === 0 ? "needle" : "hay" }));
    return { messages, more: before !== id(100) };
  };
  const search = new OlderSearch({ match: matcher("needle"), before: id(500), fetch, onChange() {} });
  await search.run();
  assert.deepEqual(search.matches.map((m) => m.seq), [400, 300, 200, 100]);
  assert.deepEqual([asked.length, search.ended, search.running], [3, true, false]);
  const other = new OlderSearch({ match: matcher("needle"), before: id(500), fetch, onChange() {
    if (other.looked > 0) other.stop();
  } });
  await other.run();
  assert.deepEqual([other.matches.map((m) => m.seq), other.ended], [[400, 300], false]);
  const broken = new OlderSearch({ match: matcher("x"), before: id(1), onChange() {}, fetch: async () => {
    throw new Error("no line");
  } });
  await broken.run();
  assert.deepEqual([broken.failed, broken.running], ["no line", false]);
});

// ---- connection

test("connection: delays grow, are spread by chance, and never vanish", () => {
  for (const code of [1006, 1012, 1013, 4100, 4202]) {
    for (let attempt = 0; attempt < 40; attempt++) {
      const least = retryDelayMs(code, attempt, () => 0);
      const most = retryDelayMs(code, attempt, () => 1);
      assert.ok(least >= 100 && least < most && most <= 60000, `${code} ${attempt}: ${least}..${most}`);
      assert.ok(most >= retryDelayMs(code, Math.max(0, attempt - 1), () => 1));
    }
  }
  assert.ok(isFinal(4003) && !isFinal(4100) && !isFinal(1012));
});
