// HTTP on the same port: routes, methods, caching, keep-alive, limits, and the security headers of
// the page.
import assert from "node:assert/strict";
import { test } from "node:test";
import { HttpConnection, request } from "./lib/http.js";
import { Raw, TEXT, text } from "./lib/raw.js";
import { withServer } from "./lib/server.js";
import { limit, ms, pause, within } from "./lib/wait.js";

const ONE = ["--workers", "1"];

/** An error answer in the one form all of them have. */
function isError(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers["content-type"], /^application\/json/);
  assert.deepEqual(Object.keys(answer.json), ["error"]);
  assert.deepEqual(Object.keys(answer.json.error).sort(), ["code", "detail"]);
  assert.equal(answer.json.error.code, code);
  assert.ok(answer.json.error.detail.length > 5);
}

/** The files that the page loads from the server itself. */
const assetsOf = (html) =>
  [...html.matchAll(/(?:src|href)="([^"#]+)"/g)].map((m) => m[1]).filter((u) => !/^(https?:|data:)/.test(u))
    .map((u) => new URL(u, "http://x/").pathname);

test("the page: HTML in UTF-8, with a CSP and the other security headers", limit(10),
  withServer(ONE, async (server) => {
    const page = await request(server.port, "GET", "/");
    assert.equal(page.status, 200);
    assert.match(page.headers["content-type"], /^text\/html; ?charset=utf-8$/i);
    assert.match(page.text, /^<!doctype html>/i);
    assert.equal(page.headers["x-content-type-options"], "nosniff");
    assert.ok(page.headers["referrer-policy"], "Referrer-Policy");
    const csp = page.headers["content-security-policy"];
    assert.ok(csp, "Content-Security-Policy");
    assert.match(csp, /default-src 'none'|default-src 'self'/);
    assert.match(csp, /frame-ancestors /);
    assert.match(csp, /base-uri /);
    assert.doesNotMatch(csp, /unsafe-eval/);
    assert.doesNotMatch(/script-src[^;]*/.exec(csp)?.[0] ?? csp, /unsafe-inline|\*|https?:/);
    assert.match(page.headers["cache-control"] ?? "", /no-cache|max-age=0|must-revalidate/);
  }));

test("assets: types, validators, 304, HEAD", limit(10), withServer(ONE, async (server) => {
  const page = await request(server.port, "GET", "/");
  const assets = assetsOf(page.text).filter((path) => path !== "/");
  assert.ok(assets.length > 0, "the page loads scripts of its own");
  for (const path of ["/", ...assets]) {
    const got = await request(server.port, "GET", path);
    assert.equal(got.status, 200, path);
    assert.equal(got.headers["x-content-type-options"], "nosniff", path);
    if (path.endsWith(".js")) assert.match(got.headers["content-type"], /^text\/javascript/);
    if (path.endsWith(".css")) assert.match(got.headers["content-type"], /^text\/css/);
    if (path.endsWith(".svg")) assert.match(got.headers["content-type"], /^image\/svg\+xml/);
    const etag = got.headers.etag;
    assert.match(etag ?? "", /^"[^"]+"$/, `${path}: a strong ETag`);
    assert.ok(got.headers["cache-control"], `${path}: Cache-Control`);
    for (const value of [etag, `"other", ${etag}`, "*", `W/${etag}`]) {
      const again = await request(server.port, "GET", path, { "If-None-Match": value });
      assert.equal(again.status, 304, `${path} with If-None-Match: ${value}`);
      assert.equal(again.headers.etag, etag);
      assert.equal(again.body.length, 0);
    }
    const changed = await request(server.port, "GET", path, { "If-None-Match": '"other"' });
    assert.equal(changed.status, 200);
    const head = await request(server.port, "HEAD", path);
    assert.equal(head.status, 200);
    assert.equal(head.headers["content-length"], String(got.body.length));
    assert.equal(head.headers.etag, etag);
    const query = await request(server.port, "GET", `${path}?room=lobby`);
    assert.equal(query.status, 200, "a query changes nothing");
  }
}));

test("/healthz, /readyz, /metrics", limit(10), withServer(ONE, async (server) => {
  for (const path of ["/healthz", "/readyz"]) {
    const got = await request(server.port, "GET", path);
    assert.equal(got.status, 200, path);
    assert.match(got.headers["cache-control"] ?? "", /no-store|no-cache/, `${path} must not be cached`);
  }
  const metrics = await request(server.port, "GET", "/metrics");
  assert.equal(metrics.status, 200);
  assert.match(metrics.headers["content-type"], /^text\/plain; version=0\.0\.4/);
  let type = null;
  for (const line of metrics.text.trimEnd().split("\n")) {
    if (line.startsWith("# HELP ")) continue;
    const said = /^# TYPE ([a-z_:]+) (counter|gauge|histogram)$/.exec(line);
    if (said) {
      type = said[1];
      continue;
    }
    assert.match(line, /^[a-z_:]+(\{([a-z_]+="[^"\\\n]*",?)+\})? (-?[0-9.]+(e[-+]?\d+)?|\+Inf|NaN)$/, line);
    assert.ok(line.startsWith(type), `${line} has no TYPE of its own`);
  }
  assert.ok(metrics.text.endsWith("\n"));
  const names = ["connections", "messages_received_total", "deliveries_total", "sent_bytes_total",
    "received_bytes_total", "lag_closes_total"];
  for (const name of names) assert.match(metrics.text, new RegExp(`^parlor_${name} \\d`, "m"));
  for (const family of ["closes", "refusals", "turn"])
    assert.match(metrics.text, new RegExp(`^# TYPE parlor_[a-z_]*${family}`, "m"));
}));

test("unknown paths: 404 in JSON", limit(10), withServer(ONE, async (server) => {
  for (const path of ["/nothing", "/index.php", "/healthz/", "/metrics/x", "/../etc/passwd", "/%2e%2e/", "//", "/ws",
    "/ws/echo/"])
    isError(await request(server.port, "GET", path), 404, "not_found");
  const head = await request(server.port, "HEAD", "/nothing");
  assert.equal(head.status, 404);
  assert.ok(Number(head.headers["content-length"]) > 0);
}));

test("absolute-form: the host in the target counts, not Host (RFC 9112 3.2.2)", limit(10),
  withServer(ONE, async (server) => {
    const ask = async (target, host) => {
      const connection = await HttpConnection.open(server.port);
      connection.write(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
      return connection.answer();
    };
    isError(await ask("http://evil.example/", "localhost"), 421, "bad_host");
    assert.equal((await ask("http://localhost/healthz", "evil.example")).status, 200);
    isError(await ask("http://u@localhost/", "localhost"), 400, "bad_request");
    isError(await ask("http://:80/", "localhost"), 400, "bad_request");
  }));

test("methods: 405 with Allow", limit(10), withServer(ONE, async (server) => {
  for (const path of ["/", "/healthz", "/readyz", "/metrics", "/ws/chat/lobby/"]) {
    for (const method of ["POST", "PUT", "DELETE", "PATCH"]) {
      const got = await request(server.port, method, path, { "Content-Length": "0" });
      isError(got, 405, "bad_method");
      assert.match(got.headers.allow ?? "", /\bGET\b/, `${method} ${path}: Allow (RFC 9110 15.5.6)`);
    }
  }
}));

test("OPTIONS: answered on every path, so that a balancer finds the server alive", limit(10),
  withServer(ONE, async (server) => {
    const allows = { "/": "GET, HEAD, OPTIONS", "/healthz": "GET, HEAD, OPTIONS", "/metrics": "GET, HEAD, OPTIONS",
      "/app.js": "GET, HEAD, OPTIONS", "*": "GET, HEAD, OPTIONS", "/ws/chat/lobby/": "GET, OPTIONS", "/nothing": "OPTIONS",
      "/api/v1/rooms": "OPTIONS" };
    const connection = await HttpConnection.open(server.port);
    for (const [path, allow] of Object.entries(allows)) {
      const got = await connection.ask("OPTIONS", path, { Origin: "https://other.example", "Access-Control-Request-Method": "GET" });
      assert.deepEqual([got.status, got.headers.allow, got.body.length], [204, allow, 0], path);
      assert.deepEqual(Object.keys(got.headers).filter((name) => name.startsWith("access-control")), [], path);
      assert.notEqual(got.headers.connection, "close", path);
    }
    connection.end();
    assert.equal((await request(server.port, "OPTIONS", "/", { Host: "balancer.example" })).status, 204);
    const haproxy = await HttpConnection.open(server.port);
    haproxy.write("OPTIONS / HTTP/1.0\r\n\r\n");
    assert.equal((await haproxy.answer()).status, 204);
    await within(ms(5000), haproxy.closed, "close");
    const full = await HttpConnection.open(server.port);
    full.write("OPTIONS / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n12345");
    assert.equal((await full.answer()).status, 405);
    await within(ms(5000), full.closed, "close");
  }));

test("Keep-Alive says when to be done, a second before the server is", limit(20), async (t) => {
  const saidWith = (args, expected) => withServer([...ONE, ...args], async (server) => {
    const kept = await HttpConnection.open(server.port);
    const got = await kept.ask("GET", "/healthz");
    assert.deepEqual([got.headers.connection, got.headers["keep-alive"]], ["keep-alive", expected]);
    assert.equal((await kept.ask("HEAD", "/nothing")).headers["keep-alive"], expected);
    kept.end();
    const closed = await request(server.port, "GET", "/healthz");
    assert.deepEqual([closed.headers.connection, closed.headers["keep-alive"]], ["close", undefined]);
  });
  await t.test("by default", saidWith([], "timeout=14"));
  await t.test("a minute", saidWith(["--keepalive-timeout", "60s"], "timeout=59"));
  await t.test("too short to say", saidWith(["--keepalive-timeout", "1s"], undefined));
});

test("a request that lies in the socket when the time of its idle connection is over is answered", limit(30),
  withServer([...ONE, "--keepalive-timeout", "1s", "--handshake-timeout", "1s"], async (server) => {
    const kept = await HttpConnection.open(server.port);
    assert.equal((await kept.ask("GET", "/healthz")).status, 200);
    const fresh = await HttpConnection.open(server.port);
    assert.equal((await request(server.port, "GET", "/healthz")).status, 200, "both connections are accepted");
    server.kill("SIGSTOP"); // as a busy machine would
    await pause(1500);
    for (const connection of [kept, fresh]) connection.write("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await pause(100);
    server.kill("SIGCONT");
    for (const connection of [kept, fresh]) {
      assert.equal((await connection.answer()).status, 200);
      await within(ms(5000), connection.closed, "the end of an idle connection");
    }
  }));

test("a WebSocket path without an upgrade: 426 in JSON", limit(10), withServer(ONE, async (server) => {
  const got = await request(server.port, "GET", "/ws/chat/lobby/");
  isError(got, 426, "upgrade_required");
  assert.match(got.headers.upgrade ?? "", /websocket/i, "RFC 9110 15.5.22");
  isError(await request(server.port, "GET", "/ws/chat/%FF/"), 400, "bad_room");
  isError(await request(server.port, "GET", "/ws/chat/../"), 400, "bad_room");
}));

test("keep-alive: many requests on one connection, sent one by one or all at once", limit(10),
  withServer(ONE, async (server) => {
    const connection = await HttpConnection.open(server.port);
    for (let i = 0; i < 50; i++) {
      const path = ["/healthz", "/", "/nothing", "/metrics"][i % 4];
      const got = await connection.ask(i % 3 === 0 ? "HEAD" : "GET", path);
      assert.equal(got.status, path === "/nothing" ? 404 : 200);
      assert.notEqual(got.headers.connection?.toLowerCase(), "close");
    }
    const one = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    connection.write(one);
    for (let i = 1; i < 20; i++) connection.write(one);
    for (let i = 0; i < 20; i++) assert.equal((await connection.answer()).status, 200);
    connection.end();
  }));

test("an upgrade after other requests on the same connection", limit(10),
  withServer([...ONE, "--echo"], async (server) => {
    const connection = await HttpConnection.open(server.port);
    assert.equal((await connection.ask("GET", "/healthz")).status, 200);
    connection.write("GET /ws/echo/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
    const got = await connection.answer();
    assert.equal(got.status, 101);
    assert.equal(got.headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    connection.end();
  }));

test("Connection: close and HTTP/1.0 end the connection", limit(10), withServer(ONE, async (server) => {
  const heads = ["GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "GET /healthz HTTP/1.0\r\nHost: x\r\n\r\n", "GET /healthz HTTP/1.0\r\n\r\n"];
  for (const head of heads) {
    const connection = await HttpConnection.open(server.port);
    connection.write(head);
    assert.equal((await connection.answer()).status, 200);
    await within(ms(5000), connection.closed, "close by the server");
  }
}));

test("requests split at every byte", limit(20), withServer([...ONE, "--echo"], async (server) => {
  const head = "GET /healthz?x=y HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n\r\n";
  const connection = await HttpConnection.open(server.port);
  for (let at = 1; at < head.length; at++) {
    connection.write(head.slice(0, at));
    await new Promise(setImmediate);
    connection.more(head.slice(at));
    assert.equal((await connection.answer()).status, 200);
  }
  connection.end();
}));

test("limits of the head: 16 KiB and 64 headers, else 431", limit(10), withServer(ONE, async (server) => {
  const fill = (total) => {
    const start = "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Fill: ";
    return `${start}${"f".repeat(total - start.length - 4)}\r\n\r\n`;
  };
  const send = async (bytes) => {
    const connection = await HttpConnection.open(server.port);
    connection.write(bytes);
    const got = await connection.answer();
    if (got.status !== 200) await within(ms(5000), connection.closed, "close after a refusal");
    connection.end();
    return got;
  };
  assert.equal((await send(fill(16384))).status, 200);
  isError(await send(fill(16385)), 431, "head_too_large");
  isError(await send(`GET /${"p".repeat(20000)}`), 431, "head_too_large");
  const headers = (n) => Array.from({ length: n }, (_, i) => `X-${i}: v\r\n`).join("");
  assert.equal((await send(`GET /healthz HTTP/1.1\r\nHost: x\r\n${headers(63)}\r\n`)).status, 200);
  isError(await send(`GET /healthz HTTP/1.1\r\nHost: x\r\n${headers(64)}\r\n`), 431, "head_too_large");
}));

test("what is not HTTP: 400, and the connection ends", limit(20), withServer(ONE, async (server) => {
  const bad = [
    "nonsense\r\n\r\n",
    "GET\r\n\r\n",
    "GET /healthz\r\n\r\n",
    "GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n",
    "GET /healthz HTTP/1.1\r\n\r\n", // no Host
    "GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "GET /healthz HTTP/1.1\r\nHost: x\r\nNo colon here\r\n\r\n",
    "GET /healthz HTTP/1.1\r\nHost: x\r\nX-A : b\r\n\r\n",
    "GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: a\r\n folded\r\n\r\n",
    "GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: a\u0000b\r\n\r\n",
    "GET healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", // a TLS hello on a plain port
  ];
  for (const bytes of bad) {
    const connection = await HttpConnection.open(server.port);
    connection.write(Buffer.from(bytes, "latin1"));
    const got = await connection.answer().catch((error) => {
      throw new Error(`${JSON.stringify(bytes)}: ${error.message}`);
    });
    isError(got, 400, "bad_request");
    await within(ms(5000), connection.closed, "close");
  }
}));

test("bodies are not taken, and never read as the next request", limit(10),
  withServer(ONE, async (server) => {
    const smuggled = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    for (const body of [`Content-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
      `Transfer-Encoding: chunked\r\n\r\n${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`]) {
      for (const method of ["GET", "POST"]) {
        const connection = await HttpConnection.open(server.port);
        connection.write(`${method} / HTTP/1.1\r\nHost: localhost\r\n${body}`);
        const got = await connection.answer();
        assert.ok(got.status === 413 || got.status === 405, `${method}: ${got.status}`);
        await within(ms(5000), connection.closed, "close");
        assert.equal(connection.surplus, 0, "the body was answered");
      }
    }
  }));

test("a slow head is cut after --handshake-timeout, others go on meanwhile", limit(20),
  withServer([...ONE, "--handshake-timeout", "2500ms", "--echo"], async (server) => {
    const other = await Raw.open(server.port);
    const began = Date.now();
    const slow = await Promise.all(["", "G", "GET / HTTP/1.1\r\nHost: x\r\nX-A"].map(async (bytes) => {
      const connection = await HttpConnection.open(server.port);
      if (bytes) connection.write(bytes);
      return connection;
    }));
    // One that sends a byte now and then is as slow as one that sends none.
    const dripping = await HttpConnection.open(server.port);
    const drip = setInterval(() => dripping.more("G"), 100).unref();
    await other.send(text("quick"));
    await other.expectMessage(TEXT, "quick");
    for (const connection of [...slow, dripping]) {
      await within(ms(5000), connection.closed, "cut");
      assert.ok(Date.now() - began >= 2400, "cut too early");
    }
    clearInterval(drip);
    await other.send(text("still quick"));
    await other.expectMessage(TEXT, "still quick");
    await other.closeClean();
  }));
