// What hostile, slow and dead peers do to the others: nothing. Slow readers, floods, half-open
// peers, slow handshakes, many connections, churn, limits.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import net from "node:net";
import { test } from "node:test";
import { Member, Rich } from "./lib/chat.js";
import { HttpConnection, request } from "./lib/http.js";
import { CLOSE, PING, PONG, RICH, Raw, TEXT, close, closeOf, cont, handshake, ping, pong, text } from "./lib/raw.js";
import { NO_SLACK, startServer, withServer } from "./lib/server.js";
import { SANITIZED, count, limit, ms, pause, until, within } from "./lib/wait.js";

const TWO = ["--workers", "2", "--rate", "0"];
const KIB = 1024;
const MIB = 1024 * KIB;

/**
 * More than the kernel takes for a peer that does not read: the sender's buffer at its largest, and
 * a receiver's that does not grow, because only reading makes it grow.
 */
const KERNEL_HOLDS = 2 * MIB +
  Number(readFileSync("/proc/sys/net/ipv4/tcp_wmem", "utf8").trim().split(/\s+/)[2]);

const padded = (i, size = 16000) => JSON.stringify({ message: `${i}:`.padEnd(size, "x"), username: "talker" });
const numberOf = (json) => Number.parseInt(JSON.parse(json).message, 10);

/** Talks n big messages, never further ahead of its listeners than `ahead`; they lose nothing. */
async function talkTo(listeners, talker, n, ahead = 16) {
  for (let from = 0; from < n; from += ahead) {
    const to = Math.min(n, from + ahead);
    for (let i = from; i < to; i++) talker.sendText(padded(i));
    for (const listener of listeners)
      for (let i = from; i < to; i++) assert.equal(numberOf(await listener.nextText(ms(20000))), i);
  }
}

test("a slow reader is closed with 4202 and told in order up to there; the others lose nothing", limit(60),
  withServer([...TWO, "--lag-max-bytes", String(512 * KIB)], async (server) => {
    const listeners = await Promise.all(Array.from({ length: 4 }, () => Member.join(server)));
    const slow = await Promise.all([1, 2, 3].map(() => Raw.open(server.port, "/ws/chat/lobby/")));
    for (const one of slow) one.socket.pause();
    const n = Math.ceil((KERNEL_HOLDS + 4 * MIB) / 16000);
    // Read at once then: the server does not wait longer than 10 s for its last bytes to be taken.
    const resumed = until(ms(40000), async () => (await server.metric(/^parlor_lag_closes_total$/)) === 3, "three lag closes")
      .then(() => slow.forEach((one) => one.socket.resume()));
    await Promise.all([talkTo(listeners, listeners[0], n), resumed]);
    for (const one of slow) {
      let next = 0;
      for (;;) {
        const got = await one.next(ms(20000));
        if (got.opcode === CLOSE) {
          const said = closeOf(got.payload);
          assert.equal(said.code, 4202, said.reason);
          assert.notEqual(said.reason, "");
          break;
        }
        assert.equal(got.opcode, TEXT);
        assert.equal(numberOf(got.payload.toString()), next++, "a hole before the close");
      }
      assert.ok(next > 0 && next < n, `${next} of ${n}`);
      one.socket.end();
      await one.expectEnd();
    }
    const lines = server.stderr.match(/^.* lag_close .*$/gm);
    const tags = lines.map((line) => / lag_bytes=\d+ (room_tag=\d+ peer_tag=\d+)$/.exec(line)?.[1]);
    assert.deepEqual(tags, [tags[0], tags[0], tags[0]], "one room, one address");
    assert.doesNotMatch(lines.join(), /lobby|127\.0\.0\.1/, "the name of a room may be all that keeps others out of it");
    // A closed one can come back at once.
    const back = await Member.join(server);
    back.say("back", { username: "slow" });
    for (const member of [...listeners, back]) await member.expectBare("slow", "back");
    await Promise.all([...listeners, back].map((m) => m.leave()));
  }));

