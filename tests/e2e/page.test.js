// The page the server itself serves, as people meet it: in a real browser, two of them, with the
// keyboard, on a phone, in the dark, across a restart of the server.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Member } from "./lib/chat.js";
import { tab, visitor } from "./lib/browser.js";
import { article, bannerSays, comeBack, connected, enter, person, say, shows, withPage } from "./lib/page.js";
import { limit, ms, pause, until } from "./lib/wait.js";

const classesOf = async (page, text) =>
  (await article(page, text).first().getAttribute("class") ?? "").split(/\s+/);

test("two people chat; each sees whose message is whose", limit(60), withPage(async ({ browser, url }) => {
  const ann = await person(browser, url, "lobby", "Ann");
  const bob = await person(browser, url, "lobby", "Bob");
  await say(ann.page, "hello Bob");
  await shows(bob.page, "hello Bob");
  await say(bob.page, "hello Ann");
  await shows(ann.page, "hello Ann");
  await shows(ann.page, "hello Bob");
  await shows(bob.page, "hello Ann");
  for (const { page } of [ann, bob]) await page.waitForFunction(() => !document.querySelector("article.pending")); // acked
  assert.match(await article(ann.page, "hello Ann").innerText(), /Bob/);
  assert.match(await article(bob.page, "hello Bob").innerText(), /Ann/);
  assert.match(await article(bob.page, "hello Bob").locator("time").innerText(), /\d\d?[:.]\d\d/);
  assert.ok((await classesOf(ann.page, "hello Bob")).includes("own"));
  assert.ok(!(await classesOf(ann.page, "hello Ann")).includes("own"));
  assert.ok(!(await classesOf(bob.page, "hello Bob")).includes("own"));
  for (const { page, problems } of [ann, bob]) {
    assert.equal(await page.locator("#log article[data-id]").count(), 2);
    assert.equal(await page.locator("#log article.pending, #log article.failed").count(), 0);
    assert.deepEqual(problems, []);
  }
}));

test("someone else with the same name is not me", limit(60), withPage(async ({ browser, url, server }) => {
  const ann = await person(browser, url, "lobby", "Ann");
  const other = await Member.join(server, "lobby", { query: "?username=Ann" });
  other.say("I am Ann too");
  await shows(ann.page, "I am Ann too");
  assert.ok(!(await classesOf(ann.page, "I am Ann too")).includes("own"));
  await other.leave();
}));

test("text is only ever text", limit(60), withPage(async ({ browser, url, server }) => {
  const ann = await person(browser, url, "lobby", "Ann");
  const hostile = [
    '<img src=x onerror="window.owned=1">', "<script>window.owned=1</script>", '"><svg onload=window.owned=1>',
    "javascript:window.owned=1", "&lt;b&gt;kept as typed&lt;/b&gt;", '<a href="javascript:window.owned=1">click</a>',
  ];
  const mallory = await Member.join(server, "lobby");
  for (const text of hostile) {
    await say(ann.page, text);
    await shows(ann.page, text);
    mallory.say(`from outside ${text}`, { username: "<img src=x onerror=window.owned=2>" });
    await shows(ann.page, `from outside ${text}`);
  }
  assert.equal(await ann.page.evaluate(() => window.owned), undefined);
  const made = await ann.page.locator("#log").evaluate((log) =>
    [...log.querySelectorAll('img, script, svg, a[href^="javascript:"]')].filter((n) => n.closest("article")).length);
  assert.equal(made, 0, "markup out of a message became elements");
  assert.match(await article(ann.page, "from outside").first().innerText(), /<img src=x onerror=window.owned=2>/);
  // The room's name and one's own name are input as well.
  const odd = await person(browser, url, "<b onclick=window.owned=3>room", "<i>me</i>");
  await say(odd.page, "fine");
  await shows(odd.page, "fine");
  assert.equal(await odd.page.locator("b[onclick], #log i").count(), 0);
  await mallory.leave();
  assert.deepEqual([...ann.problems, ...odd.problems], []);
}));

