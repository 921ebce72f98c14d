// Clients that come by IPv6 themselves, without a proxy that names them: limits, budgets and logs go by
// their /64. Addresses of more than one /64 need root, which gives them to the loopback interface for
// as long as a test runs; behind the PROXY protocol any address can be had (limits.test.js).
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomInt } from "node:crypto";
import net from "node:net";
import { test } from "node:test";
import { Member } from "./lib/chat.js";
import { NO_PROXIES, Silence } from "./lib/clients.js";
import { HttpConnection, request } from "./lib/http.js";
import { withServer } from "./lib/server.js";
import { limit, ms, until } from "./lib/wait.js";

const LOOPBACK = "::1";

const bindable = (host) => new Promise((resolve) => {
  const probe = net.createServer().once("error", () => resolve(false));
  probe.listen({ port: 0, host }, () => probe.close(() => resolve(true)));
});

const HAS_IPV6 = await bindable(LOOPBACK);
const options = (seconds) => ({ ...limit(seconds), skip: !HAS_IPV6 && "this machine has no IPv6" });

/** The body also gets the port at which [::1] is listened to. */
const withIpv6 = (args, body) => withServer(
  ["--listen", "[::1]:0", "--workers", "2", "--log-level", "debug", ...args],
  async (server, t) => {
    await server.says(/http:\/\/\[::1\]:\d+\//, ms(5000));
    const port = Number(/http:\/\/\[::1\]:(\d+)\//.exec(server.stderr)[1]);
    await body(server, port, t);
  });

const join = (port, room, from = LOOPBACK, headers = {}) =>
  Member.join(port, room, { host: "[::1]", localAddress: from, headers });

/** Enters this many new rooms; resolves with how many it got. */
async function enterRooms(port, prefix, n, from, headers) {
  let entered = 0;
  for (let i = 0; i < n; i++) {
    const member = await join(port, `${prefix}-${i}`, from, headers).catch((error) => error);
    if (member instanceof Error) assert.match(member.message, /429/);
    else entered++, await member.leave();
  }
  return entered;
}

/** Runs with addresses on the loopback interface that nothing else on the machine has, or is skipped. */
async function withAddresses(t, addresses, body) {
  const ip = (what, address) =>
    execFileSync("ip", ["-6", "addr", what, `${address}/128`, "dev", "lo", ...(what === "add" ? ["nodad"] : [])],
      { stdio: "pipe", env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` } });
  const added = [];
  try {
    for (const address of addresses) {
      try {
        ip("add", address);
      } catch (error) {
        t.skip(`no addresses to be had: ${error.stderr ?? error.message}`.trim());
        return;
      }
      added.push(address);
    }
    await body();
  } finally {
    for (const address of added) ip("del", address);
  }
}

/** A random prefix of those that are for everybody's own use (RFC 4193), without zeros in front, as the log has it. */
function ownPrefix() {
  const group = () => randomInt(0x1000, 0x10000).toString(16);
  return `fd${group().slice(2)}:${group()}:${group()}`;
}

test("a client of [::1] is one like any other: connections, rooms, the log", options(30),
  withIpv6([...NO_PROXIES, "--max-connections-per-ip", "3", "--rooms-per-ip", "3"], async (server, port) => {
    const members = [];
    for (let i = 0; i < 3; i++) members.push(await join(port, "lobby"));
    await assert.rejects(join(port, "lobby"), /503/);
    members.push(await Member.join(server)); // by IPv4 it is another client
    members[0].say("over both", { username: "ann" });
    for (const member of members) await member.expectBare("ann", "over both");
    await members.shift().leave();
    await until(ms(5000), () => join(port, "lobby").then((m) => members.push(m), () => false), "a free place");
    await Promise.all(members.map((m) => m.leave()));
    await until(ms(5000), async () => (await server.metric(/^parlor_websockets$/)) === 0, "their end");

    const forged = { "X-Forwarded-For": "2001:db8::1", "X-Real-IP": "2001:db8::1", Forwarded: 'for="[2001:db8::1]"' };
    assert.equal(await enterRooms(port, "a", 5, LOOPBACK, forged), 2, "the lobby was the first of three");
    await server.says(/over_budget.*peer=::1 .*budget=rooms/, ms(5000));
    assert.match(server.stderr, /websocket_closed.*peer=::1 /);
    assert.match(server.stderr, /websocket_closed.*peer=127\.0\.0\.1 /);
    assert.doesNotMatch(server.stderr, /peer=2001:db8/);
  }));

test("messages and connects have their budgets, health is answered all the same", options(30),
  withIpv6([...NO_PROXIES, "--messages-per-ip", "3", "--connects-per-ip", "6"], async (server, port) => {
    const member = await join(port, "lobby");
    for (let i = 0; i < 3; i++) {
      member.say(`m${i}`, { username: "ann" });
      await member.expectBare("ann", `m${i}`);
    }
    member.say("one too many");
    await member.expectRefusal("rate_limited");
    const other = await Member.join(server);
    other.say("from another address", { username: "bob" });
    for (const m of [member, other]) await m.expectBare("bob", "from another address");
    let refused = false;
    for (let i = 0; i < 20 && !refused; i++)
      refused = await join(port, "lobby").then((m) => m.leave().then(() => false), (error) => /429/.test(error.message));
    assert.ok(refused, "it could connect as often as it liked");
    assert.equal((await request(port, "GET", "/healthz", {}, LOOPBACK)).status, 200);
    await Promise.all([member.leave(), other.leave()]);
  }));

test("[::1] is trusted by default: it may forward, and is exempt until it does", options(30),
  withIpv6(["--rooms-per-ip", "2", "--max-connections-per-ip", "3"], async (server, port) => {
    const own = { Host: `[::1]:${port}`, Origin: `http://[::1]:${port}` };
    assert.equal(await enterRooms(port, "own", 4, LOOPBACK, own), 4);
    assert.doesNotMatch(server.stderr, /loopback_limited/);
    assert.equal(await enterRooms(port, "a", 3, LOOPBACK, { "X-Forwarded-For": "2001:db8:0:1::1" }), 2);
    await server.says(/loopback_limited/, ms(5000));
    assert.equal(await enterRooms(port, "b", 3, LOOPBACK, { "X-Forwarded-For": "2001:db8:0:1:ffff::2" }), 0, "the same /64");
    assert.equal(await enterRooms(port, "c", 3, LOOPBACK, { "X-Forwarded-For": "2001:db8:0:2::1" }), 2);
    assert.equal(await enterRooms(port, "d", 3, LOOPBACK), 2, "the proxy itself");
    assert.match(server.stderr, /websocket_closed.*peer=2001:db8:0:1:: /);
  }));

test("a listener of [::1] answers to names of this machine, and to no other", options(20),
  withIpv6([], async (_server, port) => {
    for (const [Host, status] of [[`[::1]:${port}`, 200], ["localhost", 200], ["[2001:db8::1]", 200], ["evil.example", 421], ["[::1].evil.example", 421]])
      assert.equal((await request(port, "GET", "/", { Host }, LOOPBACK)).status, status, `${Host}`);
  }));

test("a /64 is one client, whatever address of it connects", options(60), async (t) => {
  const prefix = ownPrefix();
  const [one, two, far] = [`${prefix}:1::1`, `${prefix}:1:ffff::2`, `${prefix}:2::1`];
  await withAddresses(t, [one, two, far], withIpv6(["--max-connections-per-ip", "4", "--rooms-per-ip", "3"],
    async (server, port) => {
      const host = await Member.join(server); // so that the lobby is no new room
      // Nothing but ::1 is loopback: nobody here is trusted or exempt.
      assert.equal(await enterRooms(port, "a", 2, one), 2);
      assert.equal(await enterRooms(port, "b", 3, two, { "X-Forwarded-For": "203.0.113.1" }), 1, "one budget");
      assert.equal(await enterRooms(port, "c", 4, far), 3, "of another /64");
      await until(ms(5000), async () => (await server.metric(/^parlor_websockets$/)) === 1, "their end");

      const members = await Promise.all([one, two, one, two].map((from) => join(port, "lobby", from)));
      for (const full of [one, two]) await assert.rejects(join(port, "lobby", full), /503/);
      members.push(host, await join(port, "lobby", far));
      const silence = new Silence({ port }, 50, { host: LOOPBACK, localAddress: two, redial: false });
      await until(ms(5000), async () => (await server.metric(/^parlor_connections$/)) <= members.length + 1, "the end of the silent ones");
      silence.end();
      const kept = await HttpConnection.open(port, LOOPBACK, far);
      assert.equal((await kept.ask("GET", "/healthz")).status, 200);
      kept.end();
      await Promise.all(members.map((m) => m.leave()));

      await server.says(new RegExp(`over_budget.*peer=${prefix}:1:: .*budget=rooms`), ms(5000));
      assert.match(server.stderr, new RegExp(`websocket_closed.*peer=${prefix}:2:: `));
      // But of who forwards, as `two` says it does: its own address is what to trust, if it is a proxy.
      const [proxies, clients] = [true, false].map((is) => server.stderr.split("\n")
        .filter((line) => line.includes("proxy_not_trusted") === is).join("\n"));
      assert.match(proxies, new RegExp(`option="--trusted-proxies ${two}"`));
      assert.ok(!clients.includes(two), "an address of its own in the log");
    }));
});
