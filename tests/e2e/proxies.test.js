// The proxy files of docs/operations.md, as they stand there: each has to be taken by the proxy it is
// for, and a chat has to go through the real one. Only names of files and ports are replaced.
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import https from "node:https";
import net from "node:net";
import path from "node:path";
import { test } from "node:test";
import WebSocket from "ws";
import { Member } from "./lib/chat.js";
import { REPO, freePort, startServer, withDirectory } from "./lib/server.js";
import { limit, ms, pause, until, within } from "./lib/wait.js";

const NAME = "chat.example.org";
const APP = "https://app.example";
const ENV = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };

/** Code blocks of the page's section on proxies, without their indentation. */
function blocks() {
  const page = readFileSync(path.join(REPO, "docs/operations.md"), "utf8");
  const section = /^## Behind a reverse proxy$(.*?)^## /ms.exec(page)[1];
  return [...section.matchAll(/(?:^ {4}.*\n(?:\n(?= {4}))?)+/gm)].map((m) => m[0].replace(/^ {4}/gm, ""));
}

const blockWith = (word) => {
  const found = blocks().filter((block) => block.includes(word));
  assert.equal(found.length, 1, `one block of the manual with ${word}`);
  return found[0];
};

/** Replaces what stands there exactly once. */
const put = (text, from, to) => {
  assert.equal(text.split(from).length, 2, `"${from}" once in:\n${text}`);
  return text.replace(from, () => to);
};

function certificate(dir) {
  const [key, crt, pem] = ["key", "crt", "pem"].map((end) => path.join(dir, `proxy.${end}`));
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
    "-keyout", key, "-out", crt, "-days", "2", "-subj", `/CN=${NAME}`, "-addext", `subjectAltName=DNS:${NAME}`],
  { stdio: "pipe", env: ENV });
  writeFileSync(pem, readFileSync(crt, "utf8") + readFileSync(key, "utf8"), { mode: 0o600 });
  return { key, crt, pem };
}

const checked = (command, args) => {
  const run = spawnSync(command, args, { encoding: "utf8", env: ENV });
  assert.equal(run.status, 0, `${command} ${args.join(" ")}:\n${run.stdout}${run.stderr}`);
};

/** For each proxy: writes its file into dir, has it checked, and gives the command that runs it. */
const proxies = {
  nginx(dir, port, upstream) {
    const { key, crt } = certificate(dir);
    let block = blockWith("proxy_pass");
    block = put(block, "server 127.0.0.1:8000;", `server 127.0.0.1:${upstream};`);
    block = put(block, "listen 443 ssl;", `listen 127.0.0.1:${port} ssl;`);
    block = put(block, "# ssl_certificate ...; ssl_certificate_key ...;", `ssl_certificate ${crt}; ssl_certificate_key ${key};`);
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((what) => `${what}_temp_path ${dir}/${what};`);
    const file = path.join(dir, "nginx.conf");
    writeFileSync(file, `daemon off; master_process off; pid ${dir}/pid; error_log stderr;
events {}
http { access_log off; ${temporary.join(" ")}
${block}}\n`);
    const args = ["-p", dir, "-e", "stderr", "-c", file];
    checked("nginx", [...args, "-t"]);
    return ["nginx", args];
  },

  caddy(dir, port, upstream) {
    const file = path.join(dir, "Caddyfile");
    const block = blockWith("reverse_proxy");
    writeFileSync(file, block);
    checked("caddy", ["adapt", "--adapter", "caddyfile", "--config", file]);
    const local = put(put(block, `${NAME} {`, `https://${NAME}:${port} {\n    tls internal\n    bind 127.0.0.1`),
      "127.0.0.1:8000", `127.0.0.1:${upstream}`);
    writeFileSync(file, `{
    admin off
    skip_install_trust
    auto_https disable_redirects
    storage file_system ${dir}/storage
}
${local}`);
    return ["caddy", ["run", "--adapter", "caddyfile", "--config", file]];
  },

  haproxy(dir, port, upstream, change = (text) => text) {
    const { pem } = certificate(dir);
    let block = blockWith("default_backend");
    block = put(block, "bind :443 ssl crt /etc/haproxy/chat.example.org.pem", `bind 127.0.0.1:${port} ssl crt ${pem}`);
    block = put(block, "127.0.0.1:8000", `127.0.0.1:${upstream}`);
    const file = path.join(dir, "haproxy.cfg");
    writeFileSync(file, `global\n    stats socket ${dir}/stats mode 600\n\n${change(block)}`);
    checked("haproxy", ["-c", "-f", file]);
    return ["haproxy", ["-db", "-f", file]];
  },
};

