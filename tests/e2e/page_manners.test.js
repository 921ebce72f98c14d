// The small things that decide whether a page feels right: what a resting mouse shows, what a finger is
// told, what becomes a link, how a colour reads.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import http from "node:http";
import net from "node:net";
import { visitor } from "./lib/browser.js";
import { Member } from "./lib/chat.js";
import { portOf } from "./lib/http.js";
import { article, choose, connected, enter, openMenu, person, say, shows, withPage } from "./lib/page.js";
import { limit, ms, until } from "./lib/wait.js";

const FREE = ["--workers", "2", "--rate", "0"];
const other = (server, room, name = "Bob") => Member.join(server, room, { query: `?username=${name}` });
const acked = (page) => page.waitForFunction(() => !document.querySelector("article.pending"));
const drawn = (page) => page.evaluate(() => new Promise((resolve) => {
  requestAnimationFrame(() => requestAnimationFrame(resolve));
}));

test("the toolbar of a message stays while others talk, and belongs to what is under the mouse", limit(60),
  withPage(async ({ browser, url, server }) => {
    const bob = await other(server, "lobby");
    const ann = await person(browser, url, "lobby", "Ann", { viewport: { width: 1280, height: 720 } });
    const { page } = ann;
    for (let n = 1; n <= 30; n++) bob.say(`before ${n}.`);
    await shows(page, "before 30.");
    await drawn(page);
    const { x, y, height } = await article(page, "before 25.").locator(".bubble").boundingBox();
    await page.mouse.move(x + 20, y + height / 2);
    await page.locator("#hover").waitFor();
    let seen = 0;
    for (let n = 1; n <= 60; n++) {
      bob.say(`news ${n}.`);
      await shows(page, `news ${n}.`);
      await drawn(page);
      if (await page.locator("#hover").isVisible()) seen += 1;
    }
    // Between two messages there may be a pixel that belongs to none.
    assert.ok(seen >= 57, `visible in ${seen} of 60 samples`);
    // It stands beside the message that it answers.
    await page.mouse.move(x + 21, y + height / 2);
    await drawn(page);
    const beside = await page.evaluate(() => {
      const bar = document.querySelector("#hover").getBoundingClientRect();
      return [...document.querySelectorAll("#log article")].find((one) => {
        const box = one.querySelector(".bubble").getBoundingClientRect();
        return box.top < bar.top + bar.height / 2 && bar.top + bar.height / 2 < box.bottom;
      }).querySelector(".text").textContent;
    });
    await page.locator("#hover [data-act=reply]").click();
    assert.match(await page.locator("#about").innerText(), new RegExp(beside.replace(".", "\\.")));
    // On the toolbar itself the mouse keeps it where it is, and for the message it was opened for.
    const bar = await article(page, "news 58.").locator(".bubble").boundingBox();
    await page.mouse.move(bar.x + 20, bar.y + bar.height / 2);
    await drawn(page);
    const reply = await page.locator("#hover [data-act=reply]").boundingBox();
    await page.mouse.move(reply.x + 5, reply.y + 5);
    for (let n = 61; n <= 65; n++) {
      bob.say(`news ${n}.`);
      await shows(page, `news ${n}.`);
      await drawn(page);
    }
    assert.deepEqual(await page.locator("#hover [data-act=reply]").boundingBox(), reply);
    await page.mouse.down();
    await page.mouse.up();
    assert.match(await page.locator("#about").innerText(), /news 58\./);
    await page.mouse.move(5, 5);
    await page.locator("#hover").waitFor({ state: "hidden" });
    await bob.leave();
    assert.deepEqual(ann.problems, []);
  }, FREE));