test("the room is in the URL, the name is remembered", limit(60), withPage(async ({ browser, url }) => {
  const ann = await person(browser, url, "tea & cake-é", "Ann");
  const link = ann.page.url();
  assert.match(decodeURIComponent(link), /tea & cake-é/);
  assert.equal(await ann.page.evaluate(() => Object.values(localStorage).includes("Ann")), true);
  // A second tab asks, since somebody else may sit there, and proposes the name.
  const second = await tab(ann.context);
  await second.page.goto(link);
  assert.equal(await second.page.inputValue("#enter input[name=name]"), "Ann");
  await second.page.keyboard.press("Enter");
  await second.page.locator("#taken-me").click();
  await connected(second.page);
  await say(second.page, "from the second tab");
  await shows(ann.page, "from the second tab");
  // Another person gets the room filled in and is asked for a name.
  const bob = await visitor(browser);
  await bob.page.goto(link);
  assert.equal(await bob.page.inputValue("#enter input[name=room]"), "tea & cake-é");
  await bob.page.fill("#enter input[name=name]", "Bob");
  await bob.page.keyboard.press("Enter");
  await connected(bob.page);
  await say(bob.page, "Bob by link");
  await shows(ann.page, "Bob by link");
  // Leaving and coming back by the browser's own button.
  await bob.page.click("#leave");
  await bob.page.locator("#enter").waitFor();
  await bob.page.goBack();
  await connected(bob.page);
  await say(ann.page, "welcome back");
  await shows(bob.page, "welcome back");
  assert.deepEqual([...ann.problems, ...second.problems, ...bob.problems], []);
}));

test("the door says what is wrong with a room or a name", limit(60), withPage(async ({ browser, url }) => {
  const { page } = await visitor(browser);
  const cases = [["", "Ann"], ["lobby", ""], ["lobby", "system"], ["x".repeat(129), "Ann"], ["lobby", "é".repeat(33)],
    ["..", "Ann"]];
  await page.goto(url);
  for (const [room, name] of cases) {
    await page.fill("#enter input[name=room]", room);
    await page.fill("#enter input[name=name]", name);
    await page.locator("#enter button[type=submit]").click();
    await page.locator("#enter [aria-invalid=true]").first().waitFor();
    assert.ok(await page.locator("#enter").isVisible());
    const words = await page.locator("#enter [role=alert]").allInnerTexts();
    assert.ok(words.join("").trim().length > 5, `${room} / ${name}: a reason`);
  }
}));

test("the keyboard is enough", limit(60), withPage(async ({ browser, url }) => {
  const { page, problems } = await visitor(browser);
  await page.goto(url);
  await page.locator("#enter input[name=room]").focus();
  await page.keyboard.type("lobby");
  await page.keyboard.press("Tab");
  await page.keyboard.type("Ann");
  await page.keyboard.press("Enter");
  await connected(page);
  const focused = () => page.evaluate(() => document.activeElement.getAttribute("name") || document.activeElement.id);
  assert.equal(await focused(), "message", "one can type at once");
  await page.keyboard.type("first line");
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.type("second line");
  assert.equal(await page.inputValue("#composer textarea"), "first line\nsecond line");
  await page.keyboard.press("Enter");
  await shows(page, "first line");
  assert.equal(await page.inputValue("#composer textarea"), "");
  assert.match(await article(page, "first line").innerText(), /first line\s*\n\s*second line/);
  await page.keyboard.press("Enter"); // nothing to send
  await page.keyboard.type("   ");
  await page.keyboard.press("Enter");
  await page.fill("#composer textarea", "");
  await say(page, "marker");
  await shows(page, "marker");
  assert.equal(await page.locator("#log article[data-id]").count(), 2);
  // Everything that can be pressed can be reached, and shows that it has the focus.
  const reached = new Set();
  for (let i = 0; i < 12; i++) {
    await page.keyboard.press("Tab");
    reached.add(await focused());
    const visible = await page.evaluate(() => {
      const el = document.activeElement;
      if (el === document.body) return true;
      const style = getComputedStyle(el);
      return style.outlineStyle !== "none" || style.boxShadow !== "none" || el.matches("textarea");
    });
    assert.ok(visible, `no focus to be seen on ${await focused()}`);
  }
  for (const id of ["leave", "send", "message"]) assert.ok(reached.has(id), `${id} cannot be reached with Tab`);
  assert.deepEqual(problems, []);
}));

