// RFC 7692 through /ws/echo/ and through rooms: every offer, the windows agreed on, blocks of every
// kind, bombs and corrupt data; and that members with different compression read the same words.
import assert from "node:assert/strict";
import { test } from "node:test";
import zlib from "node:zlib";
import { Member } from "./lib/chat.js";
import { deflate, inflate, parseExtensions, prose } from "./lib/deflate.js";
import {
  BINARY, Raw, TEXT, binary, close, cont, fragments, frame, ping, sameBytes, text,
} from "./lib/raw.js";
import { withServer } from "./lib/server.js";
import { SANITIZED, count, limit, ms, until } from "./lib/wait.js";

const ECHO = ["--echo", "--workers", "1"];
const RSV1 = { rsv: 4 };
const MIB = 1024 * 1024;

/** Opens with an offer and returns {raw, params}: params null if compression was declined. */
async function offer(server, extensions, path = "/ws/echo/") {
  const raw = await Raw.open(server.port, path, { extensions });
  const answers = parseExtensions(raw.response.headers["sec-websocket-extensions"]);
  assert.ok(answers.length <= 1, "more than one extension accepted");
  if (answers.length === 0) return { raw, params: null };
  assert.equal(answers[0].name, "permessage-deflate");
  return { raw, params: answers[0].params };
}

/** Sends one compressed message; the answer has to hold the same under exactly this window. */
async function roundTrip(raw, opcode, payload, { bits = 15, clientBits = 15, size = Infinity } = {}) {
  const packed = deflate(payload, { bits: clientBits });
  const parts = size < Infinity ? fragments(opcode, packed, size, RSV1) : [frame(opcode, packed, RSV1)];
  await raw.send(...parts);
  const got = await raw.message(ms(20000));
  assert.equal(got.opcode, opcode);
  sameBytes(got.rsv1 ? inflate(got.payload, bits) : got.payload, Buffer.from(payload));
  return got;
}

/** @type {[string, {bits?: number, clientBits?: number}][]} */
const OFFERS = [
  ["permessage-deflate", {}],
  ["permessage-deflate; client_max_window_bits", {}],
  ["permessage-deflate; client_no_context_takeover", {}],
  ["permessage-deflate; server_no_context_takeover", {}],
  ["permessage-deflate; client_no_context_takeover; server_no_context_takeover", {}],
  ["permessage-deflate;client_max_window_bits=10", {}],
  ['permessage-deflate ; client_max_window_bits="12" ; client_no_context_takeover', {}],
  ["PERMESSAGE-DEFLATE", {}],
  ...[8, 9, 10, 11, 12, 13, 14, 15].flatMap((bits) => /** @type {[string, object][]} */ ([
    [`permessage-deflate; server_max_window_bits=${bits}`, { bits }],
    [`permessage-deflate; client_max_window_bits=${bits}`, { clientBits: bits }],
    [`permessage-deflate; server_no_context_takeover; server_max_window_bits=${bits}; ` +
      "client_max_window_bits", { bits }],
  ])),
  ['permessage-deflate; server_max_window_bits="9"', { bits: 9 }],
  // Several: the first that can be taken.
  ["x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=10, permessage-deflate", { bits: 10 }],
  ["permessage-deflate; server_max_window_bits=7, permessage-deflate; server_max_window_bits=9", { bits: 9 }],
  ["permessage-deflate; unknown, permessage-deflate", {}],
  ["permessage-deflate; server_no_context_takeover; server_max_window_bits=8; client_max_window_bits, " +
    "permessage-deflate; server_no_context_takeover, permessage-deflate", { bits: 8 }],
];