/** Runs the proxy in front of a server; use({port, server, dir}). */
async function withProxy(start, args, use) {
  await withDirectory(async (dir) => {
    mkdirSync(path.join(dir, "home"));
    const port = await freePort();
    const upstream = await freePort();
    const [command, commandArgs] = start(dir, port, upstream); // its file may be no good: first
    const server = await startServer(["--workers", "1", ...args], { port: upstream });
    const home = path.join(dir, "home");
    const proxy = spawn(command, commandArgs,
      { stdio: ["ignore", "pipe", "pipe"], env: { ...ENV, HOME: home, XDG_DATA_HOME: home, XDG_CONFIG_HOME: home } });
    let said = "";
    for (const stream of [proxy.stdout, proxy.stderr]) stream.on("data", (text) => (said += text));
    const gone = new Promise((resolve) => proxy.once("close", resolve));
    try {
      await until(ms(20000), () => proxy.exitCode !== null || ask(port, "GET", "/healthz").then((a) => a.status === 200, () => false),
        `${command} in front of the server`);
      assert.equal(proxy.exitCode, null, said);
      await use({ port, server, dir });
    } catch (error) {
      error.message += `\n[${command}: ${said.slice(-3000)}]\n[server: ${server.stderr.slice(-2000)}]`;
      throw error;
    } finally {
      proxy.kill("SIGKILL");
      await gone;
      await server.stop();
    }
  });
}

const here = (_name, options, done) =>
  options.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4);

const ask = (port, method, target, headers = {}) =>
  within(ms(5000), new Promise((resolve, reject) => {
    const request = https.request({ method, headers, port, host: NAME, path: target, lookup: here, agent: false,
      rejectUnauthorized: false, servername: NAME }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (piece) => (text += piece))
        .on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, text }));
    });
    request.on("error", reject);
    request.end();
  }), `answer to ${method} ${target}`);

async function join(port, origin, query = "") {
  const socket = new WebSocket(`wss://${NAME}:${port}/ws/chat/lobby/${query}`,
    /** @type {any} */ ({ origin, lookup: here, rejectUnauthorized: false, servername: NAME }));
  const member = new Member(socket);
  await within(ms(10000), member.opened, `WebSocket of ${origin}`);
  return member;
}

for (const name of Object.keys(proxies)) {
  test(`${name}: the manual's file is taken, and a chat goes through`, limit(60),
    () => withProxy(proxies[name], ["--origins", APP], async ({ port, server }) => {
      const ann = await join(port, `https://${NAME}:${port}`);
      const bob = await join(port, APP, "?username=bob");
      ann.say("through the proxy", { username: "ann" });
      for (const member of [ann, bob]) await member.expectBare("ann", "through the proxy");
      bob.say("and back");
      for (const member of [ann, bob]) await member.expectBare("bob", "and back");

      const evil = await join(port, "https://evil.example");
      assert.equal((await evil.next()).error.code, "forbidden");
      await evil.closesWith(4003);

      const page = await ask(port, "GET", "/");
      assert.equal(page.status, 200, page.text);
      assert.match(page.text, /^<!doctype html>/i);
      for (const internal of ["/metrics", "/readyz"]) assert.equal((await ask(port, "GET", internal)).status, 404, internal);
      const many = await Promise.all(Array.from({ length: 20 }, () => join(port, APP)));
      await Promise.all([...many, ann, bob].map((member) => member.leave()));
      assert.doesNotMatch(server.stderr, /host_refused/);
    }));
}

test("without any option a chat goes through as well", limit(120), async () => {
  for (const start of Object.values(proxies)) {
    await withProxy(start, [], async ({ port }) => {
      assert.equal((await ask(port, "GET", "/")).status, 200);
      const member = await join(port, `https://${NAME}:${port}`);
      member.say("hello", { username: "ann" });
      await member.expectBare("ann", "hello");
      await member.leave();
    });
  }
});

/** What HAProxy thinks of the server: its check's outcome and status. */
const checkOf = (dir) =>
  within(ms(5000), new Promise((resolve, reject) => {
    let text = "";
    const socket = net.connect(path.join(dir, "stats"), () => socket.end("show stat\n"));
    socket.setEncoding("utf8").on("data", (piece) => (text += piece)).on("error", reject).on("end", () => {
      const [head, ...rows] = text.replace(/^# /, "").trim().split("\n").map((line) => line.split(","));
      const row = rows.find((r) => r[0] === "parlor" && r[1] === "parlor");
      const value = (key) => row[head.indexOf(key)];
      resolve({ status: value("status"), check: value("check_status"), code: value("check_code") });
    });
  }), "answer of HAProxy");

for (const [what, line, code] of [["GET /readyz", "option httpchk GET /readyz", "200"], ["its plain OPTIONS", "option httpchk", "204"]]) {
  test(`HAProxy finds the server alive by ${what}`, limit(30), async () => {
    const start = (dir, port, upstream) => proxies.haproxy(dir, port, upstream, (text) =>
      put(put(text, "option httpchk GET /readyz", line), " check\n", " check inter 100ms fall 1\n"));
    await withProxy(start, [], async ({ dir }) => {
      let seen;
      await until(ms(10000), async () => (seen = await checkOf(dir)).code !== "", "a check");
      await pause(300); // two more checks
      // A star stands before the outcome while the next check is under way. One that took longer than 100 ms, on a
      // busy machine, counts as failed; a server that answers wrongly is never up again.
      await until(ms(20000), async () => {
        seen = await checkOf(dir);
        return seen.status === "UP" && !seen.check.startsWith("*");
      }, "a check that finds it alive");
      assert.deepEqual([seen.status, seen.check, seen.code], ["UP", "L7OK", code]);
    });
  });
}
