// What a client has begun to send and does not finish takes memory, until its time is over. However
// many connections one address does that on, the server stays within its budget; the address's own
// connections are closed for it, and nobody else's; and when memory is short, who holds most goes first.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { Member } from "./lib/chat.js";
import { Raw, text } from "./lib/raw.js";
import { NO_SLACK, withDirectory, withServer } from "./lib/server.js";
import { SANITIZED, count, limit, ms, pause, until } from "./lib/wait.js";

const MIB = 1 << 20;
const ATTACKER = "127.0.0.66";
const STRANGERS = ["--workers", "2", "--rate", "0", "--trusted-proxies", "none", "--connects-per-ip", "none",
  "--messages-per-ip", "none", "--history-per-ip", "none",
  "--handshake-timeout", "5m"]; // nothing is closed because a busy machine takes its time
const MESSAGE_BYTES = 64 * 1024;

const memory = (server) => server.metric(/^parlor_memory_bytes$/);
const memberAt = (server, address, room, query = "") =>
  Member.join(server, room, { query, localAddress: address });

/** A message of the largest size, without its last byte. */
const almost = () => {
  const json = JSON.stringify({ message: "x".repeat(15000) });
  return text(json.padEnd(MESSAGE_BYTES)).subarray(0, -1);
};

/** The most memory that the server took beyond what it has now, while `work` runs. */
async function growth(server, work) {
  const before = server.residentBytes();
  let most = 0;
  const look = () => (most = Math.max(most, server.residentBytes() - before));
  const timer = setInterval(look, 20);
  await work();
  look();
  clearInterval(timer);
  return most;
}

/** Members of one room at two addresses, who say something in two pieces again and again. */
async function chatMeanwhile(server, work) {
  const ann = await Raw.open(server.port, "/ws/chat/lobby/?username=ann", { localAddress: "127.0.0.2" });
  const bob = await memberAt(server, "127.0.0.3", "lobby");
  const said = [];
  let working = true;
  const talk = (async () => {
    while (working || said.length < 3) {
      said.push(`${said.length}:`.padEnd(12000, "y"));
      const whole = text(JSON.stringify({ message: said.at(-1) }));
      ann.socket.write(whole.subarray(0, whole.length / 2));
      await pause(15); // a slow line
      ann.socket.write(whole.subarray(whole.length / 2));
      await pause(15);
    }
  })();
  await work().finally(() => (working = false));
  await talk;
  for (const one of said) assert.equal((await bob.next(ms(20000))).message, one);
  for (const one of said) assert.equal(JSON.parse((await ann.next(ms(20000))).payload).message, one);
  await bob.leave();
  ann.socket.destroy();
}

test("half messages of one address take their share of the budget and no more, and others lose nothing",
  limit(120), withServer([...STRANGERS, "--memory-budget", "16m"], async (server) => {
    const sockets = count(3000, 600);
    const piece = almost();
    const all = [];
    const ends = new Map();
    const grown = await growth(server, () => chatMeanwhile(server, async () => {
      while (all.length < sockets) {
        all.push(...await Promise.all(Array.from({ length: 50 }, () =>
          Raw.open(server.port, "/ws/chat/attack/", { localAddress: ATTACKER }))));
        for (const one of all.slice(-50)) {
          one.socket.write(piece);
          one.next().then((got) => ends.set(one, got), () => {});
        }
      }
      await until(ms(30000), () => ends.size > sockets / 2, "half of them closed");
    }));
    if (!SANITIZED) assert.ok(grown < 80 * MIB, `${(grown / MIB).toFixed(1)} MiB more`);
    for (const got of ends.values()) {
      assert.equal(got.opcode, 8);
      assert.equal(got.payload.readUInt16BE(0), 1013, got.payload.subarray(2).toString());
    }
    assert.ok((await memory(server)) < 16 * MIB);
    for (const one of all) one.socket.destroy();
    await until(ms(10000), async () => (await memory(server)) < MIB, "all of it given back");
  }, NO_SLACK));

test("half request heads of one address take their share and no more", limit(120),
  withServer([...STRANGERS, "--memory-budget", "16m"], async (server) => {
    const sockets = count(8000, 800);
    const head = Buffer.from(`GET /ws/chat/lobby/ HTTP/1.1\r\nHost: localhost\r\nX: ${"x".repeat(16000)}`);
    const all = [];
    let refused = 0;
    const grown = await growth(server, () => chatMeanwhile(server, async () => {
      while (all.length < sockets) {
        const some = await Promise.all(Array.from({ length: 50 }, () =>
          Raw.connect(server.port, { localAddress: ATTACKER })));
        all.push(...some);
        for (const { socket } of some) {
          socket.once("data", (data) => (refused += /^HTTP\/1.1 503 /.test(data) ? 1 : 0));
          socket.write(head);
        }
      }
      await until(ms(30000), () => refused > sockets / 4, "many refused");
    }));
    if (!SANITIZED) assert.ok(grown < 80 * MIB, `${(grown / MIB).toFixed(1)} MiB more`);
    for (const one of all) one.socket.destroy();
  }, NO_SLACK));