test("every message tells its time to a mouse, and to a finger in its menu", limit(60),
  withPage(async ({ browser, url }) => {
    const ann = await person(browser, url, "lobby", "Ann");
    const bob = await person(browser, url, "lobby", "Bob");
    for (const text of ["one", "two", "three"]) await say(ann.page, text);
    await shows(bob.page, "three");
    await acked(ann.page);
    await choose(ann.page, "three", "Delete");
    await ann.page.locator("#confirm-delete").getByRole("button", { name: "Delete" }).click();
    await bob.page.locator("#log article.deleted").waitFor();
    for (const { page } of [ann, bob]) {
      for (const text of ["one", "two", "deleted"]) {
        await page.locator("#log article").filter({ hasText: text }).locator(".bubble").hover();
        await drawn(page);
        const time = page.locator("#hover time");
        assert.ok(await time.isVisible(), `the time of ${text}`);
        assert.match(await time.innerText(), /^\d\d?:\d\d/);
        assert.match(await time.getAttribute("title"), /20\d\d/);
      }
      assert.ok(await page.locator("#hover [data-act=reply]").isHidden(), "nothing to answer in a deleted message");
    }
    await openMenu(bob.page, "two");
    assert.match(await bob.page.locator("#menu time").innerText(), /20\d\d.*\d\d:\d\d/);
    assert.deepEqual([...ann.problems, ...bob.problems], []);
  }));

test("the menu looks like one: no item of it wears the clothes of a quotation", limit(60),
  withPage(async ({ browser, url }) => {
    const { page, problems } = await person(browser, url, "lobby", "Ann");
    await say(page, "a question");
    await shows(page, "a question");
    await acked(page);
    await choose(page, "a question", "Reply");
    await say(page, "an answer");
    await shows(page, "an answer");
    await acked(page);
    await openMenu(page, "an answer");
    const looks = (name) => page.locator("#menu").getByRole("button", { name, exact: true }).evaluate((item) => {
      const { borderInlineStartWidth, fontSize, fontWeight, marginTop, paddingLeft, minHeight } = getComputedStyle(item);
      return { borderInlineStartWidth, fontSize, fontWeight, marginTop, paddingLeft, minHeight };
    });
    assert.deepEqual(await looks("Show what it answers"), await looks("Reply"));
    assert.deepEqual(problems, []);
  }));

test("Copy text says that it did, to eyes and ears", limit(60), withPage(async ({ browser, url }) => {
  const { page, problems } = await person(browser, url, "lobby", "Ann",
    { permissions: ["clipboard-read", "clipboard-write"] });
  await say(page, "to be copied");
  await shows(page, "to be copied");
  await acked(page);
  await choose(page, "to be copied", "Copy text");
  await page.locator("#toast").filter({ hasText: "Text copied" }).waitFor();
  assert.equal(await page.locator("#toast").getAttribute("role"), "status");
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "to be copied");
  await page.locator("#toast").waitFor({ state: "hidden" });
  assert.deepEqual(problems, []);
}));

test("a text that is too long: by how much, before and when one sends it", limit(60), withPage(async ({ browser, url }) => {
  const { page, problems } = await person(browser, url, "lobby", "Ann");
  const counter = page.locator("#counter");
  await page.fill("#message", "x".repeat(1000));
  assert.ok(await counter.isHidden(), "far from the limit there is nothing to count");
  await page.fill("#message", "x".repeat(16384 - 100));
  await counter.filter({ hasText: "100" }).waitFor();
  await page.fill("#message", "x".repeat(16384 + 5));
  await counter.filter({ hasText: "5 too many" }).waitFor();
  await page.click("#send");
  const notice = () => page.locator("#composer-notice").innerText();
  assert.match(await notice(), /5 characters too long/);
  assert.doesNotMatch(await notice(), /16 of at most 16/);
  // What counts is bytes, what one can cut is characters.
  await page.fill("#message", "\u{1f600}".repeat(4096) + "é");
  await counter.filter({ hasText: "1 too many" }).waitFor();
  await page.click("#send");
  assert.match(await notice(), /1 character too long/);
  await page.fill("#message", "\u{1f600}".repeat(4096));
  await page.click("#send");
  await page.locator("#log article[data-id]").waitFor();
  assert.ok(await counter.isHidden());
  assert.deepEqual(problems, []);
}));