test("every offer is answered as RFC 7692 asks, and works both ways", limit(60),
  withServer(ECHO, async (server) => {
    // Repeats lie 300 bytes apart and 3,000: a window that is too large shows as a broken answer.
    const samples = [prose(20000, 3, 300), prose(40000, 4, 3000), prose(70000, 5, 20000), "a".repeat(30000), "x", ""];
    for (const [header, { bits, clientBits }] of OFFERS) {
      const { raw, params } = await offer(server, header);
      const where = `offer "${header}"`;
      assert.ok(params, `${where} was declined`);
      assert.equal(params.get("server_no_context_takeover"), true, `${where} (protocol.md 9)`);
      assert.equal(params.get("client_no_context_takeover"), header.includes("client_no_context") || undefined,
        `${where}: demanded of who offered it, and of nobody else`);
      for (const key of params.keys())
        assert.match(key, /^(server|client)_(no_context_takeover|max_window_bits)$/, where);
      const said = params.get("server_max_window_bits");
      if (bits !== undefined) {
        assert.match(String(said), /^([89]|1[0-5])$/, `${where}: server_max_window_bits (7.1.2.1)`);
        assert.ok(Number(said) <= bits, `${where}: ${said} is more than was asked for`);
      }
      if (!header.includes("client_max_window_bits"))
        assert.ok(!params.has("client_max_window_bits"), `${where}: not offered (7.1.2.2)`);
      const answered = params.get("client_max_window_bits");
      if (answered !== undefined) assert.ok(Number(answered) <= (clientBits ?? 15), where);
      for (const value of samples) {
        const window = { bits: Number(said ?? 15), clientBits: Number(answered ?? clientBits ?? 15) };
        await roundTrip(raw, TEXT, value, window);
        await roundTrip(raw, BINARY, value, { ...window, size: 1000 });
      }
      await raw.closeClean();
    }
  }));

test("offers that cannot be taken are declined, and the connection works without", limit(30),
  withServer(ECHO, async (server) => {
    const bad = [
      "permessage-deflate; unknown",
      "permessage-deflate; unknown=1",
      "permessage-deflate; server_max_window_bits",
      "permessage-deflate; server_max_window_bits=7",
      "permessage-deflate; server_max_window_bits=16",
      "permessage-deflate; server_max_window_bits=0",
      "permessage-deflate; server_max_window_bits=08",
      "permessage-deflate; server_max_window_bits=1000",
      "permessage-deflate; server_max_window_bits=9x",
      "permessage-deflate; server_max_window_bits=-9",
      "permessage-deflate; client_max_window_bits=7",
      "permessage-deflate; client_max_window_bits=16",
      "permessage-deflate; client_max_window_bits=x",
      "permessage-deflate; server_no_context_takeover=1",
      "permessage-deflate; client_no_context_takeover=true",
      "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
      "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
      "permessage-deflat",
      "permessage-deflate2",
      "x-webkit-deflate-frame",
      "permessage-bzip2",
    ];
    for (const header of bad) {
      const { raw, params } = await offer(server, header);
      assert.equal(params, null, `offer "${header}" was accepted`);
      await raw.send(text("plain"));
      const got = await raw.expectMessage(TEXT, "plain");
      assert.equal(got.rsv1, false);
      await raw.send(text(deflate("not agreed"), RSV1));
      await raw.expectFailure(1002);
    }
  }));

test("--compression off declines every offer", limit(10),
  withServer([...ECHO, "--compression", "off"], async (server) => {
    const { raw, params } = await offer(server, "permessage-deflate; client_max_window_bits");
    assert.equal(params, null);
    await raw.send(text("plain"));
    await raw.expectMessage(TEXT, "plain");
    await raw.closeClean();
  }));

const SIZES = [16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072];

for (const header of ["permessage-deflate; client_max_window_bits",
  "permessage-deflate; server_max_window_bits=9; client_max_window_bits"]) {
  test(`messages of 16 B to 128 KiB, a hundred of each, whole and in fragments: ${header}`, limit(60),
    withServer(ECHO, async (server) => {
      const { raw, params } = await offer(server, header);
      const bits = Number(params.get("server_max_window_bits") ?? 15);
      const clientBits = Number(params.get("client_max_window_bits") ?? 15);
      const source = prose(300000, 11);
      let at = 0;
      let smaller = 0;
      for (const size of SIZES) {
        const times = count(size > 20000 ? 50 : 100, 10);
        for (let i = 0; i < times; i++) {
          at = (at + 977) % 150000;
          const value = source.slice(at, at + size);
          const pieces = i % 2 === 0 ? Infinity : size > 65536 ? 32768 : 256;
          const opcode = i % 4 < 2 ? TEXT : BINARY;
          const got = await roundTrip(raw, opcode, value, { bits, clientBits, size: pieces });
          if (got.payload.length < size) smaller++;
        }
      }
      assert.ok(smaller > count(300, 30), `only ${smaller} answers were smaller than their text`);
      await raw.closeClean();
    }));
}