test("a screen reader is told: a live log, names for controls, a status", limit(60),
  withPage(async ({ browser, url }) => {
    const { page } = await person(browser, url, "lobby", "Ann");
    const log = page.locator("#log");
    assert.ok((await log.getAttribute("role")) === "log" || (await log.getAttribute("aria-live")) === "polite");
    assert.equal(await page.getByRole("textbox", { name: /message/i }).count(), 1);
    assert.equal(await page.getByRole("button", { name: /send/i }).count(), 1);
    assert.equal(await page.getByRole("button", { name: /leave/i }).count() > 0, true);
    assert.ok(await page.evaluate(() => document.documentElement.lang));
    assert.ok((await page.getByRole("heading", { level: 1 }).allInnerTexts()).join("").includes("lobby"));
  }));

test("after a restart of the server it comes back by itself, and what was written meanwhile arrives once", limit(90),
  withPage(async ({ browser, url, life }) => {
    const ann = await person(browser, url, "lobby", "Ann");
    const bob = await person(browser, url, "lobby", "Bob");
    await say(ann.page, "before");
    await shows(bob.page, "before");
    await life.server.stop();
    life.server = null;
    await ann.page.waitForFunction(() => !/^connected/i.test(document.querySelector("#status").textContent.trim()));
    await say(ann.page, "written while away");
    await ann.page.locator("#log article.pending").filter({ hasText: "written while away" }).waitFor();
    life.server = await life.start();
    for (const { page } of [bob, ann]) await comeBack(page);
    await shows(ann.page, "written while away");
    assert.equal(await article(ann.page, "written while away").count(), 1);
    await ann.page.waitForFunction(() => !document.querySelector("#log article.pending")); // acked
    await connected(bob.page);
    await shows(bob.page, "written while away");
    assert.equal(await article(bob.page, "written while away").count(), 1);
    await say(bob.page, "after");
    await shows(ann.page, "after");
    await shows(ann.page, "before");
    assert.deepEqual([...ann.problems, ...bob.problems].filter((p) => !/WebSocket connection to/.test(p)), []);
  }));

test("it comes back without a click, too", limit(90), withPage(async ({ browser, url, life }) => {
  const ann = await person(browser, url, "lobby", "Ann");
  await life.server.stop();
  life.server = null;
  await ann.page.waitForFunction(() => !/^connected/i.test(document.querySelector("#status").textContent.trim()));
  life.server = await life.start();
  await connected(ann.page);
  await say(ann.page, "here again");
  await shows(ann.page, "here again");
}));

test("unread messages count in the title while nobody looks", limit(60), withPage(async ({ browser, url, server }) => {
  const one = await visitor(browser);
  await one.page.addInitScript(() => {
    let hidden = false;
    Object.defineProperty(Document.prototype, "hidden", { get: () => hidden });
    Object.defineProperty(Document.prototype, "visibilityState", { get: () => (hidden ? "hidden" : "visible") });
    window.look = (yes) => {
      hidden = !yes;
      document.dispatchEvent(new Event("visibilitychange"));
    };
  });
  await enter(one.page, url, "lobby", "Ann");
  const title = await one.page.title();
  const bob = await Member.join(server, "lobby", { query: "?username=Bob" });
  bob.say("seen");
  await shows(one.page, "seen");
  assert.equal(await one.page.title(), title);
  await one.page.evaluate(() => window.look(false));
  for (let i = 1; i <= 3; i++) {
    bob.say(`unseen ${i}`);
    await shows(one.page, `unseen ${i}`);
    await until(ms(5000), async () => (await one.page.title()).includes(`${i}`), `${i} in the title`);
  }
  assert.ok((await one.page.title()).includes(title), "the title still says where one is");
  await one.page.evaluate(() => window.look(true));
  assert.equal(await one.page.title(), title);
  await bob.leave();
  assert.deepEqual(one.problems, []);
}));

