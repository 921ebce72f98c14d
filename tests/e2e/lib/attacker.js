// One hostile address, as a process of its own, so that what it costs us to attack is not taken for
// what it costs the server to be attacked. Started by lib/attack.js:
//
//   node attacker.js PORT ADDRESS CONNECTS_PER_S ROOM
//
// It dials CONNECTS_PER_S times a second from ADDRESS and does one of KINDS on each connection. Every
// fifth PERIOD_MS it dials PATIENT_PER_S times instead, which the budget for connections lets through,
// so that what comes behind it is attacked too. At most OPEN_MAX sockets are open at a time, the
// oldest goes first: with a reset, or the ports of one address would not last. Every second it prints one line of JSON with what it has done so far.
import { randomBytes, randomInt } from "node:crypto";
import net from "node:net";
import zlib from "node:zlib";
import { fileURLToPath } from "node:url";
import { RICH, close, handshake, jsonText, ping, text } from "./raw.js";

const OPEN_MAX = 900;
const TICK_MS = 20;
const PERIOD_MS = 5000;
const PATIENT_PER_S = 45;

const newRoom = () => `r${randomBytes(8).toString("hex")}`;

/** Zeros that shrink a thousandfold: cheap to send, dear to read. */
const bomb = zlib.deflateRawSync(Buffer.alloc(60000, 0x20), { finishFlush: zlib.constants.Z_SYNC_FLUSH }).subarray(0, -4);

/**
 * name: what is sent as soon as the connection is there; the rest follows the answer, if any, or is
 * made of the first of what comes that it can be made of.
 */
const KINDS = {
  silent: () => ({}),
  junk: () => ({ first: randomBytes(randomInt(1, 2000)) }),
  halfHead: () => ({ first: handshake("/ws/chat/lobby/").slice(0, randomInt(1, 100)) }),
  handshake: () => ({ first: handshake(`/ws/chat/${newRoom()}/`) }),
  hangUp: (room) => ({ first: handshake(`/ws/chat/${room}/`), reset: true }),
  unread: (room) => ({ first: handshake(`/ws/chat/${room}/?history=1000`), deaf: true }),
  unreadRich: (room) => ({ first: handshake(`/ws/chat/${newRoom()}/`, RICH), deaf: true,
    then: [0, 1, 2, 3].map((i) => jsonText({ type: "join", room: i ? `${room}${i}` : room, history: 1000 })) }),
  flood: () => ({ first: handshake(`/ws/chat/${newRoom()}/`),
    then: Array.from({ length: 20 }, (_, i) => jsonText({ message: `${i} ${"x".repeat(4000)}`, username: "mallory" })), reset: true }),
  pages: (room) => ({ first: handshake(`/ws/chat/${room}/`, RICH),
    then: Array.from({ length: 50 }, (_, i) => jsonText({ type: "history", limit: 200, ref: i })) }),
  renames: () => ({ first: handshake(`/ws/chat/${newRoom()}/`, RICH),
    then: [...Array.from({ length: 99 }, () => jsonText({ type: "join", room: newRoom() })),
      ...Array.from({ length: 20 }, (_, i) => jsonText({ message: "x", username: `m${i}${"y".repeat(50)}` }))] }),
  // In one room, so that each of these reaches, or names, all the others.
  who: () => ({ first: handshake(`/ws/chat/crowd/?username=${"x".repeat(50)}${randomInt(10000)}`, RICH), deaf: true,
    then: Array.from({ length: 100 }, () => jsonText({ type: "who", ref: 1 })) }),
  typing: () => ({ first: handshake(`/ws/chat/crowd/?username=t${randomInt(10000)}`, RICH),
    then: Array.from({ length: 50 }, (_, i) => jsonText({ type: "typing", on: i % 2 === 0 })) }),
  read: (room) => ({ first: handshake(`/ws/chat/${room}/?username=u${randomInt(10000)}`, RICH), then: (data) => {
    const epoch = /"epoch":"(\w+)"/.exec(data)?.[1];
    return epoch && Array.from({ length: 99 }, (_, i) => jsonText({ type: "read", id: `${epoch}-${i + 1}`, ref: i }));
  } }),
  refused: (room) => ({ first: handshake(`/ws/chat/${room}/`),
    then: Array.from({ length: 90 }, () => text('{"message":')) }),
  inflate: (room) => ({ first: handshake(`/ws/chat/${room}/`, { "Sec-WebSocket-Extensions": "permessage-deflate" }),
    then: Array.from({ length: 50 }, () => text(bomb, { rsv: 4 })) }),
  trickle: (room) => ({ first: handshake(`/ws/chat/${room}/`), then: [text('{"message":"', { fin: false }), ping("x")] }),
  api: () => ({ first: "GET /api/v1/rooms HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer wrong\r\n\r\n".repeat(5) }),
  search: (room) => ({ first: `GET /api/v1/rooms/${room}/search?q=a HTTP/1.1\r\nHost: localhost\r\n` +
    "Authorization: Bearer not-the-key-at-all\r\n\r\n" }),
  pageFiles: () => ({ first: "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20) }),
  badClose: (room) => ({ first: handshake(`/ws/chat/${room}/`), then: [close(1000), close(1000), text("late")] }),
};

function dial(port, localAddress, room, counts, open) {
  const names = Object.keys(KINDS);
  const kind = names[randomInt(names.length)];
  const { first, then = [], deaf = false, reset = false } = KINDS[kind](room);
  const socket = net.connect({ port, host: "127.0.0.1", localAddress, noDelay: true });
  open.add(socket);
  counts.dialled++;
  let status;
  let rest = then;
  socket.on("connect", () => {
    counts.connected++;
    if (first) socket.write(first);
    if (deaf) setTimeout(() => socket.pause(), 50);
  });
  socket.on("data", (data) => {
    if (!status) {
      status = data.toString("latin1", 9, 12);
      counts.status[status] = (counts.status[status] ?? 0) + 1;
      if (reset) setTimeout(() => socket.resetAndDestroy(), 5);
    }
    const frames = status !== "101" ? null : typeof rest === "function" ? rest(data.toString("latin1")) : rest;
    if (!frames) return;
    rest = null;
    if (frames.length) socket.write(Buffer.concat(frames));
  });
  socket.on("error", (/** @type {NodeJS.ErrnoException} */ error) => { counts.errors[error.code] = (counts.errors[error.code] ?? 0) + 1; });
  socket.on("close", () => open.delete(socket));
}

/** @param {string[]} args */
function main([port, address, perSecond, room]) {
  const counts = { dialled: 0, connected: 0, open: 0, status: {}, errors: {} };
  const open = new Set();
  const begin = performance.now();
  let last = begin;
  let due = 0;
  setInterval(() => {
    const now = performance.now();
    const patient = Math.floor((now - begin) / PERIOD_MS) % 5 === 4;
    due += (now - last) * (patient ? PATIENT_PER_S : Number(perSecond)) / 1000;
    last = now;
    for (let i = 0; i < 200 && counts.dialled < due; i++) dial(Number(port), address, room, counts, open);
    for (const socket of open) {
      if (open.size <= OPEN_MAX) break;
      open.delete(socket);
      socket.resetAndDestroy();
    }
  }, TICK_MS);
  setInterval(() => process.stdout.write(`${JSON.stringify({ ...counts, open: open.size })}\n`), 1000);
  process.on("disconnect", () => process.exit(0));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main(process.argv.slice(2));