test("blocks of every kind in one message (RFC 7692 7.2.3)", limit(10), withServer(ECHO, async (server) => {
  const { raw } = await offer(server, "permessage-deflate");
  const hex = (s) => Buffer.from(s.replace(/ /g, ""), "hex");
  const answer = async (value) => {
    const got = await raw.message();
    assert.equal((got.rsv1 ? inflate(got.payload) : got.payload).toString(), value);
  };
  const examples = {
    "one block": ["f2 48 cd c9 c9 07 00", "Hello"],
    "no compression": ["00 05 00 fa ff 48 65 6c 6c 6f 00", "Hello"],
    "BFINAL set": ["f3 48 cd c9 c9 07 00 00", "Hello"],
    "two blocks": ["f2 48 05 00 00 00 ff ff ca c9 c9 07 00", "Hello"],
    "empty": ["00", ""],
    "empty, BFINAL set": ["03 00 00", ""],
  };
  for (const [name, [bytes, value]] of Object.entries(examples)) {
    await raw.send(text(hex(bytes), RSV1));
    await answer(value).catch((e) => assert.fail(`${name}: ${e.message}`));
  }
  await raw.send(text(hex("f2 48 cd"), { fin: false, ...RSV1 }), cont(hex("c9 c9 07 00")));
  await answer("Hello");
  const stored = prose(5000);
  await raw.send(text(deflate(stored, { level: 0 }), RSV1));
  await answer(stored);
  const fixed = zlib.deflateRawSync(stored, {
    strategy: zlib.constants.Z_FIXED,
    finishFlush: zlib.constants.Z_SYNC_FLUSH,
  });
  await raw.send(text(fixed.subarray(0, -4), RSV1));
  await answer(stored);
  const halves = [stored.slice(0, 2500), stored.slice(2500)].map((half) => deflate(half));
  await raw.send(text(Buffer.concat([halves[0], hex("00 00 ff ff"), halves[1]]), RSV1));
  await answer(stored);
  await raw.send(text("not compressed at all")); // allowed per message, section 6
  await answer("not compressed at all");
  await raw.send(text(""));
  await answer("");
  await raw.closeClean();
}));

test("compressed fragments with control frames between, and empty ones", limit(20),
  withServer(ECHO, async (server) => {
    const { raw } = await offer(server, "permessage-deflate; client_max_window_bits");
    const value = prose(3000, 9);
    const parts = fragments(TEXT, deflate(value), 37, RSV1);
    for (const [i, part] of parts.entries()) {
      await raw.send(part);
      if (i === parts.length - 1) break;
      await raw.send(ping(`${i}`));
      await raw.expectPong(`${i}`);
    }
    const got = await raw.message();
    assert.equal((got.rsv1 ? inflate(got.payload) : got.payload).toString(), value);
    const packed = deflate(value);
    const open = { fin: false };
    await raw.send(text("", { ...open, ...RSV1 }), cont("", open), cont(packed.subarray(0, 5), open),
      cont("", open), cont(packed.subarray(5), open), cont(""));
    const again = await raw.message();
    assert.equal((again.rsv1 ? inflate(again.payload) : again.payload).toString(), value);
    await raw.sendChopped(text(packed, RSV1), 1);
    const third = await raw.message();
    assert.equal((third.rsv1 ? inflate(third.payload) : third.payload).toString(), value);
    await raw.closeClean();
  }));

test("RSV1 where it must not be: continuations and control frames", limit(10),
  withServer(ECHO, async (server) => {
    const packed = deflate(prose(500));
    const bad = [
      [text(packed.subarray(0, 9), { fin: false, ...RSV1 }), cont(packed.subarray(9), RSV1)],
      [text("plain", { fin: false }), cont("x", RSV1)],
      [ping("x", RSV1)],
      [frame(10, "x", RSV1)],
      [frame(8, Buffer.from([3, 232]), RSV1)],
      [text("x", { rsv: 2 })],
      [text(packed, { rsv: 5 })],
    ];
    for (const [i, frames] of bad.entries()) {
      const { raw } = await offer(server, "permessage-deflate");
      await raw.send(text("before"), ...frames, ping("after"));
      const got = await raw.message();
      assert.equal((got.rsv1 ? inflate(got.payload) : got.payload).toString(), "before", `case ${i}`);
      await raw.expectFailure(1002);
    }
  }));