test("www and mail addresses are links, and nothing else is", limit(60), withPage(async ({ browser, url }) => {
  const { page, problems } = await person(browser, url, "lobby", "Ann");
  const cases = [
    ["see www.example.org/a?b=1, please", [["www.example.org/a?b=1", "https://www.example.org/a?b=1"]]],
    ["(www.example.org)", [["www.example.org", "https://www.example.org/"]]],
    ["WWW.Example.org.", [["WWW.Example.org", "https://www.example.org/"]]],
    ["write to <ann.b+c@mail.example.org>!", [["ann.b+c@mail.example.org", "mailto:ann.b+c@mail.example.org"]]],
    ["ann@example.org, bob@example.org", [["ann@example.org", "mailto:ann@example.org"], ["bob@example.org", "mailto:bob@example.org"]]],
    ["https://example.org/@ann and https://u@example.org/", [["https://example.org/@ann", "https://example.org/@ann"],
      ["https://u@example.org/", "https://u@example.org/"]]],
    ["xwww.example.org www. www.x a@b @ann@example.org ann@example ann@@example.org www..org", []],
    ["ann@example.org?subject=hi&bcc=eve@example.org mailto:ann@example.org?bcc=eve@example.org", []],
    ["javascript:alert(1) www.example.org@evil", []],
  ];
  for (const [text, wanted] of cases) {
    await say(page, text);
    await shows(page, text);
    const links = await article(page, text).first().locator(".text a").evaluateAll((all) =>
      all.map((one) => [one.textContent, one.href]));
    assert.deepEqual(links, wanted, `${text}`);
  }
  const rel = await page.locator("#log a").evaluateAll((all) => all.map((one) => one.rel));
  assert.ok(rel.every((one) => one === "noopener noreferrer"), `${rel}`);
  // 16 KiB of what could be the beginning of an address are read at once.
  const spent = await page.evaluate(async () => {
    const { linkedText } = await import("/view/text.js");
    const began = performance.now();
    for (const piece of ["a", "a.", "www.", "a@", "http://", "@", "(", "a@a."]) linkedText(piece.repeat(16384 / piece.length));
    return performance.now() - began;
  });
  assert.ok(spent < 500, `${spent} ms`);
  assert.deepEqual(problems, []);
}, FREE));

test("names have many colours, each of them readable by day and by night", limit(60), withPage(async ({ browser, url, server }) => {
  const bob = await other(server, "lobby");
  for (let n = 1; n <= 150; n++) bob.say(`${n}`, { username: `member ${n}` });
  for (const colorScheme of ["light", "dark"]) {
    const { page, problems } = await person(browser, url, "lobby", `Ann ${colorScheme}`, { colorScheme });
    await page.locator("#log article").nth(20).waitFor();
    const worst = await page.evaluate(async () => {
      const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
      const light = (...colors) => {
        paint.clearRect(0, 0, 1, 1);
        for (const color of colors) {
          paint.fillStyle = color;
          paint.fillRect(0, 0, 1, 1);
        }
        const lin = [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3)
          .map((v) => (v / 255 <= 0.04045 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * lin[0] + 0.7152 * lin[1] + 0.0722 * lin[2];
      };
      const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      const root = getComputedStyle(document.documentElement);
      const grounds = ["--paper", "--raised", "--own", "--surface"].map((name) => root.getPropertyValue(name));
      const { setTone } = await import("/view/text.js");
      const probe = /** @type {HTMLElement} */ (document.querySelector("#log article.start"));
      const colors = new Map();
      for (let n = 0; n < 2000; n++) {
        setTone(probe, `name ${n}`);
        const name = getComputedStyle(probe.querySelector(".author")).color;
        if (colors.has(name)) continue;
        const face = getComputedStyle(probe.querySelector(".avatar"));
        colors.set(name, Math.min(
          ...grounds.map((ground) => ratio(light(name), light(ground))),
          ratio(light(face.color), light(face.backgroundColor)),
        ));
      }
      return { count: colors.size, least: Math.min(...colors.values()) };
    });
    assert.ok(worst.count > 24, `${worst.count} colours`);
    assert.ok(worst.least >= 4.5, `${colorScheme}: ${JSON.stringify(worst)} (WCAG 1.4.3)`);
    assert.deepEqual(problems, []);
  }
  await bob.leave();
}, FREE));

test("on a phone the long press is told of, until it was used", limit(60), withPage(async ({ browser, url, server }) => {
  const phone = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
  const { page, context, problems } = await visitor(browser, phone);
  await enter(page, url, "lobby", "Ann");
  const hint = page.locator("#touch-hint");
  assert.ok(await hint.isHidden(), "there is nothing to press yet");
  const bob = await other(server, "lobby");
  bob.say("press me");
  await shows(page, "press me");
  await hint.filter({ hasText: /hold/i }).waitFor();
  const { x, y } = await article(page, "press me").locator(".bubble").boundingBox();
  const cdp = await context.newCDPSession(page);
  await cdp.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: [{ x: x + 20, y: y + 10 }] });
  await page.locator("#menu[open]").waitFor();
  await cdp.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
  await page.touchscreen.tap(180, 100);
  await page.locator("#menu").waitFor({ state: "hidden" });
  assert.ok(await hint.isHidden());
  await page.reload();
  await connected(page);
  await shows(page, "press me");
  await drawn(page);
  assert.ok(await hint.isHidden(), "it is remembered");
  // With a mouse there is no such hint.
  const desk = await person(browser, url, "lobby", "Cy");
  await shows(desk.page, "press me");
  assert.ok(await desk.page.locator("#touch-hint").isHidden());
  await bob.leave();
  assert.deepEqual([...problems, ...desk.problems], []);
}));