test("a refused message is shown as such, its text not lost", limit(60), withPage(async ({ browser, url, server }) => {
  const ann = await person(browser, url, "lobby", "Ann");
  const bob = await Member.join(server, "lobby");
  const all = () => ann.page.evaluate(() => document.body.innerText + document.querySelector("textarea").value);
  const refused = () => all().then((words) => /Not sent/i.test(words));
  let sent = 0;
  let text;
  do { // two pass at once, a third if it comes 5 s later
    text = `number ${++sent}, perhaps one too many`;
    await say(ann.page, text);
    await until(ms(10000), async () => bob.waiting > 0 || await refused(), "the message, or a word about its refusal");
    if (bob.waiting > 0) assert.equal((await bob.next()).message, text);
  } while (!await refused());
  assert.ok(sent > 2, `number ${sent} was refused`);
  assert.ok((await all()).includes(text));
  assert.equal(await article(ann.page, text).count(), 0, "it stands among the sent ones");
  // In time it goes through.
  await until(ms(20000), async () => {
    if (await article(ann.page, text).count() > 0) return true;
    const retry = ann.page.locator("#log article.failed").getByRole("button", { name: "Retry" });
    if (await retry.count() > 0) await retry.click({ timeout: 500 }).catch(() => {});
    await pause(200); // a hundred refusals in a row would end the connection
    return false;
  }, "a retry that works");
  assert.equal((await bob.next()).message, text);
  assert.equal(await ann.page.locator("#log article").count(), sent);
  await bob.leave();
  assert.deepEqual(ann.problems, []);
}, ["--workers", "1", "--rate", "2"]));

