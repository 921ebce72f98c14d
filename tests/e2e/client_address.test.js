// Behind real proxies, with the files that docs/operations.md prints, here without TLS: the client's
// address arrives, and what the client itself writes into the headers does not count.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { Member } from "./lib/chat.js";
import { REPO, freePort, startServer, withDirectory } from "./lib/server.js";
import { request } from "./lib/http.js";
import { limit, ms, until, within } from "./lib/wait.js";

const MANUAL = readFileSync(path.join(REPO, "docs/operations.md"), "utf8").split("\n");

/** The indented lines behind the one that begins like this. */
function documented(beginning) {
  const at = MANUAL.findIndex((line) => line.startsWith(beginning));
  assert.ok(at >= 0, `the manual has a line "${beginning}..."`);
  const lines = [];
  for (const line of MANUAL.slice(at + 1)) {
    if (line !== "" && !line.startsWith("    ")) break;
    lines.push(line.slice(4));
  }
  return lines.join("\n");
}

/** Replaces each text, which has to be there. */
function adapt(text, changes) {
  for (const [from, to] of changes) {
    assert.ok(text.includes(from), `"${from}" in:\n${text}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

/** Each gets the ports of the proxy, of Parlor and of its PROXY listener, and a directory. */
const proxies = {
  nginx: {
    config: ({ port, parlor, directory }) => `
      daemon off; pid ${directory}/pid; error_log stderr; worker_processes 1;
      events { worker_connections 512; }
      http {
        access_log off;
        client_body_temp_path ${directory}/a; proxy_temp_path ${directory}/b;
        fastcgi_temp_path ${directory}/c; uwsgi_temp_path ${directory}/d; scgi_temp_path ${directory}/e;
        ${adapt(documented("nginx (the"), [["443 ssl", `127.0.0.1:${port}`], ["127.0.0.1:8000", `127.0.0.1:${parlor}`]])}
      }`,
    command: (file, directory) => ["nginx", "-p", directory, "-c", file],
  },
  haproxy: {
    config: ({ port, parlor }) => adapt(documented("HAProxy:"), [
      ["bind :443 ssl crt /etc/haproxy/chat.example.org.pem", `bind 127.0.0.1:${port}`],
      ["127.0.0.1:8000", `127.0.0.1:${parlor}`]]),
    command: (file) => ["haproxy", "-db", "-f", file],
  },
  "haproxy with the PROXY protocol": {
    config: ({ port, proxied }) => adapt(documented("Or, where it only passes bytes on"), [
      ["bind :8080", `bind 127.0.0.1:${port}`], ["127.0.0.1:8001", `127.0.0.1:${proxied}`]]),
    command: (file) => ["haproxy", "-db", "-f", file],
    internal: 200, // it does not look at paths
  },
  caddy: {
    config: ({ port, parlor }) => `{
      admin off
      auto_https off
    }
    ${adapt(documented("Caddy passes"), [["chat.example.org {", `http://:${port} {\n bind 127.0.0.1`], ["127.0.0.1:8000", `127.0.0.1:${parlor}`]])}`,
    command: (file, directory) => ["env", `HOME=${directory}`, "caddy", "run", "--adapter", "caddyfile", "--config", file],
  },
};

async function withProxy(name, body) {
  const proxy = proxies[name];
  await withDirectory(async (directory) => {
    const proxied = await freePort();
    const server = await startServer(["--listen", `proxy:127.0.0.1:${proxied}`, "--trusted-proxies", "127.0.0.1", "--rooms-per-ip", "3", "--log-level", "debug"]);
    const port = await freePort();
    const file = path.join(directory, "config");
    writeFileSync(file, `${proxy.config({ port, parlor: server.port, proxied, directory })}\n`);
    const [program, ...args] = proxy.command(file, directory);
    const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (said += data));
    const gone = new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    gone.catch(() => {});
    try {
      const up = () => request(port, "GET", "/healthz").then((answer) => answer.status === 200, () => false);
      await Promise.race([
        until(ms(15000), up, `${name} in front`),
        gone.then((code) => Promise.reject(new Error(`${name} ended with ${code}`))),
      ]);
      await body(server, port, proxy);
    } catch (error) {
      error.message += `\n[${name}: ${said.slice(-2000)}]`;
      throw error;
    } finally {
      child.kill("SIGTERM");
      await within(ms(10000), gone, `end of ${name}`).catch(() => child.kill("SIGKILL"));
      await server.stop();
    }
  });
}

for (const name of Object.keys(proxies))
  test(`${name}: limits and logs go by the client`, limit(60), () => withProxy(name, async (server, port, proxy) => {
    const enter = (localAddress, room, headers = {}) => Member.join(port, room, { localAddress, headers })
      .then((member) => member.leave().then(() => true), (error) => (assert.match(error.message, /429/), false));
    const rooms = async (localAddress, prefix, forge) => {
      let entered = 0;
      for (let i = 0; i < 5; i++)
        if (await enter(localAddress, `${prefix}-${i}`, forge?.(i))) entered++;
      return entered;
    };
    assert.equal(await rooms("127.0.0.5", "a"), 3);
    assert.equal(await rooms("127.0.0.6", "b"), 3, "another client");
    const forged = (i) => ({ "X-Forwarded-For": `203.0.113.${i}`, Forwarded: `for=203.0.113.${i}`, "X-Real-IP": `203.0.113.${i}` });
    assert.equal(await rooms("127.0.0.7", "c", forged), 3, "whatever it names");
    assert.match(server.stderr, /websocket_closed.*peer=127\.0\.0\.5 /);
    assert.match(server.stderr, /websocket_closed.*peer=127\.0\.0\.6 /);
    const page = { Host: "chat.example.org", Origin: "https://chat.example.org" };
    assert.ok(await enter("127.0.0.8", "page", page), "the page of the public name");
    assert.equal((await request(port, "GET", "/", { Host: "chat.example.org" })).status, 200);
    assert.equal((await request(port, "GET", "/metrics")).status, proxy.internal ?? 404);
    assert.equal((await request(port, "GET", "/")).status, 200);
  }));
