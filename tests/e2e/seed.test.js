// The contract the project exists for: the client code of seed-api.md, byte for byte out of that
// file, in a real browser, against a server started with no option at all. The page around it gives
// only what the snippets assume: #sendBtn, #messageInput, #chatBox. Whatever is sent, nothing they
// show may ever read "undefined".
/* global ws -- of the page under test */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { once } from "node:events";
import http from "node:http";
import path from "node:path";
import { test } from "node:test";
import WebSocket from "ws";
import { Member } from "./lib/chat.js";
import { visitor, withBrowser } from "./lib/browser.js";
import { REPO, Server, freePort, portIsFree } from "./lib/server.js";
import { limit, ms, until } from "./lib/wait.js";

const SEED = path.resolve(REPO, "../shared/seed-api.md");
const PORT = 8000; // the seed's own

const skip = existsSync(SEED) ? false : `${SEED} is not here`;

/** The code of the page, in the order of the page. */
function snippets() {
  const blocks = [...readFileSync(SEED, "utf8").matchAll(/^```plaintext\n(.*?)^```/gms)].map((m) => m[1]);
  assert.equal(blocks.length, 7, "the seed has changed: look at what it asks for now");
  const [connect, send, receive, close, openRoom, onClick, onMessage] = blocks;
  return { open: connect, send, receive, close, frontend: [openRoom, onClick, onMessage].join("\n") };
}

/** A developer's own site on another port, which serves these pages. */
async function site(pages) {
  const server = http.createServer((request, response) => {
    const html = pages[request.url];
    response.writeHead(html ? 200 : 404, { "Content-Type": "text/html; charset=utf-8" });
    response.end(html ?? "");
  });
  const port = await freePort();
  await once(server.listen(port, "127.0.0.1"), "listening");
  return {
    url: `http://localhost:${port}`,
    close: () => new Promise((resolve) => {
      server.closeAllConnections();
      server.close(resolve);
    }),
  };
}

const pageOf = (script) => `<!doctype html><link rel="icon" href="data:,"><title>seed</title>
<input id="messageInput"><button id="sendBtn">Send</button><div id="chatBox"></div>
<script>${script}</script>`;

/** A server on its defaults, as soon as nobody else is on the seed's port. */
async function startOnSeedPort() {
  for (;;) {
    await until(ms(20000), () => portIsFree(PORT), `port ${PORT} has to be free for the seed's URL`);
    const server = new Server(PORT, []);
    try {
      return await server.listening();
    } catch (error) {
      server.kill("SIGKILL");
      if (!/listen_failed.*in use/.test(server.stderr)) throw error; // somebody else was faster
    }
  }
}

/** Server, site and browser, for one test. */
const withSeed = (body) => async () => {
  const server = await startOnSeedPort();
  let pages = null;
  try {
    const code = snippets();
    pages = await site({ "/listen": pageOf(code.open), "/chat": pageOf(code.frontend) });
    await withBrowser((browser) => body({ browser, server, code, url: pages.url }));
  } finally {
    await pages?.close();
    await server.stop();
  }
};

/** A page whose socket is open, with what it logs. */
async function open(browser, url) {
  const { page, problems } = await visitor(browser);
  const logged = [];
  page.on("console", (message) => logged.push(message.text()));
  await page.goto(url);
  await page.waitForFunction(() => ws.readyState === WebSocket.OPEN);
  return { page, problems, logged };
}

const boxText = (page) => page.locator("#chatBox").innerText();
const boxHas = (page, text) =>
  page.waitForFunction((t) => document.getElementById("chatBox").innerText.includes(t), text);