test("a slow reader that never reads again is gone all the same, and costs no memory", limit(60),
  withServer([...TWO, "--lag-max-bytes", String(256 * KIB), "--log-level", "debug"], async (server) => {
    const listener = await Member.join(server);
    await talkTo([listener], listener, 100);
    const before = server.residentBytes();
    const slow = await Promise.all(Array.from({ length: 10 }, () => Raw.open(server.port, "/ws/chat/lobby/")));
    for (const one of slow) one.socket.pause();
    await talkTo([listener], listener, Math.ceil((KERNEL_HOLDS + 4 * MIB) / 16000));
    await until(ms(30000), async () => (await server.metric(/^parlor_websockets$/)) === 1, "slow readers gone");
    await server.says(/ lag_close_member .* room_tag=\d+ peer=127\.0\.0\.1 room=lobby/, ms(5000));
    const grown = server.residentBytes() - before;
    if (!SANITIZED) assert.ok(grown < 16 * MIB, `memory grew by ${grown}`);
    for (const one of slow) one.destroy();
    await listener.leave();
  }));

/** Says as much as is beyond lag-max-bytes for who does not read, at once; resolves with how long that took. */
async function burst(talker, n) {
  const start = performance.now();
  for (let i = 0; i < n; i++) talker.sendText(padded(i));
  for (let i = 0; i < n; i++) assert.equal(numberOf(await talker.nextText(ms(20000))), i);
  return performance.now() - start;
}

/** The texts up to and with this one have come, and nothing else. */
async function hears(raw, n, last) {
  for (let i = 0; i < n; i++) assert.equal(numberOf((await raw.next(ms(20000))).payload.toString()), i);
  for (let got = {}; last && got.message !== last;) got = JSON.parse((await raw.next(ms(20000))).payload.toString());
}

test("who is beyond lag-max-bytes for a moment stays and gets everything; who stays there goes after a second", limit(60),
  withServer([...TWO, "--lag-max-bytes", String(4 * MIB)], async (server, t) => {
    const lagCloses = () => server.metric(/^parlor_lag_closes_total$/);
    const n = Math.ceil((KERNEL_HOLDS + 6 * MIB) / 16000); // beyond the limit, not four times
    for (let again = true, tries = 1; again; tries++) {
      const room = `room-${tries}`;
      const closed = await lagCloses();
      const talker = await Member.join(server, room);
      const raws = [await Raw.open(server.port, `/ws/chat/${room}/`), await Raw.open(server.port, `/ws/chat/${room}/`)];
      const [moment, ever] = raws;
      for (const raw of raws) raw.socket.pause();
      const start = performance.now();
      again = (await burst(talker, n)) > 900; // too long for a moment: the machine had something else to do
      if (!again) {
        assert.equal(await lagCloses(), closed, "not for a moment");
        moment.socket.resume();
        await hears(moment, n, undefined);
        await until(ms(20000), async () => {
          talker.say("and on");
          return (await lagCloses()) === closed + 1;
        }, "the end of who stays there");
        assert.ok(performance.now() - start >= 1000, "sooner than a second");
        talker.say("all said");
        await hears(moment, 0, "all said");
        ever.socket.resume();
        for (let got; got?.opcode !== CLOSE;) got = await ever.next(ms(20000));
      }
      if (again && tries === 10) {
        t.skip("this machine never says it within a second");
        again = false;
      }
      for (const raw of raws) raw.destroy();
      await talker.leave();
    }
  }));

test("a member that reads in fits and starts gets everything", limit(60),
  withServer([...TWO, "--lag-max-bytes", String(64 * MIB)], async (server) => {
    const listener = await Member.join(server);
    const moody = await Raw.open(server.port, "/ws/chat/lobby/");
    const n = Math.ceil((KERNEL_HOLDS + 8 * MIB) / 16000);
    moody.socket.pause();
    await talkTo([listener], listener, n);
    for (let i = 0; i < n; i++) {
      if (i % 100 === 0) {
        moody.socket.pause();
        setImmediate(() => moody.socket.resume());
      }
      const got = await moody.next(ms(20000));
      assert.equal(got.opcode, TEXT);
      assert.equal(numberOf(got.payload.toString()), i);
    }
    await moody.closeClean();
    await listener.leave();
  }));

