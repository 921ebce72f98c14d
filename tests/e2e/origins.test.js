// Which pages may use the server from a browser: same-origin always, others by listener and option,
// and what a refused one is told.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { visitor, withBrowser } from "./lib/browser.js";
import { Member, Rich } from "./lib/chat.js";
import { request } from "./lib/http.js";
import { Raw, TEXT, text } from "./lib/raw.js";
import { Server, freePort, withDirectory, withServer } from "./lib/server.js";
import { limit, ms } from "./lib/wait.js";

const ONE = ["--workers", "1"];

/** Opens a WebSocket as a page's browser would. */
const knock = (server, headers, target = "/ws/chat/lobby/") =>
  Raw.open(server.port, target, { headers, host: server.host });

async function welcomed(server, headers) {
  const raw = await knock(server, headers);
  await raw.send(text('{"message":"in","username":"u"}'));
  await raw.expectMessage(TEXT, '{"message":"in","username":"u"}').catch((error) => {
    throw new Error(`${JSON.stringify(headers)}: ${error.message}`);
  });
  await raw.closeClean();
}

/** It is told in a frame and by the close, and both name the option. */
async function refused(server, headers, option, code = "forbidden") {
  const raw = await knock(server, headers);
  raw.send(text('{"message":"intruder"}'));
  const frame = JSON.parse((await raw.message()).payload);
  assert.deepEqual(Object.keys(frame), ["message", "username", "error"]);
  assert.equal(frame.username, "system");
  assert.deepEqual(frame.error, { code });
  assert.match(frame.message, /^Not connected: /);
  const { reason } = await raw.expectFailure(4003);
  if (option === null) {
    assert.doesNotMatch(frame.message + reason, /--origins/);
  } else {
    assert.ok(frame.message.includes(`: ${option} allows it`), frame.message);
    assert.ok(reason.includes(option), reason);
  }
}

/** A server that listens on an address of this machine that is not a loopback one. */
const withOpenServer = (args, body) => async (t) => {
  const address = Object.values(os.networkInterfaces()).flat().find((a) => a.family === "IPv4" && !a.internal)?.address;
  if (!address) return t.skip("this machine has no address but loopback");
  const port = await freePort();
  const server = new Server(port, ["--listen", `${address}:${port}`, "--drain-timeout", "2s", ...args]);
  Object.assign(server, { host: address });
  try {
    await server.listening();
    return await body(server, `${address}:${port}`);
  } finally {
    await server.stop();
  }
};

test("the own page is not locked out by --origins", limit(10),
  withServer([...ONE, "--origins", "https://app.example"], async (server) => {
    const own = `localhost:${server.port}`;
    await welcomed(server, { Host: own, Origin: `http://${own}` });
    await welcomed(server, { Host: own.toUpperCase(), Origin: `http://${own}` });
    await welcomed(server, { Host: `127.0.0.1:${server.port}`, Origin: `http://127.0.0.1:${server.port}` });
    await welcomed(server, { Origin: "https://app.example" });
    await welcomed(server, {});
    const witness = await Member.join(server);
    await refused(server, { Host: own, Origin: "http://localhost:3000" }, "--origins http://localhost:3000");
    await refused(server, { Host: own, Origin: `http://localhost:${server.port + 1}` },
      `--origins http://localhost:${server.port + 1}`);
    await refused(server, { Host: own, Origin: "null" }, "--origins null");
    await refused(server, { Host: own, Origin: "http://[::1]:3000" }, "--origins 'http://[::1]:3000'");
    await witness.expectNothing("heard nobody");
    await witness.leave();
  }));

test("no option on a loopback listener: any page, as the seed wants it", limit(10), withServer(ONE, async (server) => {
  for (const Origin of ["null", "http://localhost:3000", "https://example.org", "file://"])
    await welcomed(server, { Origin });
}));