/** A client's compression that goes on from message to message. */
function keeper(bits = 15) {
  const z = zlib.createDeflateRaw({ windowBits: bits });
  return (value) => new Promise((resolve) => {
    const out = [];
    const take = (chunk) => out.push(chunk);
    z.on("data", take);
    z.write(value);
    z.flush(zlib.constants.Z_SYNC_FLUSH, () => {
      z.off("data", take);
      resolve(Buffer.concat(out).subarray(0, -4));
    });
  });
}

test("we keep no context: the same message costs the same each time", limit(10),
  withServer(ECHO, async (server) => {
    const { raw } = await offer(server, "permessage-deflate");
    const value = prose(800, 21, 700);
    const first = await roundTrip(raw, TEXT, value);
    for (let i = 0; i < 5; i++) {
      const got = await roundTrip(raw, TEXT, value);
      sameBytes(got.payload, first.payload);
    }
    await raw.closeClean();
  }));

test("a client may keep its context, in the window that was agreed on", limit(60),
  withServer(ECHO, async (server) => {
    const source = prose(200000, 5, 30000);
    for (const [header, most] of [["permessage-deflate", 15], ["permessage-deflate; client_max_window_bits", 10],
      ["permessage-deflate; client_max_window_bits=9", 9], ["permessage-deflate; server_max_window_bits=9", 15]]) {
      const { raw, params } = await offer(server, header);
      const bits = Number(params.get("client_max_window_bits") ?? 15);
      assert.equal(bits, most, `${header}`);
      const pack = keeper(bits);
      let saved = 0;
      for (let i = 0; i < 60; i++) {
        const size = [20, 300, 5000, 50000][i % 4];
        const value = source.slice((i * 61) % 20000, (i * 61) % 20000 + size);
        const packed = await pack(value);
        saved += deflate(value, { bits }).length - packed.length;
        if (i % 5 === 4) { // what is not compressed is no part of the context
          await raw.send(text(value));
          assert.equal((await raw.message()).opcode, TEXT);
        }
        await raw.send(...(i % 3 ? [text(packed, RSV1)] : fragments(TEXT, packed, 100, RSV1)));
        const got = await raw.message();
        const window = Number(params.get("server_max_window_bits") ?? 15);
        sameBytes(got.rsv1 ? inflate(got.payload, window) : got.payload, Buffer.from(value));
      }
      assert.ok(saved > 1000, `${header}: its context saved ${saved} bytes only`);
      await raw.closeClean();
    }
    // Who offers not to keep it is held to that.
    const { raw } = await offer(server, "permessage-deflate; client_no_context_takeover");
    const pack = keeper();
    await raw.send(text(await pack(prose(800)), RSV1));
    assert.equal((await raw.message()).opcode, TEXT);
    await raw.send(text(await pack(prose(800)), RSV1));
    await raw.expectFailure(1007);
  }));