test("a pong does not wait behind the backlog, and never lands inside a frame", limit(60),
  withServer([...TWO, "--lag-max-bytes", String(64 * MIB)], async (server) => {
    const listener = await Member.join(server);
    const late = await Raw.open(server.port, "/ws/chat/lobby/");
    const n = Math.ceil((KERNEL_HOLDS + 8 * MIB) / 16000);
    late.socket.pause();
    await talkTo([listener], listener, n);
    for (let i = 0; i < 5; i++) await late.send(ping(`ping ${i}`));
    late.socket.resume();
    let seen = 0;
    const pongs = [];
    while (seen < n || pongs.length < 5) {
      const got = await late.next(ms(20000)); // the reader checks the form of every frame
      if (got.opcode === PONG) pongs.push({ payload: got.payload.toString(), at: seen });
      else assert.equal(numberOf(got.payload.toString()), seen++);
    }
    assert.deepEqual(pongs.map((p) => p.payload), [0, 1, 2, 3, 4].map((i) => `ping ${i}`));
    assert.ok(pongs[0].at < n, "the pong came behind the whole backlog");
    await late.closeClean();
    await listener.leave();
  }));

test("a talker that reads nothing itself is cut, and the server's memory stays", limit(60),
  withServer(TWO, async (server) => {
    const witness = await Member.join(server, "elsewhere");
    const talker = await Raw.open(server.port, "/ws/chat/flood/");
    talker.socket.pause();
    const before = server.residentBytes();
    const batch = Buffer.concat(Array.from({ length: 16 }, (_, i) => text(padded(i))));
    const bytes = KERNEL_HOLDS + 32 * MIB;
    let ended = false;
    const cut = until(ms(40000), async () => (await server.metric(/^parlor_lag_closes_total$/)) > 0, "the talker cut");
    for (const end of [talker.over, cut]) end.catch(() => {}).then(() => (ended = true));
    for (let sent = 0; sent < bytes && !ended; sent += batch.length)
      await Promise.race([talker.send(batch), talker.over, cut]);
    await cut;
    const grown = server.residentBytes() - before;
    if (!SANITIZED) assert.ok(grown < 24 * MIB, `memory grew by ${grown}`);
    talker.destroy();
    await witness.expectNothing("all well");
    await witness.leave();
  }));

test("an echo that nobody reads stops the reading, not the server", limit(60),
  withServer(["--echo", ...TWO], async (server) => {
    const raw = await Raw.open(server.port);
    raw.socket.pause();
    const before = server.residentBytes();
    const one = text("e".repeat(MIB));
    let stuck = false;
    for (let i = 0; i < 200 && !stuck; i++) {
      const sent = raw.send(one).then(() => "sent");
      stuck = (await Promise.race([sent, pause(ms(1500)).then(() => "stuck"), raw.over])) !== "sent";
    }
    assert.ok(stuck, "the server took 200 MiB that nobody fetched");
    const grown = server.residentBytes() - before;
    if (!SANITIZED) assert.ok(grown < 64 * MIB, `memory grew by ${grown}`);
    const other = await Raw.open(server.port);
    await other.send(text("quick"));
    await other.expectMessage(TEXT, "quick");
    await other.closeClean();
    raw.destroy();
  }));

test("a peer that answers no ping is cut with 4201 after two periods, one that does stays", limit(30),
  withServer([...TWO, "--ping-interval", "2s"], async (server) => {
    const chat = "/ws/chat/lobby/";
    const began = performance.now();
    const dead = await Raw.open(server.port, chat, { answerPings: false });
    const alive = await Raw.open(server.port, chat);
    const busy = await Raw.open(server.port, chat, { answerPings: false });
    const talking = setInterval(() => busy.send(pong()), 150).unref(); // no answer to a ping, but a sign of life
    let pings = 0;
    for (;;) {
      const got = await dead.next();
      if (got.opcode === PING) {
        pings++;
        continue;
      }
      assert.equal(got.opcode, CLOSE);
      const said = closeOf(got.payload);
      assert.equal(said.code, 4201);
      assert.notEqual(said.reason, "");
      break;
    }
    assert.ok(pings >= 1, "it was asked before it was cut");
    assert.ok(performance.now() - began >= 3900, "cut before two periods were over");
    await dead.expectEnd();
    await until(ms(10000), () => alive.pings.length >= 5, "five pings to a living peer");
    clearInterval(talking);
    const frames = busy.frames();
    assert.ok(frames.every((f) => f.opcode === PING), "a peer that talks was cut");
    await alive.send(text('{"message":"alive","username":"u"}'));
    await alive.expectMessage(TEXT, '{"message":"alive","username":"u"}');
    await alive.closeClean();
    busy.destroy();
  }));

