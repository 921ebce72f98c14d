// Who ends what, and when (RFC 6455 section 7.1): after its close frame the server waits for the
// peer's, within a bound, and only then ends TCP; the peer that was closed sees a clean close, whatever
// the reason was and whatever it was just sending.
import assert from "node:assert/strict";
import { test } from "node:test";
import { deflate } from "./lib/deflate.js";
import { BINARY, CLOSE, Raw, TEXT, close, cont, frame, ping, text } from "./lib/raw.js";
import { startServer, withServer } from "./lib/server.js";
import { limit, ms, pause, until } from "./lib/wait.js";

const TWO = ["--workers", "2", "--rate", "0"];
const CHAT = "/ws/chat/lobby/";
const QUIET_MS = 400; // in which an end that does not wait would have come long ago

/** The server has sent its close frame: TCP stays open until ours is there, and ends then. */
async function waitsForOurs(raw, code, rest = []) {
  await raw.expectClose(code);
  const early = await Promise.race([raw.over, pause(QUIET_MS)]);
  assert.equal(early, undefined, "TCP was ended before our close frame");
  for (const part of rest) await raw.send(part);
  await raw.send(close(code));
  await raw.expectEnd();
}

const KIB64 = Buffer.alloc(64 * 1024 + 1, "x");

/** What closes a connection: the bytes that do it, and those that were on their way meanwhile. */
/** @type {Record<string, [number, Buffer[], Buffer[]?]>} */
const REASONS = {
  "text that is not UTF-8": [1007, [text(Buffer.from([0xff]))]],
  "a binary frame": [1003, [frame(BINARY, "x")], [text('{"message":"late"}')]],
  "a frame that is too big": [1009, [text(KIB64).subarray(0, 5000)], [text(KIB64).subarray(5000), text("late")]],
  "fragments that are too big": [1009, [text(KIB64.subarray(0, 60000), { fin: false }), cont(KIB64.subarray(0, 10000))]],
  "a violation of the protocol": [1002, [cont("x")], [ping("late")]],
  "refused over and over": [1008, [Buffer.concat(Array.from({ length: 101 }, () => text("nonsense")))], [text("late")]],
};

for (const [name, [code, parts, rest]] of Object.entries(REASONS)) {
  test(`closed for ${name}: TCP ends after the peer's close frame`, limit(20), withServer(TWO, async (server) => {
    const raw = await Raw.open(server.port, CHAT);
    for (const part of parts) await raw.send(part);
    if (code === 1008) for (let i = 0; i < 100; i++) assert.notEqual((await raw.next()).opcode, CLOSE);
    await waitsForOurs(raw, code, rest);
  }));
}

test("who breaks off a frame is not waited for: its close frame could not be told from the rest", limit(20),
  withServer(TWO, async (server) => {
    const lost = text("", { lengthForm: 64 });
    lost[2] |= 0x80; // a length with its top bit set
    for (const [code, bytes] of [[1007, text(Buffer.from([0xff, 0x61, 0x62])).subarray(0, 7)], [1002, lost]]) {
      const raw = await Raw.open(server.port, CHAT);
      const began = performance.now();
      await raw.send(bytes);
      await raw.expectFailure(code);
      assert.ok(performance.now() - began < ms(5000), `${code}`);
    }
  }));

test("closed for compressed data that is none, and for a bomb", limit(20), withServer(TWO, async (server) => {
  for (const [code, bytes] of [[1007, Buffer.from("07ffff", "hex")], [1009, deflate(Buffer.alloc(1 << 20))]]) {
    const raw = await Raw.open(server.port, CHAT, { extensions: "permessage-deflate" });
    await raw.send(text(bytes, { rsv: 4 }));
    await waitsForOurs(raw, code);
  }
}));

test("an origin that is refused is closed as cleanly", limit(20),
  withServer([...TWO, "--origins", "https://good.example"], async (server) => {
    const raw = await Raw.open(server.port, CHAT, { headers: { Origin: "https://bad.example" } });
    assert.equal((await raw.next()).opcode, TEXT); // which says why
    await waitsForOurs(raw, 4003);
  }));

test("a server that goes waits for the close frames, as long as it has time", limit(30), async () => {
  const server = await startServer(TWO);
  const raw = await Raw.open(server.port, CHAT);
  server.kill("SIGTERM");
  await waitsForOurs(raw, 1012);
  const end = await server.gone;
  assert.deepEqual(end, { code: 0, signal: null });
});

test("a close frame that is wrong is one all the same", limit(20), withServer(TWO, async (server) => {
  /** @type {[number, Buffer][]} */
  const wrong = [[1002, Buffer.from([3])], [1002, Buffer.from([3, 0xec])], [1007, Buffer.from([3, 232, 0xff])]];
  for (const [code, bytes] of wrong) {
    const raw = await Raw.open(server.port, CHAT);
    await raw.send(frame(CLOSE, bytes));
    await raw.expectClose(code);
    const began = performance.now();
    await raw.expectEnd();
    assert.ok(performance.now() - began < ms(5000), "it waited for a second one");
  }
}));

test("who sends no close frame is let go after ten seconds, who ends TCP at once", limit(60), withServer(TWO, async (server) => {
  const began = performance.now();
  const silent = await Raw.open(server.port, CHAT);
  await silent.send(frame(BINARY, "x"));
  const chatty = await Raw.open(server.port, CHAT);
  await chatty.send(frame(BINARY, "x"));
  for (const raw of [silent, chatty]) await raw.expectClose(1003);
  const talking = setInterval(() => chatty.send(text('{"message":"on and on"}')).catch(() => {}), 200);
  const gone = await Raw.open(server.port, CHAT);
  await gone.send(frame(BINARY, "x"));
  await gone.expectClose(1003);
  gone.socket.end();
  await gone.expectEnd(ms(5000));
  await silent.expectEnd(ms(20000));
  assert.ok(performance.now() - began > 9000, "it was not waited for");
  await Promise.race([chatty.over, pause(ms(5000)).then(() => assert.fail("a peer that talks on is kept"))]);
  clearInterval(talking);
  chatty.destroy();
  await until(ms(5000), async () => (await server.metric(/^parlor_connections$/)) <= 1, "no connections");
}));

test("what lies unread when the server closes is gone through, too", limit(30),
  withServer([...TWO, "--ping-interval", "1s"], async (server) => {
    // It is silent for two periods: 4201, and its close frame comes in pieces behind other frames.
    const raw = await Raw.open(server.port, CHAT, { answerPings: false });
    for (;;) {
      const got = await raw.next(ms(10000));
      if (got.opcode === CLOSE) break;
    }
    const bytes = Buffer.concat([text('{"message":"x"}'), ping("x"), text(KIB64.subarray(0, 300)), close(4201, "so long")]);
    await raw.sendChopped(bytes, 7);
    const began = performance.now();
    await raw.expectEnd();
    assert.ok(performance.now() - began < ms(5000), "its close frame was not seen");
  }));