test("the memory for contexts has a bound; who comes then does without", limit(60), async (t) => {
  // Half of the budget is the memory store's; a quarter of the rest are 4 contexts of 32 KiB.
  const args = [...ECHO, "--memory-budget", "1m"];
  await t.test("programs get no compression, browsers are told to keep none", withServer(args, async (server) => {
    const taken = [];
    const bytes = () => server.metric(/^parlor_deflate_context_bytes$/);
    for (let i = 0; i < 4; i++) taken.push((await offer(server, "permessage-deflate")).raw);
    assert.equal(await bytes(), 4 * 32768);
    const { raw: program, params: none } = await offer(server, "permessage-deflate");
    assert.equal(none, null);
    const { raw: modest, params: alone } = await offer(server, "permessage-deflate; client_no_context_takeover");
    assert.equal(alone.get("client_no_context_takeover"), true);
    const browser = await Raw.open(server.port, "/ws/echo/", { extensions: "permessage-deflate; client_max_window_bits",
      headers: { Origin: `http://localhost:${server.port}` } });
    const [answer] = parseExtensions(browser.response.headers["sec-websocket-extensions"]);
    assert.equal(answer.params.get("client_no_context_takeover"), true);
    for (const raw of [modest, browser]) await roundTrip(raw, TEXT, prose(3000));
    for (const raw of [program, modest, browser, taken.pop()]) await raw.closeClean();
    await until(ms(5000), async () => (await bytes()) === 3 * 32768, "given back");
    const { raw: next, params } = await offer(server, "permessage-deflate; client_max_window_bits");
    assert.equal(params.get("client_max_window_bits"), "10");
    assert.equal(await bytes(), 3 * 32768 + 1024);
    for (const raw of [next, ...taken]) await raw.closeClean();
    await until(ms(5000), async () => (await bytes()) === 0, "given back");
  }));
  await t.test("no client has all of it", withServer([...ECHO, "--trusted-proxies", "none", "--memory-budget", "4m"],
    async (server) => { // 16 contexts
      const open = async (from) => {
        const raw = await Raw.open(server.port, "/ws/echo/", { localAddress: from, extensions: "permessage-deflate" });
        return { raw, compressed: raw.response.headers["sec-websocket-extensions"] !== undefined };
      };
      const all = [];
      for (let i = 0; i < 16; i++) all.push(await open("127.0.0.66"));
      assert.equal(all.filter(({ compressed }) => compressed).length, 5, "a third");
      for (let i = 0; i < 3; i++) all.push(await open("127.0.0.7"));
      assert.ok(all.slice(-3).every(({ compressed }) => compressed), "another client finds some");
      for (const { raw } of all) await raw.closeClean();
    }));
  await t.test("who vanishes holds nothing", withServer(args, async (server) => {
    for (let i = 0; i < 20; i++) {
      const { raw } = await offer(server, "permessage-deflate", "/ws/chat/lobby/");
      raw.reset();
    }
    await until(ms(5000), async () => (await server.metric(/^parlor_deflate_context_bytes$/)) === 0, "given back");
  }));
  await t.test("none at all", withServer([...ECHO, "--memory-budget", "0"], async (server) => {
    const { params } = await offer(server, "permessage-deflate");
    assert.equal(params, null);
    const { raw, params: alone } = await offer(server, "permessage-deflate; client_no_context_takeover");
    assert.ok(alone);
    await roundTrip(raw, TEXT, prose(3000));
    await raw.closeClean();
  }));
});

test("corrupt data and invalid UTF-8 inside: 1007", limit(20), withServer(ECHO, async (server) => {
  const hex = (s) => Buffer.from(s, "hex");
  const whole = deflate(prose(4000, 2));
  const bad = {
    "reserved block type": hex("07ffff"),
    "stored block with a wrong length": hex("0005000000"),
    "stored block that stops early": hex("000500faff4865"),
    "distance before the start": zlib.deflateRawSync(Buffer.alloc(100, "ab"), {
      dictionary: Buffer.from("abababababababab"),
      finishFlush: zlib.constants.Z_SYNC_FLUSH,
    }).subarray(0, -4),
    "cut in the middle": whole.subarray(0, whole.length >> 1),
    noise: Buffer.from(Array.from({ length: 300 }, (_, i) => (i * 73 + 255) & 255)),
    "invalid UTF-8": deflate(Buffer.from("6f6bff6f6b", "hex")),
    "surrogate in UTF-8": deflate(Buffer.from("eda080", "hex")),
    "text that ends inside a character": deflate(Buffer.from("e282", "hex")),
  };
  for (const [name, payload] of Object.entries(bad)) {
    const { raw } = await offer(server, "permessage-deflate");
    await raw.send(text(payload, RSV1));
    await raw.expectFailure(1007).catch((e) => assert.fail(`${name}: ${e.message}`));
  }
  const { raw } = await offer(server, "permessage-deflate");
  await raw.send(binary(deflate(Buffer.from("fffe80", "hex")), RSV1));
  const got = await raw.message();
  sameBytes(got.rsv1 ? inflate(got.payload) : got.payload, Buffer.from("fffe80", "hex"));
  await raw.closeClean();
}));