/** How many connections were closed with this code. */
const closes = async (server, code) => (await server.metrics()).get(`parlor_closes_total{code="${code}"}`) ?? 0;

const ECHO_BIG = ["--echo", ...TWO, "--ping-interval", "1s", "--memory-budget", "1g"];
const big = (letter) => Buffer.alloc(16 * MIB, letter); // far more than the kernel takes

test("who takes nothing of what it is sent is too slow: its pongs were not read, so it is not silent", limit(40),
  withServer(ECHO_BIG, async (server) => {
    const raw = await Raw.open(server.port);
    await raw.send(text(big("e")));
    raw.socket.pause();
    const chatter = setInterval(() => raw.send(pong()), 100).unref(); // signs of life, all unread
    await until(ms(15000), async () => (await closes(server, 4201)) + (await closes(server, 4202)) > 0, "its end");
    clearInterval(chatter);
    raw.socket.resume(); // in time for what lies there
    await raw.expectMessage(TEXT, big("e"), ms(20000));
    await raw.expectClose(4202);
    await raw.send(close(4202));
    await raw.expectEnd();
  }));

test("nor is it kept by a message that it has begun before", limit(60),
  withServer([...TWO, "--ping-interval", "500ms", "--handshake-timeout", `${ms(3000)}ms`, "--memory-budget", "1g"], async (server) => {
    const ann = await Rich.join(server, "long");
    for (let i = 0; i < 30; i++) await ann.say("x".repeat(16000));
    await ann.leave();
    const reads = () => server.metric(/^parlor_store_reads_total$/);
    const raw = await Raw.open(server.port, "/ws/chat/long/", { headers: RICH });
    raw.socket.pause();
    const page = text('{"type":"history","limit":100}');
    const [begin, end] = [text('{"type":"history",', { fin: false }), cont('"limit":1}')];
    // Two pages are asked for and a third question is begun; the pages fill the socket, until it takes no more.
    await raw.send(page, page, begin);
    for (let last = -1, now = await reads(); now > last && (await closes(server, 4202)) === 0;) {
      last = now;
      await raw.send(end, page, page, begin);
      await Promise.race([until(ms(1500), async () => (now = await reads()) >= last + 3, "its pages").catch(() => {}), raw.over]);
    }
    await until(ms(15000), async () => (await closes(server, 4202)) > 0, "its end");
    assert.equal(await closes(server, 1008), 0, "its message was read to its end");
    raw.destroy();
  }));

test("who takes it slowly stays, for more than two periods of pings", limit(60),
  withServer(ECHO_BIG, async (server) => {
    const raw = await Raw.open(server.port);
    const slow = () => {
      raw.socket.pause();
      setTimeout(() => raw.socket.resume(), 50);
    };
    raw.socket.on("data", slow); // some MiB a second, less than there is in the 5 s that follow
    await raw.send(text(big("s")));
    await pause(5000);
    raw.socket.off("data", slow);
    assert.ok(raw.bytesIn < 16 * MIB, "it was not slow");
    await raw.expectMessage(TEXT, big("s"), ms(20000));
    await raw.send(text("and on"));
    await raw.expectMessage(TEXT, "and on");
    await raw.closeClean();
  }));

test("a server that stood still cuts nobody for it", limit(40),
  withServer([...TWO, "--ping-interval", "1s"], async (server) => {
    const standStill = async (time) => {
      server.kill("SIGSTOP");
      await pause(time);
      server.kill("SIGCONT");
    };
    const stays = async (peer) => {
      await peer.send(ping("still here"));
      let got = await peer.next();
      while (got.opcode === PING) got = await peer.next(); // those that it leaves unanswered
      assert.equal(got.opcode, PONG, got.payload.toString());
    };
    // Longer than two periods: nobody was asked meanwhile.
    const peers = await Promise.all(Array.from({ length: 20 }, () => Raw.open(server.port, "/ws/chat/lobby/")));
    await standStill(2500);
    for (const peer of peers) await stays(peer);
    for (const peer of peers) await peer.closeClean();
    // Shorter: the answer to the first ping is unread when two periods of silence are over.
    for (let soon = false; !soon;) {
      const began = performance.now();
      const late = await Raw.open(server.port, "/ws/chat/lobby/", { answerPings: false });
      assert.equal((await late.next()).opcode, PING);
      const still = standStill(1500);
      soon = performance.now() - began < 1900; // else it was we who stood still, and it may be cut
      await late.send(pong());
      await still;
      if (soon) await stays(late);
      late.destroy();
    }
  }));