const never = (text) => assert.doesNotMatch(text, /undefined|null|NaN|\[object/);

async function sendFrom(page, text) {
  await page.fill("#messageInput", text);
  await page.click("#sendBtn");
}

test("the snippet that opens, sends, receives and closes", { ...limit(60), skip },
  withSeed(async ({ browser, url, code }) => {
    const { page, problems, logged } = await open(browser, `${url}/listen`);
    await until(ms(5000), () => logged.includes("WebSocket connected."), "onopen");
    await page.addScriptTag({ content: code.send });
    await until(ms(5000), () => logged.includes("Received message: Hello World"), "its own message");
    await page.addScriptTag({ content: code.receive });
    await page.evaluate(() => ws.send(JSON.stringify({ message: "again" })));
    await until(ms(5000), () => logged.includes("New message: again"), "the second handler");
    await page.evaluate(() => ws.send("no JSON at all"));
    await until(ms(5000), () => logged.some((l) => l.startsWith("New message: Not sent: ")), "a refusal");
    await page.addScriptTag({ content: code.close });
    await until(ms(5000), () => logged.includes("WebSocket closed."), "onclose");
    logged.forEach(never);
    assert.deepEqual(problems, []);
  }));

test("the snippets of the chat page, in two tabs", { ...limit(60), skip },
  withSeed(async ({ browser, url }) => {
    const a = await open(browser, `${url}/chat`);
    const b = await open(browser, `${url}/chat`);
    await sendFrom(a.page, "hello from a");
    for (const { page } of [a, b]) await boxHas(page, "currentUser: hello from a");
    await sendFrom(b.page, "hello from b");
    for (const { page } of [a, b]) await boxHas(page, "currentUser: hello from b");
    assert.equal(await boxText(a.page), await boxText(b.page));
    const html = await a.page.locator("#chatBox").innerHTML();
    assert.equal(html, "<strong>currentUser:</strong> hello from a<br><strong>currentUser:</strong> hello from b<br>");
    for (const { page, problems } of [a, b]) {
      never(await boxText(page));
      assert.deepEqual(problems, []);
    }
  }));

test('never "undefined": no name, no text, refusals, other clients\' extras', { ...limit(60), skip },
  withSeed(async ({ browser, url, server }) => {
    const { page, problems } = await open(browser, `${url}/chat`);
    await page.evaluate(() => ws.send(JSON.stringify({ message: "no name given" })));
    await boxHas(page, "no name given");
    assert.match(await boxText(page), /^guest-\w{4}: no name given/);
    await sendFrom(page, ""); // the button pressed on an empty box
    await boxHas(page, "system: Not sent: ");
    for (const bad of ["{}", "[]", "null", '{"message":null,"username":null}', '{"message":"x","username":7}']) {
      const before = (await boxText(page)).length;
      await page.evaluate((text) => ws.send(text), bad);
      await page.waitForFunction((n) => document.getElementById("chatBox").innerText.length > n, before);
    }
    const rich = await Member.join(server, "testroom", { query: "?fields=full&username=rich" });
    rich.say({ message: "with extras", data: { a: 1 }, type: "message", nonce: "n" });
    await boxHas(page, "rich: with extras");
    await rich.leave();
    const before = (await boxText(page)).match(/Not sent: /g).length;
    // Far more than the rate allows: refusals, and perhaps a close, but never "undefined".
    await page.evaluate(() => {
      for (let i = 0; i < 40; i++) ws.send(JSON.stringify({ message: `flood ${i}` }));
    });
    await page.waitForFunction(
      (n) => document.getElementById("chatBox").innerText.match(/Not sent: /g).length > n + 2, before);
    never(await boxText(page));
    assert.deepEqual(problems, []);
  }));

test("localhost:8000 answers on 127.0.0.1 and on ::1", limit(40), async () => {
  const server = await startOnSeedPort();
  try {
    for (const host of ["127.0.0.1", "[::1]", "localhost"]) {
      const member = new Member(new WebSocket(`ws://${host}:${PORT}/ws/chat/testroom/`));
      await member.opened;
      await member.expectNothing(`through ${host}`);
      await member.leave();
    }
  } finally {
    await server.stop();
  }
});
