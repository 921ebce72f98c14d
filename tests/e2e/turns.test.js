// Who sends a lot at once gets it done a little at a time: others have their turn in between, and
// nothing of it is forgotten. The server stands still (SIGSTOP) while everything is written, so that
// it finds all of it in one turn, whatever the machine does meanwhile.
import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
import zlib from "node:zlib";
import { HttpConnection } from "./lib/http.js";
import { Rich } from "./lib/chat.js";
import { Raw, RICH, TEXT, text } from "./lib/raw.js";
import { withServer } from "./lib/server.js";
import { count, limit, ms, pause, until, within } from "./lib/wait.js";

const ONE = ["--workers", "1"];
const GET = (path) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
const SENDERS = 64;
const TURN = 32; // frames of one connection; a request is as four of them
const OFFERS = 1024; // members that are told of presence
const TURNS = 2; // it may have begun before it stands still

const written = (socket, bytes) =>
  within(ms(10000), new Promise((resolve, reject) => socket.write(bytes, (error) => (error ? reject(error) : resolve(true)))),
    "place in a socket for what is written");

/**
 * What the server has done by the time it answers someone who asks after all `senders` have sent, and
 * who has asked so often `before`.
 */
async function askBehind(server, senders, bytes, before = 0) {
  const other = await HttpConnection.open(server.port);
  assert.equal((await other.ask("GET", "/healthz")).status, 200, "all of them are accepted");
  try {
    await server.freeze();
    for (const socket of senders) await written(socket, bytes);
    for (let i = 0; i < before; i++) other.write(GET("/healthz"));
    other.write(GET("/metrics"));
    await written(other.socket, "");
  } finally {
    server.kill("SIGCONT");
  }
  for (let i = 0; i < before; i++) await other.answer(ms(20000));
  const { text: metrics } = await other.answer(ms(20000));
  other.end();
  return (name) => Number(metrics.split("\n").find((line) => line.startsWith(`${name} `)).split(" ")[1]);
}

/** A connection whose answers are only counted. */
async function counter(port, localAddress = "127.0.0.1") {
  const socket = net.connect({ port, host: "127.0.0.1", localAddress, noDelay: true, allowHalfOpen: true });
  const self = { socket, answers: 0 };
  let rest = "";
  socket.on("data", (chunk) => {
    const parts = (rest + chunk.toString("latin1")).split("HTTP/1.1 200 OK\r\n");
    self.answers += parts.length - 1;
    rest = parts.at(-1).slice(-20);
  });
  socket.on("error", () => {});
  self.ended = new Promise((resolve) => socket.once("end", resolve));
  await within(ms(5000), new Promise((resolve) => socket.once("connect", resolve)), "connection");
  return self;
}

test("pipelined requests: another is answered in between, and then all of them, up to the end of the client", limit(60),
  withServer(ONE, async (server) => {
    const each = count(500, 200);
    const senders = [];
    for (let i = 0; i < SENDERS; i++) senders.push(await counter(server.port));
    const done = await askBehind(server, senders.map((sender) => sender.socket), GET("/healthz").repeat(each));
    const answered = done('parlor_http_requests_total{status="200"}');
    assert.ok(answered <= TURNS * SENDERS * (TURN / 4), `${answered} of ${SENDERS * each} were answered before`);
    for (const sender of senders) sender.socket.end(); // lies behind what the server has yet to do
    for (const sender of senders) {
      await within(ms(20000), sender.ended, "the end of the answers");
      assert.equal(sender.answers, each);
      sender.socket.destroy();
    }
  }));

test("who has many connections waits behind them, others do not", limit(60), withServer(ONE, async (server) => {
  const senders = [];
  for (let i = 0; i < SENDERS; i++) senders.push(await counter(server.port, "127.0.0.2"));
  const done = await askBehind(server, senders.map(({ socket }) => socket), GET("/healthz").repeat(200), 80);
  const answered = done('parlor_http_requests_total{status="200"}');
  // The other's ten turns; in each of them at most 16 connections have theirs.
  assert.ok(answered <= (TURNS * SENDERS + 12 * 16) * (TURN / 4), `${answered} were answered before`);
  for (const { socket } of senders) socket.destroy();
}));

test("what unfolds to a lot counts as a lot: of one client at most a MiB or so is handled in a turn", limit(60),
  withServer([...ONE, "--rate", "none"], async (server) => {
    const each = 8;
    const frame = text(zlib.deflateRawSync(JSON.stringify({ message: "x", more: "0".repeat(60000) }),
      { finishFlush: zlib.constants.Z_SYNC_FLUSH }).subarray(0, -4), { rsv: 4 });
    const senders = [];
    for (let i = 0; i < SENDERS; i++)
      senders.push(await Raw.open(server.port, `/ws/chat/room-${i}/`, { extensions: "permessage-deflate", localAddress: "127.0.0.2" }));
    const done = await askBehind(server, senders.map(({ socket }) => socket), Buffer.concat(Array(each).fill(frame)));
    const received = done("parlor_messages_received_total");
    assert.ok(received <= TURNS * 24, `${received} of ${SENDERS * each} were handled before`);
    for (const sender of senders) { // and all of it in the end
      for (let i = 0; i < each; i++) await sender.next(ms(20000));
      await sender.closeClean();
    }
  }));