/** A web server that has the chat below /chat/, as `location /chat/` of nginx with proxy_pass http://.../. */
async function withPrefix(port, body) {
  const passed = [];
  const inner = (path) => (path.startsWith("/chat/") ? path.slice("/chat".length) : null);
  const front = http.createServer((request, response) => {
    passed.push(request.url);
    const path = inner(request.url);
    if (path === null) return void response.writeHead(404).end("the site");
    request.pipe(http.request({ port, host: "127.0.0.1", path, method: request.method, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    }));
  });
  front.on("upgrade", (request, client) => {
    passed.push(request.url);
    const path = inner(request.url);
    if (path === null) return void client.destroy();
    const server = net.connect(port, "127.0.0.1");
    const lines = [`GET ${path} HTTP/1.1`];
    for (let i = 0; i < request.rawHeaders.length; i += 2) lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`);
    server.write(`${lines.join("\r\n")}\r\n\r\n`);
    client.on("error", () => {}).on("close", () => server.destroy());
    server.on("error", () => {}).on("close", () => client.destroy());
    client.pipe(server).pipe(client);
  });
  await once(front.listen(0, "127.0.0.1"), "listening");
  try {
    await body(`http://127.0.0.1:${portOf(front)}/chat/`, passed);
  } finally {
    front.close();
    front.closeAllConnections();
  }
}

test("below a path of another site everything works", limit(60), withPage(async ({ browser, port }) => {
  await withPrefix(port, async (url, passed) => {
    const ann = await person(browser, url, "lobby", "Ann");
    await say(ann.page, "below a path");
    await shows(ann.page, "below a path");
    assert.equal(ann.page.url(), `${url}?room=lobby`);
    const bob = await visitor(browser, { permissions: ["clipboard-read", "clipboard-write"] });
    await bob.page.goto(ann.page.url());
    await bob.page.fill("#name", "Bob");
    await bob.page.keyboard.press("Enter");
    await shows(bob.page, "below a path");
    await bob.page.click("#copy-link");
    await until(ms(5000), async () =>
      await bob.page.evaluate(() => navigator.clipboard.readText()) === `${url}?room=lobby`, "the invite link");
    await bob.page.click("#leave");
    await bob.page.locator("#enter").waitFor();
    assert.equal(bob.page.url(), url);
    const icons = await ann.page.locator("img").evaluateAll((all) => all.map((one) => one.naturalWidth > 0));
    assert.ok(icons.every(Boolean));
    assert.deepEqual(passed.filter((path) => !path.startsWith("/chat/")), []);
    assert.deepEqual([...ann.problems, ...bob.problems], []);
  });
}));