test("a page that was rebound to this machine is refused, its WebSocket and its requests", limit(20),
  withServer([...ONE, "--api-key", "k".repeat(16)], async (server) => {
    const Host = `evil.example:${server.port}`;
    const option = `--origins http://${Host}`;
    await refused(server, { Host, Origin: `http://${Host}` }, option, "bad_host");
    await refused(server, { Host }, option, "bad_host");
    for (const target of ["/", "/metrics", "/api/v1/rooms", "/api/v1/openapi.json", "/nothing"]) {
      const got = await request(server.port, "GET", target, { Host });
      assert.equal(got.status, 421, target);
      assert.equal(got.json.error.code, "bad_host");
      assert.ok(got.json.error.detail.includes(`${option} allows it`), got.text);
    }
    for (const target of ["/healthz", "/readyz"])
      assert.equal((await request(server.port, "GET", target, { Host })).status, 200, target);
    for (const good of ["localhost", `localhost:${server.port}`, "127.0.0.1", `[::1]:${server.port}`, "LOCALHOST.",
      "chat.localhost", "10.1.2.3"])
      assert.equal((await request(server.port, "GET", "/", { Host: good })).status, 200, good);
    for (const bad of ["localhost.evil.example", "127.0.0.1.nip.io", "x"])
      assert.equal((await request(server.port, "GET", "/", { Host: bad })).status, 421, bad);
    assert.match(server.stderr, /host_refused.*--origins http:\/\/evil\.example/);
    assert.ok(await server.metric(/^parlor_refusals_total\{code="bad_host"\}/) >= 7);
  }));

test("a list names hosts for a loopback listener too, * all of them", limit(10), async (t) => {
  await t.test("a list", withServer([...ONE, "--origins", "https://chat.example,http://localhost:3000"],
    async (server) => {
      await welcomed(server, { Host: "chat.example", Origin: "https://chat.example" });
      await welcomed(server, { Host: "chat.example:8080", Origin: "http://localhost:3000" });
      assert.equal((await request(server.port, "GET", "/", { Host: "Chat.Example." })).status, 200);
      assert.equal((await request(server.port, "GET", "/", { Host: "other.example" })).status, 421);
      await refused(server, { Host: "other.example", Origin: "http://other.example" },
        "--origins http://other.example", "bad_host");
    }));
  await t.test("*", withServer([...ONE, "--origins", "*"], async (server) => {
    await welcomed(server, { Host: "any.example", Origin: "https://other.example" });
    assert.equal((await request(server.port, "GET", "/", { Host: "any.example" })).status, 200);
  }));
});

test("a proxy on this machine passes on names that are not local", limit(20), async (t) => {
  const Host = "chat.example.org";
  const Origin = "https://chat.example.org";
  const headers = [{ "X-Forwarded-For": "203.0.113.7" }, { "X-Forwarded-Proto": "https" },
    { "X-Real-IP": "203.0.113.7" }, { Forwarded: "for=203.0.113.7;host=chat.example.org" },
    { "X-Forwarded-Host": Host }];
  await t.test("no option", withServer(ONE, async (server) => {
    for (const forwarded of headers) {
      await welcomed(server, { Host, Origin, ...forwarded });
      assert.equal((await request(server.port, "GET", "/", { Host, ...forwarded })).status, 200);
    }
    await refused(server, { Host, Origin }, `--origins ${Origin}`, "bad_host");
  }));
  await t.test("same-origin is what the browser asked for", withServer([...ONE, "--origins", "https://app.example"],
    async (server) => {
      for (const forwarded of headers) {
        await welcomed(server, { Host, Origin, ...forwarded });
        await refused(server, { Host, Origin: "https://evil.example", ...forwarded }, "--origins https://evil.example");
      }
      const own = `127.0.0.1:${server.port}`;
      await welcomed(server, { Host: own, Origin, "X-Forwarded-Host": Host });
      await welcomed(server, { Host: own, Origin, "X-Forwarded-Host": `${Host}, inner.example` });
      await welcomed(server, { Host: "parlor", Origin: `${Origin}:8443`, "X-Forwarded-Host": `${Host}:8443` });
      await refused(server, { Host: own, Origin: `http://${own}`, "X-Forwarded-Host": Host }, `--origins http://${own}`);
      await refused(server, { Host: own, Origin, "X-Forwarded-Host": `evil.example, ${Host}` }, `--origins ${Origin}`);
    }));
});

test("elsewhere same-origin is the default, and forwarding headers are a stranger's", limit(20),
  withOpenServer(ONE, async (server, own) => {
    await welcomed(server, { Host: own, Origin: `http://${own}` });
    await welcomed(server, { Host: "chat.example", Origin: "http://chat.example" });
    await welcomed(server, { Host: own });
    for (const Origin of ["null", "http://localhost:3000", "https://example.org", `http://${server.host}`])
      await refused(server, { Host: own, Origin }, `--origins ${Origin}`);
    await refused(server, { Host: own, Origin: "https://evil.example", "X-Forwarded-Host": "evil.example" },
      "--origins https://evil.example");
    assert.match(server.stderr, /origin_refused.*--origins http:\/\/localhost:3000/);
    const lines = server.stderr.split("\n").filter((line) => line.includes("--origins https://example.org"));
    assert.equal(lines.length, 1, "one line for one refusal");
  }));