test("half of every kind of input is counted in the budget, and given back", limit(60), () =>
  withDirectory(async (directory) => {
    const key = createHash("sha256").update("a key").digest("hex");
    const file = path.join(directory, "key");
    writeFileSync(file, `${key}\n`, { mode: 0o600 });
    await withServer([...STRANGERS, "--memory-budget", "64m", "--api-key-file", file], async (server) => {
      const counted = async (what, least, begin) => {
        const before = await memory(server);
        const socket = await begin();
        await until(ms(10000), async () => (await memory(server)) >= before + least, what);
        socket.destroy();
        await until(ms(10000), async () => (await memory(server)) <= before + 4096, `${what}: given back`);
      };
      const ann = await memberAt(server, "127.0.0.2", "lobby");
      ann.say("the room is there");
      await ann.next();
      await counted("a message", MESSAGE_BYTES - 1024, async () => {
        const raw = await Raw.open(server.port, "/ws/chat/lobby/");
        raw.socket.write(almost());
        return raw.socket;
      });
      await counted("fragments of a message", 40000, async () => {
        const raw = await Raw.open(server.port, "/ws/chat/lobby/");
        raw.socket.write(text("z".repeat(40000), { fin: false }));
        return raw.socket;
      });
      await counted("the body of a request", 50000, async () => {
        const raw = await Raw.connect(server.port);
        raw.socket.write("POST /api/v1/rooms/lobby/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
          `Authorization: Bearer ${key}\r\nContent-Length: 60000\r\n\r\n${" ".repeat(50000)}`);
        return raw.socket;
      });
      await counted("the context of a compression", 32768, async () => {
        const raw = await Raw.open(server.port, "/ws/chat/lobby/", { extensions: "permessage-deflate" });
        assert.match(raw.response.headers["sec-websocket-extensions"] ?? "", /permessage-deflate/);
        assert.doesNotMatch(raw.response.headers["sec-websocket-extensions"], /client_no_context_takeover/);
        return raw.socket;
      });
      await ann.leave();
    })();
  }));

test("half messages of many addresses leave room for others: those who hold most are closed", limit(120),
  withServer([...STRANGERS, "--memory-budget", "16m"], async (server) => {
    // 8 MiB is for input, of which these take 7.
    const received = () => server.metric(/^parlor_received_bytes_total$/);
    const all = [];
    const bystander = await Raw.open(server.port, "/ws/chat/lobby/", { localAddress: "127.0.0.2" });
    const said = text(JSON.stringify({ message: "w".repeat(4000) }));
    bystander.socket.write(said.subarray(0, 3000));
    for (let i = 0; i < 400; i++) {
      const localAddress = `127.0.4.${1 + (i >> 1)}`.replace("127.0.4", `127.0.${4 + (i & 1)}`);
      for (let k = 0; k < 2; k++) {
        const one = await Raw.open(server.port, "/ws/chat/attack/", { localAddress });
        one.socket.write(text("v".repeat(60000)).subarray(0, 9000));
        all.push(one);
      }
    }
    await until(ms(20000), async () => (await received()) > 800 * 9000, "all of it there");
    await until(ms(8000), async () => (await memory(server)) < 5 * MIB, "half of it free");
    const ann = await Raw.open(server.port, "/ws/chat/lobby/", { localAddress: "127.0.0.3" });
    const before = await received();
    const long = text(JSON.stringify({ message: "u".repeat(16000) }));
    ann.socket.write(long.subarray(0, 10000));
    await until(ms(5000), async () => (await received()) >= before + 10000, "half of a long message");
    ann.socket.write(long.subarray(10000));
    bystander.socket.write(said.subarray(3000));
    const heard = [await ann.next(ms(10000)), await ann.next(ms(10000))];
    assert.deepEqual(heard.map((got) => JSON.parse(got.payload).message[0]).sort(), ["u", "w"]);
    for (const one of [...all, ann, bystander]) one.socket.destroy();
  }, NO_SLACK));

test("while memory is short, the address that holds most is closed, not who is a little behind", limit(180),
  withServer([...STRANGERS, "--memory-budget", "16m", "--lag-max-bytes", "64m", "--ping-interval", "10m"], async (server) => {
    const rooms = 24;
    const chunk = "q".repeat(15000);
    const feed = async (speaker, bytes) => {
      for (let n = 0; n < bytes; n += 20 * chunk.length) {
        for (let i = 0; i < 20; i++) speaker.say(chunk);
        for (let i = 0; i < 20; i++) await speaker.next(ms(20000));
      }
    };
    // Slow members, each in a room of its own: fed until the room keeps something for them.
    const slow = [];
    for (let i = 0; i < 6; i++) {
      const speaker = await memberAt(server, "127.0.0.2", `quiet${i}`, "?username=ann");
      const member = await memberAt(server, `127.0.1.${i + 1}`, `quiet${i}`);
      member.socket.pause();
      const before = await memory(server);
      let fed = 0;
      while ((await memory(server)) < before + 100000) {
        await feed(speaker, 20 * chunk.length);
        fed += 20;
      }
      slow.push({ member, fed });
    }
    // One address that reads nothing, in many rooms.
    const mutes = [];
    const mute = [];
    let closed = 0;
    for (let i = 0; i < rooms; i++) {
      const one = await memberAt(server, ATTACKER, `loud${i}`);
      one.socket.pause();
      one.closed.then(() => closed++);
      mute.push(one);
      mutes.push(await memberAt(server, "127.0.0.4", `loud${i}`, "?username=bob"));
    }
    const closes = () => server.metric(/^parlor_lag_closes_total$/);
    for (let more = true; more;) {
      for (const speaker of mutes) {
        await feed(speaker, 20 * chunk.length);
        more = (await closes()) === 0;
        if (!more) break;
      }
    }
    await until(ms(20000), async () => (await memory(server)) < 16 * MIB, "memory is not short any more");
    for (const { member, fed } of slow) {
      member.socket.resume();
      for (let i = 0; i < fed; i++) assert.equal((await member.next(ms(20000))).message, chunk);
      await member.leave();
    }
    for (const one of [...mute, ...mutes]) one.socket.terminate();
  }, NO_SLACK));