test("peers that vanish without a word are cleared away", limit(30),
  withServer([...TWO, "--ping-interval", "300ms"], async (server) => {
    const gone = await Promise.all(Array.from({ length: 50 }, () =>
      Raw.open(server.port, "/ws/chat/lobby/", { answerPings: false })));
    for (const one of gone) one.socket.pause();
    await until(ms(5000), async () => {
      const all = await server.metrics(); // the first may be cut already
      return all.get("parlor_websockets") + (all.get('parlor_closes_total{code="4201"}') ?? 0) === 50;
    }, "fifty peers");
    await until(ms(15000), async () => (await server.metric(/^parlor_websockets$/)) === 0, "no peers");
    assert.equal(await server.metric(/^parlor_closes_total\{code="4201"\}$/), 50);
    for (const one of gone) one.destroy();
    await until(ms(10000), async () => (await server.metric(/^parlor_connections$/)) <= 1, "no connections");
  }));

test("a peer that never answers a close is cut", limit(40), withServer(TWO, async (server) => {
  const raw = await Raw.open(server.port, "/ws/chat/lobby/");
  await raw.send(text(Buffer.from([0xff])));
  await raw.expectClose(1007);
  await raw.expectEnd(ms(20000)); // nothing was sent by us
}));

test("three hundred slow handshakes are cut, and nobody waits for them", limit(30),
  withServer([...TWO, "--handshake-timeout", "2500ms"], async (server) => {
    const slow = await Promise.all(Array.from({ length: 300 }, async (_, i) => {
      const connection = await HttpConnection.open(server.port);
      if (i % 3) connection.write("GET /ws/chat/lobby/ HTTP/1.1\r\nHost: x\r\nUpgrade: webso".slice(0, i));
      return connection;
    }));
    const one = await Member.join(server);
    for (let i = 0; i < 50; i++) await one.expectNothing(`${i}`);
    await within(ms(10000), Promise.all(slow.map((s) => s.closed)), "cut of all slow handshakes");
    await one.expectNothing("after");
    await one.leave();
  }));

/** A member of which nothing is kept but the bytes that came: for tests with thousands. */
function lightMember(port) {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
    const member = { socket, bytes: "", ready: null, closed: false };
    let open = false;
    socket.setEncoding("latin1");
    socket.on("connect", () => socket.write(handshake("/ws/chat/all/")));
    socket.on("error", reject);
    socket.on("close", () => {
      member.closed = true;
      reject(new Error("closed before the handshake"));
    });
    socket.on("data", (chunk) => {
      member.bytes += chunk;
      if (open) return member.ready?.();
      const end = member.bytes.indexOf("\r\n\r\n");
      if (end < 0) return;
      if (!member.bytes.startsWith("HTTP/1.1 101 ")) return reject(new Error(member.bytes.slice(0, 80)));
      open = true;
      member.bytes = member.bytes.slice(end + 4);
      resolve(member);
    });
  });
}

async function lightMembers(port, n) {
  const members = [];
  while (members.length < n) {
    const some = Math.min(250, n - members.length);
    members.push(...(await Promise.all(Array.from({ length: some }, () => lightMember(port)))));
  }
  return members;
}

test("ten thousand connections all receive a message", limit(60), async (t) => {
  const n = count(10000, 2000);
  const ours = Number(/^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))[1]);
  const server = await startServer(["--workers", "2", "--rate", "0"]);
  let members = [];
  try {
    const theirs = server.openFileLimit();
    if (Math.min(ours, theirs) < n + 200) {
      t.skip(`open-file limits are ${ours} here and ${theirs} in the server: too few for ${n} connections`);
      return;
    }
    members = await lightMembers(server.port, n);
    assert.equal(await server.metric(/^parlor_websockets$/), n);
    const json = '{"message":"to all of you","username":"one"}';
    const frameText = String.fromCharCode(0x81, json.length) + json;
    for (let round = 1; round <= 3; round++) {
      const want = frameText.repeat(round);
      const all = members.map((m) => new Promise((resolve) => {
        m.ready = () => m.bytes.length >= want.length && resolve(true);
        m.ready();
      }));
      members[round * 7].socket.write(text(json));
      await within(ms(30000), Promise.all(all), `message ${round} at everybody`);
      assert.ok(members.every((m) => m.bytes === want && !m.closed));
    }
    for (const m of members) m.socket.destroy();
    await until(ms(20000), async () => (await server.metric(/^parlor_websockets$/)) === 0, "everybody gone");
  } finally {
    for (const m of members) m.socket.destroy();
    await server.stop();
  }
});