test("elsewhere, with --origins null and others", limit(10),
  withOpenServer([...ONE, "--origins", "null,http://localhost:3000"], async (server, own) => {
    for (const Origin of ["null", "http://localhost:3000", `http://${own}`])
      await welcomed(server, { Host: own, Origin });
    await refused(server, { Host: own, Origin: "http://localhost:3001" }, "--origins http://localhost:3001");
  }));

test("a refused rich client gets an error frame, and bytes of a stranger are no option", limit(10),
  withServer([...ONE, "--echo", "--origins", "https://app.example"], async (server) => {
    const rich = await Rich.open(server, "lobby", { origin: "https://other.example" });
    const error = await rich.next("error", ms(5000));
    assert.equal(error.code, "forbidden");
    assert.equal(error.temporary, false);
    assert.match(error.detail, /: --origins https:\/\/other\.example allows it$/);
    assert.equal((await rich.closed).code, 4003);
    const Host = `localhost:${server.port}`;
    for (const Origin of ["https://a;reboot", "https://$(reboot)", "https://a\\b", 'https://"', "x".repeat(5000)])
      await refused(server, { Host, Origin }, null);
    const longest = `https://${"a".repeat(200)}.example`;
    const raw = await knock(server, { Host, Origin: longest });
    assert.ok(JSON.parse((await raw.message()).payload).message.includes(`--origins ${longest} allows it`));
    const { reason } = await raw.expectFailure(4003);
    assert.doesNotMatch(reason, /--origins/, "half an option is worse than none");
    const echo = await knock(server, { Host, Origin: "https://other.example" }, "/ws/echo/");
    assert.match((await echo.expectFailure(4003)).reason, /--origins https:\/\/other\.example/);
  }));

/** In a page: what becomes of a WebSocket that says hello. */
const tryChat = (url) => new Promise((resolve) => {
  const socket = new WebSocket(url);
  const heard = [];
  socket.onopen = () => socket.send('{"message":"hello","username":"page"}');
  socket.onmessage = (event) => {
    heard.push(JSON.parse(event.data).message);
    if (heard.at(-1) === "hello") socket.close(1000);
  };
  socket.onclose = ({ code, reason }) => resolve({ code, reason, heard });
});

test("a real browser: pages of files and of this machine chat, one that was rebound does not", limit(60),
  withServer(ONE, (server) => withBrowser(async (browser) => {
    const evil = `http://evil.example:${server.port}`;
    const { page, problems } = await visitor(browser);
    await page.route(`${evil}/attack`, (route) => route.fulfill({ contentType: "text/html", body: "<title>evil</title>" }));
    await page.goto(`${evil}/attack`); // loaded from elsewhere; from now on its name is this machine's
    const { code, reason, heard } = await page.evaluate(tryChat, `ws://evil.example:${server.port}/ws/chat/lobby/`);
    assert.equal(code, 4003, `${reason} ${problems}`);
    assert.match(reason, /bad|host/);
    assert.match(heard[0], new RegExp(`^Not connected: .*--origins ${evil} allows it`));
    const read = (target, headers = {}) =>
      page.evaluate(async ([t, h]) => (await fetch(t, { headers: h })).status, [target, headers]);
    for (const target of ["/", "/metrics", "/api/v1/rooms"]) assert.equal(await read(target), 421, target);
    // What decision 7 says of forged headers: they open what HTTP has for everybody, and nothing else.
    assert.equal(await read("/metrics", { "X-Forwarded-For": "203.0.113.7" }), 200);

    await page.goto(`http://localhost:${server.port}/`);
    assert.deepEqual((await page.evaluate(tryChat, `ws://localhost:${server.port}/ws/chat/lobby/`)).heard, ["hello"]);
    await withDirectory(async (dir) => {
      const file = path.join(dir, "page.html");
      writeFileSync(file, "<!doctype html><title>file</title>");
      await page.goto(`file://${file}`);
      assert.deepEqual((await page.evaluate(tryChat, `ws://localhost:${server.port}/ws/chat/lobby/`)).heard, ["hello"]);
    });
  }, ["--host-resolver-rules=MAP evil.example 127.0.0.1",
    // Newer ones of this browser ask their user first; others do not.
    "--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets"])));