test("bombs: 16 MiB unfold, one byte more is 1009, and memory stays", limit(60),
  withServer(ECHO, async (server) => {
    const { raw } = await offer(server, "permessage-deflate");
    const most = Buffer.alloc(16 * MIB);
    await raw.send(binary(deflate(most), RSV1));
    const got = await raw.message(ms(30000));
    sameBytes(got.rsv1 ? inflate(got.payload) : got.payload, most);
    await raw.closeClean();
    const before = server.residentBytes();
    for (const size of [16 * MIB + 1, 64 * MIB, count(512, 128) * MIB]) {
      const bomb = deflate(Buffer.alloc(size), { level: 9 });
      const { raw: one } = await offer(server, "permessage-deflate");
      await one.send(binary(bomb, RSV1));
      await one.expectFailure(1009, ms(30000));
    }
    const grown = server.residentBytes() - before;
    if (!SANITIZED) assert.ok(grown < 64 * MIB, `a bomb cost ${grown} bytes`);
  }));

test("in a room: a bomb is 1009 by the frame limit, corrupt data 1007, and the room goes on", limit(20),
  withServer(["--workers", "2", "--rate", "0"], async (server) => {
    const witness = await Member.join(server);
    const chat = "/ws/chat/lobby/";
    const send = async (payload, code) => {
      const { raw, params } = await offer(server, "permessage-deflate", chat);
      assert.ok(params);
      await raw.send(text(payload, RSV1));
      const said = await raw.expectFailure(code);
      assert.notEqual(said.reason, "");
    };
    await send(deflate(`{"message":"${"z".repeat(MIB)}"}`), 1009);
    await send(deflate(Buffer.alloc(64 * 1024 + 1, " ")), 1009);
    await send(Buffer.from("07ffff", "hex"), 1007);
    await send(deflate(Buffer.from("7b226d657373616765223a22ff227d", "hex")), 1007);
    const { raw } = await offer(server, "permessage-deflate", chat);
    const padded = `{"message":"fits","pad":"${"p".repeat(65536 - 34)}"}`;
    assert.ok(Buffer.byteLength(padded) <= 65536);
    await raw.send(text(deflate(padded), RSV1));
    const got = await witness.next();
    assert.equal(got.message, "fits");
    await raw.message();
    await raw.closeClean();
    await witness.leave();
  }));

test("members with different compression read the same texts in the same order", limit(60),
  withServer(["--workers", "2", "--rate", "0"], async (server) => {
    const plain = await Member.join(server, "mixed");
    const theirs = await Member.join(server, "mixed", { perMessageDeflate: true });
    const full = await Member.join(server, "mixed", { query: "?fields=full", perMessageDeflate: true });
    const raws = [];
    for (const bits of [8, 9, 12, 15]) {
      const header = `permessage-deflate; server_max_window_bits=${bits}`;
      const { raw, params } = await offer(server, header, "/ws/chat/mixed/");
      assert.ok(params);
      raws.push({ raw, bits: Number(params.get("server_max_window_bits")) });
    }
    const texts = [];
    for (const size of [1, 20, 125, 126, 1000, 5000, 16000, 16384]) {
      texts.push(prose(size, size, 700), prose(size, size + 1, 14000), "\u{1f600}".repeat(size >> 2) || "-");
    }
    const talkers = [plain, theirs, full];
    texts.forEach((value, i) => talkers[i % 3].say({ message: value, username: "mix" }));
    const order = [];
    for (let i = 0; i < texts.length; i++) order.push((await plain.next()).message);
    assert.deepEqual([...order].sort(), [...texts].sort());
    for (const value of order) {
      await theirs.expectBare("mix", value);
      assert.equal((await full.next()).message, value);
    }
    for (const { raw, bits } of raws) {
      for (const value of order) {
        const got = await raw.message();
        const json = (got.rsv1 ? inflate(got.payload, bits) : got.payload).toString();
        assert.deepEqual(JSON.parse(json), { message: value, username: "mix" });
      }
      await raw.send(close(1000));
    }
    for (const member of talkers) await member.leave();
  }));