test("messages: the same, and each room has its own in order", limit(60),
  withServer([...ONE, "--rate", "none"], async (server) => {
    const each = count(300, 150);
    const senders = [];
    for (let i = 0; i < SENDERS; i++) senders.push(await Raw.open(server.port, `/ws/chat/room-${i}/?username=ann`));
    const all = Buffer.concat(Array.from({ length: each }, (_, i) => text(JSON.stringify({ message: `${i}` }))));
    const done = await askBehind(server, senders.map((sender) => sender.socket), all);
    const received = done("parlor_messages_received_total");
    assert.ok(received <= TURNS * SENDERS * TURN, `${received} of ${SENDERS * each} were accepted before`);
    for (const sender of senders) {
      for (let i = 0; i < each; i++)
        await sender.expectMessage(TEXT, JSON.stringify({ message: `${i}`, username: "ann" }));
      await sender.closeClean();
    }
  }));

/** Members who are in all of the rooms, and for each room one who has it as home; all is told of them. */
async function manyRooms(server, size) {
  const rooms = Array.from({ length: 90 }, (_, i) => `room-${i}-`.padEnd(100, "x"));
  const members = await Promise.all(Array.from({ length: size }, () => Rich.join(server)));
  for (const room of rooms) await Promise.all(members.map((one) => one.get("joined", { type: "join", room })));
  const leavers = [];
  for (const room of rooms) leavers.push(await Raw.open(server.port, `/ws/chat/${room}/`, { headers: RICH }));
  const counts = (one) => one.frames.filter((f) => f.type === "presence" && f.room !== "lobby").map((f) => f.count);
  const told = (n) => until(ms(20000), () => members.every((one) =>
    counts(one).filter((times) => times === n).length === rooms.length), `all are told of ${n} in each room`);
  await told(size + 1);
  await pause(1100); // what was still to be told is told
  const bytes = JSON.stringify(members[0].frames.findLast((f) => f.type === "presence")).length;
  for (const one of members) one.frames.length = 0;
  const end = () => {
    for (const { socket } of members) socket.terminate();
    for (const { socket } of leavers) socket.destroy();
  };
  return { rooms, members, leavers, counts, told, bytes, end };
}

test("presence in many rooms at once: another is answered in between, and then all members are told", limit(60),
  withServer([...ONE, "--rate", "none"], async (server) => {
    const { rooms, members, leavers, counts, told, bytes, end } = await manyRooms(server, 48);
    const before = await server.metric(/^parlor_sent_bytes_total/);
    // All leave in one turn; in the third after it the other is told how much was sent by then.
    const done = await askBehind(server, leavers.map(({ socket }) => socket), text('{"type":"leave"}'), 16);
    const frames = (done("parlor_sent_bytes_total") - before) / bytes;
    assert.ok(frames <= 3 * OFFERS, `${frames} of ${rooms.length * members.length} were sent before`);
    await told(members.length);
    for (const one of members) assert.equal(counts(one).length, rooms.length, "each is told once");
    end();
  }));

test("presence of a room that waits behind others is told in fewer frames", limit(60),
  withServer([...ONE, "--rate", "none"], async (server) => {
    const { leavers, end } = await manyRooms(server, 110); // ten turns
    const ann = await Rich.join(server, "busy");
    const bob = await Raw.open(server.port, "/ws/chat/busy/", { headers: RICH });
    await ann.settled();
    await pause(1100);
    ann.frames.length = 0;
    const last = 10 * TURN - 1;
    const said = Array.from({ length: last + 1 }, (_, i) =>
      text(JSON.stringify({ type: "message", message: "x", username: `bob ${i}` }))); // another name in each turn
    try {
      await server.freeze();
      for (const { socket } of leavers) await written(socket, text('{"type":"leave"}'));
      await written(bob.socket, Buffer.concat(said));
    } finally {
      server.kill("SIGCONT");
    }
    const told = () => ann.frames.filter((f) => f.type === "presence");
    await until(ms(20000), () => told().some(({ joined = [], username }) => [username, ...joined].includes(`bob ${last}`)),
      "the last name is told");
    assert.ok(told().length <= 6, `${told().length} frames`); // four at once, and what was left a second later
    bob.socket.destroy();
    ann.socket.terminate();
    end();
  }));

test("who asks for /metrics, by GET or HEAD, in one turn is told the same", limit(20), withServer(ONE, async (server) => {
  const connection = await HttpConnection.open(server.port);
  connection.socket.cork(); // one write, one read
  for (const method of ["HEAD", "GET", "GET", "HEAD", "GET"])
    connection.write(`${method} /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n`, { head: method === "HEAD" });
  connection.socket.uncork();
  const answers = [];
  for (let i = 0; i < 5; i++) answers.push(await connection.answer());
  assert.deepEqual(answers.map((answer) => answer.status), [200, 200, 200, 200, 200]);
  assert.equal(new Set(answers.map((answer) => answer.headers["content-length"])).size, 1);
  for (const i of [2, 4]) assert.equal(answers[i].text, answers[1].text, "rendered anew");
  assert.notEqual((await connection.ask("GET", "/metrics")).text, answers[1].text, "later it is what is then");
  connection.end();
}));

test("who asks for more at once than may be on its way is read later, and gets all of it", limit(30),
  withServer([...ONE, "--rate", "none", "--messages-per-ip", "none"], async (server) => {
    const ann = await Rich.join(server, "lobby", { query: "?username=ann" });
    const { id } = await ann.say("to react to");
    ann.socket._socket.cork(); // one write, one read
    const asked = Array.from({ length: 300 }, (_, i) => ann.ask({ type: i % 2 ? "unreact" : "react", id, emoji: "+" }));
    const pages = Array.from({ length: 10 }, () => ann.get("history", { type: "history", limit: 1 }));
    ann.socket._socket.uncork();
    assert.ok((await Promise.all(asked)).every((answer) => answer.type === "ack"));
    assert.ok((await Promise.all(pages)).every((page) => page.messages[0].id === id));
    await ann.leave();
  }));