test("churn: gauges return to zero, memory does not grow", limit(60), withServer(TWO, async (server) => {
  const gauges = async () => {
    const all = await server.metrics();
    return [all.get("parlor_websockets"), all.get("parlor_rooms"), all.get("parlor_connections")];
  };
  const round = async (n) => {
    for (let at = 0; at < n; at += 100) {
      const some = await Promise.all(Array.from({ length: 100 }, (_, i) =>
        Raw.open(server.port, `/ws/chat/room-${(at + i) % 50}/`, {
          extensions: i % 2 ? "permessage-deflate" : undefined,
        })));
      some.forEach((raw, i) => {
        raw.send(text(`{"message":"hello ${i}"}`));
        if (i % 4 === 0) raw.reset();
        else if (i % 4 === 1) raw.send(text("half a frame").subarray(0, 5)).then(() => raw.destroy());
        else if (i % 4 === 2) raw.socket.end();
      });
      await Promise.all(some.filter((_, i) => i % 4 === 3).map(async (raw) => {
        await raw.next();
        raw.socket.end(); // and what else comes is not read: the reset is the server's to bear
        raw.destroy();
      }));
      await Promise.all(some.filter((_, i) => i % 4 === 2).map((raw) => within(ms(10000), raw.over, "end")));
      for (const raw of some) raw.destroy();
    }
    await until(ms(15000), async () => {
      const [sockets, rooms, connections] = await gauges();
      return sockets === 0 && rooms === 0 && connections <= 1; // the one that asks
    }, "gauges at zero");
  };
  await round(count(2000, 300));
  const before = server.residentBytes();
  for (let i = 0; i < 3; i++) await round(count(2000, 200));
  const grown = server.residentBytes() - before;
  if (!SANITIZED) assert.ok(grown < 2 * MIB, `memory grew by ${grown} bytes`);
}, NO_SLACK));

test("--max-connections: the next one gets 503, and a place once it is free", limit(20),
  withServer(["--workers", "2", "--max-connections", "5"], async (server) => {
    const members = await Promise.all([1, 2, 3, 4, 5].map(() => Raw.open(server.port, "/ws/chat/lobby/")));
    const sixth = await Raw.connect(server.port);
    const { rest, headers } = await sixth.upgrade("/ws/chat/lobby/", { expect: 503 });
    assert.equal(JSON.parse(rest.toString()).error.code, "server_full");
    assert.match(headers["content-type"], /^application\/json/);
    await within(ms(5000), sixth.over, "end of the refused one");
    sixth.destroy();
    await members.pop().closeClean();
    await until(ms(5000), async () => {
      const again = await Raw.connect(server.port).then(async (raw) => {
        await raw.upgrade("/ws/chat/lobby/");
        return raw;
      }).catch(() => null);
      if (again) members.push(again);
      return again;
    }, "a free place");
    for (const member of members) member.destroy();
  }));

test("--max-connections-per-ip: counted per address", limit(20),
  withServer(["--workers", "2", "--max-connections-per-ip", "3"], async (server) => {
    const from = (localAddress) => Member.join(server, "lobby", { localAddress });
    const members = await Promise.all([1, 2, 3].map(() => from("127.0.0.1")));
    await assert.rejects(from("127.0.0.1"), /503/);
    members.push(...(await Promise.all([1, 2, 3].map(() => from("127.0.0.2")))));
    await assert.rejects(from("127.0.0.2"), /503/);
    members[3].say("room for all");
    for (const member of members) assert.equal((await member.next()).message, "room for all");
    await members.shift().leave();
    await until(ms(5000), async () => {
      const again = await from("127.0.0.1").catch(() => null);
      if (again) members.push(again);
      return again;
    }, "a free place");
    await Promise.all(members.map((m) => m.leave()));
  }));