test("on a phone nothing is wider than the screen, whatever is said", limit(60),
  withPage(async ({ browser, url, server }) => {
    const phone = { viewport: { width: 320, height: 568 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
    const { page, problems } = await visitor(browser, phone);
    const fits = async (where) => {
      const [scroll, inner, down] = await page.evaluate(() => [
        document.documentElement.scrollWidth, window.innerWidth, document.documentElement.scrollHeight - window.innerHeight,
      ]);
      assert.ok(scroll <= inner && inner <= 320, `${where}: ${scroll} of ${inner} pixels`);
      assert.ok(down <= 0, `${where}: ${down} pixels too high`);
    };
    await page.goto(url);
    await fits("door");
    await enter(page, url, "r".repeat(128), "n".repeat(64));
    await fits("empty room");
    const bob = await Member.join(server, "r".repeat(128), { query: `?username=${"b".repeat(64)}` });
    const link = `https://example.org/${"p".repeat(300)}`;
    for (const text of ["w".repeat(500), link, "a b ".repeat(100), "\u{1f600}".repeat(99)]) {
      bob.say(text);
      await shows(page, text.slice(0, 60).trim());
      await fits(text.slice(0, 12));
      const wide = await page.locator("#log").evaluate((log) => log.scrollWidth - log.clientWidth);
      assert.ok(wide <= 0, `the log scrolls sideways by ${wide}`);
    }
    await say(page, "a line\n".repeat(12));
    await page.fill("#composer textarea", "many lines\n".repeat(60));
    await fits("long draft");
    const visible = await page.locator("#send").evaluate((el) => {
      const box = el.getBoundingClientRect();
      return box.bottom <= window.innerHeight + 1 && box.top >= 0 && box.width >= 40 && box.height >= 40;
    });
    assert.ok(visible, "the send button is on the screen, and large enough for a finger");
    await bob.leave();
    assert.deepEqual(problems, []);
  }));

test("letters of twice the size leave everything of the bar in sight", limit(60), withPage(async ({ browser, url }) => {
  // What a media query and the layout see of it: the screen is half as wide.
  const large = { viewport: { width: 195, height: 422 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
  const { page, problems } = await person(browser, url, "lobby", "Ann", large);
  for (const part of ["#room-name", "#status", "#search-toggle", "#people-toggle", "#copy-link", "#leave", "#send"]) {
    const { x, width } = await page.locator(part).boundingBox();
    assert.ok(x >= 0 && x + width <= 195 && width >= 30, `${part}: ${width} wide at ${x}`);
  }
  assert.deepEqual(problems, []);
}));

test("what was being written outlives a reload", limit(60), withPage(async ({ browser, url }) => {
  const { page, problems } = await person(browser, url, "lobby", "Ann");
  await page.fill("#message", "half a thou");
  await page.reload();
  await connected(page);
  assert.equal(await page.inputValue("#message"), "half a thou");
  await page.locator("#message").press("End");
  await page.keyboard.type("ght");
  await page.keyboard.press("Enter");
  await shows(page, "half a thought");
  await page.reload();
  await connected(page);
  await shows(page, "half a thought");
  assert.equal(await page.inputValue("#message"), "", "what was sent is no draft any more");
  assert.deepEqual(problems, []);
}));

/** The contrast of an element's text with what is painted behind it, and how light the page is. */
const contrastOf = (locator) => locator.evaluate((el) => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const resolve = (...colors) => { // one over the other, in whatever notation the browser gives
    paint.clearRect(0, 0, 1, 1);
    for (const color of colors) {
      paint.fillStyle = color;
      paint.fillRect(0, 0, 1, 1);
    }
    return [...paint.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const lin = colour.slice(0, 3).map((v) => (v / 255 <= 0.04045 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * lin[0] + 0.7152 * lin[1] + 0.0722 * lin[2];
  };
  const grounds = [];
  let opacity = 1;
  for (let node = el; node; node = node.parentElement) {
    const style = getComputedStyle(node);
    grounds.unshift(style.backgroundColor);
    opacity *= Number(style.opacity);
  }
  const ground = resolve(...grounds);
  const text = resolve(...grounds, getComputedStyle(el).color).map((v, i) => v * opacity + ground[i] * (1 - opacity));
  const [a, b] = [light(text), light(ground)].sort((x, y) => y - x);
  return { ratio: (a + 0.05) / (b + 0.05), page: light(resolve(getComputedStyle(document.body).backgroundColor)) };
});

test("light and dark, readable in both", limit(60), withPage(async ({ browser, url }) => {
  const seen = [];
  for (const colorScheme of ["light", "dark"]) {
    // A room for each: while she is offline her name is not free.
    const { page, context } = await person(browser, url, colorScheme, "Ann", { colorScheme, viewport: { width: 1280, height: 800 } });
    await say(page, "contrast");
    await shows(page, "contrast");
    await page.click("#search-toggle");
    await until(ms(20000), async () => { // a search waits for the index, but not for long
      await page.fill("#query", "");
      await page.fill("#query", "contrast");
      return page.locator("#results mark").first().waitFor({ timeout: ms(2000) }).then(() => true, () => false);
    }, "the message that was searched for");
    await context.setOffline(true);
    await bannerSays(page, /offline|reconnecting/i); // what is said before goes out
    await say(page, "waits");
    const parts = [article(page, "contrast").last().locator(".text"), page.locator("#results mark").first(),
      page.locator("#log article.pending .text")];
    for (const part of parts) seen.push({ colorScheme, ...await contrastOf(part) });
  }
  assert.ok(seen[0].page > 0.5 && seen[3].page < 0.2, `page: ${seen[0].page} by day, ${seen[3].page} by night`);
  for (const { ratio } of seen) assert.ok(ratio >= 4.5, `contrast ${JSON.stringify(seen)} (WCAG 1.4.3)`);
}));
