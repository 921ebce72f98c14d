// Coming back to a server that is in trouble, or that is not the one we knew.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import net from "node:net";
import { visitor } from "./lib/browser.js";
import { portOf } from "./lib/http.js";
import { comeBack, connected, enter, person, say, shows, withPage } from "./lib/page.js";
import { limit, ms, until } from "./lib/wait.js";

/**
 * A proxy in front of the server that passes everything on, but for what onSocket makes of a WebSocket:
 * onSocket(client, head) takes the connection over and returns true, or false to let it through.
 */
async function withProxy(port, onSocket, body) {
  const clients = new Set();
  const proxy = net.createServer((client) => {
    clients.add(client);
    client.on("close", () => clients.delete(client)).on("error", () => {});
    client.once("data", (head) => {
      if (/^GET \S*ws\/chat\//.test(head.toString("latin1")) && onSocket(client, head)) return;
      const server = net.connect(port, "127.0.0.1");
      server.on("error", () => client.destroy()).on("close", () => client.destroy());
      client.on("close", () => server.destroy());
      server.write(head);
      client.pipe(server).pipe(client);
    });
  });
  await once(proxy.listen(0, "127.0.0.1"), "listening");
  try {
    await body(`http://127.0.0.1:${portOf(proxy)}/`);
  } finally {
    proxy.close();
    for (const client of clients) client.destroy();
  }
}

/** Connects to the server and hands over what it answers, until `after` says that it is enough. */
function letInFor(port, client, head, shownMs) {
  const server = net.connect(port, "127.0.0.1");
  server.on("error", () => client.destroy());
  client.on("close", () => server.destroy());
  server.write(head);
  client.pipe(server).pipe(client);
  setTimeout(() => client.destroy(), shownMs);
}

test("back-off: a connection that opens, and ends at once, shortens nothing", limit(90),
  withPage(async ({ browser, port }) => {
    let flapping = false;
    const dials = [];
    const onSocket = (client, head) => {
      if (!flapping) return false;
      dials.push(performance.now());
      letInFor(port, client, head, 300);
      return true;
    };
    await withProxy(port, onSocket, async (url) => {
      const { page } = await visitor(browser);
      await page.addInitScript(() => { Math.random = () => 0.999; }); // the longest wait of each window
      await enter(page, url, "lobby", "Ann");
      flapping = true;
      await page.evaluate(() => dispatchEvent(new Event("offline")));
      await until(ms(60000), () => dials.length >= 5, "five attempts");
      const gaps = dials.slice(1).map((at, i) => Math.round(at - dials[i]));
      for (let i = 1; i < gaps.length; i++) assert.ok(gaps[i] > 1.5 * gaps[i - 1] - 600, `${gaps}`);
    });
  }));

test("back-off: a server that opens and never answers is dialled ever more seldom", limit(90),
  withPage(async ({ browser, port }) => {
    let mute = false;
    let dials = 0;
    const onSocket = (client, head) => {
      if (!mute) return false;
      dials += 1;
      // The handshake is answered by the server itself, and not a byte after it.
      const server = net.connect(port, "127.0.0.1");
      server.on("error", () => client.destroy());
      client.on("close", () => server.destroy());
      server.once("data", (answer) => client.write(answer.subarray(0, answer.indexOf("\r\n\r\n") + 4)));
      server.write(head);
      return true;
    };
    await withProxy(port, onSocket, async (url) => {
      const { page } = await visitor(browser);
      await page.clock.install();
      await page.addInitScript(() => { Math.random = () => 0.999; });
      await enter(page, url, "lobby", "Ann");
      mute = true;
      await page.evaluate(() => dispatchEvent(new Event("offline")));
      // Every attempt is given up after 15 s; the waits between them double.
      const left = async () => Number(/in (\d+) s/.exec(await page.locator("#status").innerText())?.[1] ?? 0);
      const passes = (done, what) => until(ms(20000), async () => {
        await page.clock.runFor(250);
        return done();
      }, what);
      const seen = [];
      for (let n = 1; n <= 5; n++) {
        await passes(() => dials === n, `attempt ${n}`);
        await passes(async () => await left() > 0, "given up");
        seen.push(await left());
      }
      assert.ok(seen.at(-1) >= 10, `the waits: ${seen} s`);
    });
  }));

test("a server that has forgotten everything: an empty room says so in words", limit(60),
  withPage(async ({ browser, url, life }) => {
    const ann = await person(browser, url, "lobby", "Ann");
    await say(ann.page, "will be forgotten");
    await shows(ann.page, "will be forgotten");
    await ann.page.waitForFunction(() => !document.querySelector("article.pending"));
    const empty = () => ann.page.locator("#empty").innerText();
    const restart = async () => {
      await life.server.stop();
      life.server = null;
      await ann.page.waitForFunction(() => !/^connected/i.test(document.querySelector("#status").textContent));
      life.server = await life.start();
      await comeBack(ann.page);
    };
    await restart();
    await until(ms(10000), async () => /before.*not on the server any more/is.test(await empty()), "why it is empty");
    // Whoever comes back later, with a page that only remembers that there was something, is told as well.
    await ann.page.reload();
    await connected(ann.page);
    await until(ms(10000), async () => /before.*not on the server any more/is.test(await empty()), "also after a reload");
    await say(ann.page, "a new beginning");
    await shows(ann.page, "a new beginning");
    assert.match(await ann.page.locator("#log .notice").first().innerText(), /not on the server any more/);
    // A room where one never was is just quiet.
    await ann.page.click("#leave");
    await enter(ann.page, url, "elsewhere", "Ann");
    await ann.page.locator("#empty").waitFor(); // what is hidden has all its words in its text
    assert.match(await empty(), /quiet/i);
    assert.doesNotMatch(await empty(), /any more/);
  }, ["--data", ":memory:", "--workers", "2"]));