test("noise of every kind hurts nobody", limit(60), withServer(["--echo", ...TWO], async (server) => {
  const witness = await Member.join(server);
  let state = 12345;
  const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 8;
  for (let i = 0; i < count(400, 100); i++) {
    const noise = Buffer.from(Array.from({ length: 1 + (random() % 400) }, () => random() & 255));
    const kind = i % 4;
    if (kind === 0) {
      const connection = await HttpConnection.open(server.port);
      connection.write(noise);
      connection.socket.end();
      connection.answer().catch(() => {});
      await within(ms(10000), connection.closed, "end");
      continue;
    }
    const path = kind === 1 ? "/ws/echo/" : "/ws/chat/lobby-of-noise/";
    const raw = await Raw.open(server.port, path, { extensions: "permessage-deflate" });
    if (kind === 3) await raw.send(text(noise.toString("latin1")), text(noise, { rsv: 4 }));
    else await raw.send(noise);
    raw.socket.end();
    await within(ms(10000), raw.over, "end");
    raw.destroy();
  }
  await witness.expectNothing("unhurt");
  await witness.leave();
}));

test("out of descriptors: newcomers are turned away, no worker spins, and it recovers", limit(60),
  withServer(["--workers", "4"], async (server) => {
    const { pid } = server.child;
    execFileSync("prlimit", ["--pid", String(pid), "--nofile=80:80"]);
    const sockets = Array.from({ length: 300 }, () => net.connect({ port: server.port, host: "127.0.0.1" }));
    for (const socket of sockets) socket.on("error", () => {});
    await until(ms(10000), async () => server.stderr.includes("out_of_files"), "the event out_of_files");
    const said = [...server.stderr.matchAll(/ out_of_files .* connections=(\d+)/g)].map((m) => Number(m[1]));
    assert.ok(Math.max(...said) > 30, `connections of all workers, not of one: ${said}`);
    await pause(300);
    const before = server.cpuSeconds;
    await pause(1000);
    assert.ok(server.cpuSeconds - before < 0.5, "a worker spins");
    for (const socket of sockets) socket.destroy();
    const member = await until(ms(10000), () => Member.join(server).catch(() => null), "a place");
    member.say("still here");
    assert.equal((await member.next()).message, "still here");
    await member.leave();
  }));

test("those turned away take no place, and whoever watches a full server still may", limit(20),
  withServer(["--max-connections", "3", "--max-connections-per-ip", "2"], async (server) => {
    const member = await Member.join(server, "lobby", { localAddress: "127.0.0.3" });
    const silent = Array.from({ length: 20 }, () => net.connect({ port: server.port, host: "127.0.0.1" }));
    await Promise.all(silent.map((socket) => new Promise((done) => socket.once("connect", done))));
    assert.equal((await request(server.port, "GET", "/healthz")).status, 200);
    assert.equal((await request(server.port, "GET", "/")).status, 503);
    for (const socket of silent) socket.destroy();
    await until(ms(5000), () => Member.join(server).then((m) => m.leave().then(() => true), () => false), "a place");
    await member.leave();
  }));

test("a name in a refused request does not stay for the next one", limit(20), withServer(TWO, async (server) => {
  const http = await HttpConnection.open(server.port);
  assert.equal((await http.ask("GET", "/ws/chat/lobby/?username=admin")).status, 426);
  http.socket.removeAllListeners("data");
  const raw = new Raw(http.socket, true);
  await raw.upgrade("/ws/chat/lobby/");
  await raw.send(text('{"message":"who am I"}'));
  assert.match(JSON.parse((await raw.next(ms(5000))).payload.toString()).username, /^guest-/);
  await raw.closeClean();
}));

test("a flood of pings is cut with 1008", limit(20), withServer(TWO, async (server) => {
  const raw = await Raw.open(server.port, "/ws/chat/lobby/");
  raw.send(Buffer.concat(Array.from({ length: 150 }, () => ping("")))).catch(() => {});
  for (;;) {
    const got = await raw.next(ms(5000));
    if (got.opcode === PONG) continue;
    assert.equal(got.opcode, CLOSE);
    assert.equal(closeOf(got.payload).code, 1008);
    break;
  }
  raw.destroy();
}));
