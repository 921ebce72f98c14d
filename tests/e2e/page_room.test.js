// What the page makes of the protocol parlor.v1: history, coming back, who is here, and what can be done
// with a message. Real server, real browser.
import assert from "node:assert/strict";
import { test } from "node:test";
import { tab, visitor } from "./lib/browser.js";
import { Member, Rich } from "./lib/chat.js";
import { article, bannerSays, choose, comeBack, connected, enter, openMenu, person, say, shows, texts, withPage } from "./lib/page.js";
import { limit, ms, pause, until } from "./lib/wait.js";

const FREE = ["--workers", "2", "--rate", "0"];
const numbered = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => `number ${from + i}.`);

/** Somebody else, on a plain socket. */
const other = (server, room, name = "Bob") => Member.join(server, room, { query: `?username=${name}` });

/** Says all of them; resolves once the last one came back. */
async function sayAll(member, list) {
  for (const text of list) member.say(text);
  for (const text of list) assert.equal((await member.next()).message, text);
}

/** How far a message is from the upper edge of the log, in pixels. */
const placeOf = (page, text) => page.locator("#log").evaluate((log, wanted) => {
  const found = [...log.querySelectorAll("article")].find((one) => one.textContent.includes(wanted));
  return found.getBoundingClientRect().top - log.getBoundingClientRect().top;
}, text);

const scrollTo = (page, top) => page.locator("#log").evaluate((log, to) => {
  log.scrollTop = to;
}, top);

/** Until the browser has drawn twice: whatever was to move has moved. */
const drawn = (page) => page.evaluate(() => new Promise((resolve) => {
  requestAnimationFrame(() => requestAnimationFrame(resolve));
}));

const noProblems = (...people) => {
  const found = people.flatMap((one) => one.problems).filter((p) => !/WebSocket connection to|ERR_/.test(p));
  assert.deepEqual(found, []);
};

test("entering shows what was said; scrolling up brings what is older and keeps the place", limit(60),
  withPage(async ({ browser, url, server }) => {
    const bob = await other(server, "lobby");
    await sayAll(bob, numbered(1, 180));
    const ann = await person(browser, url, "lobby", "Ann");
    await shows(ann.page, "number 180.");
    await drawn(ann.page);
    const first = (await texts(ann.page))[0];
    assert.ok(Number(first.match(/\d+/)[0]) > 1, `${first} is the first shown: not all at once`);
    assert.equal(await ann.page.locator(".separator.unread").count(), 0, "nothing is new to who was never here");
    await until(ms(20000), async () => {
      await scrollTo(ann.page, 300);
      await drawn(ann.page);
      const before = await texts(ann.page);
      if (before[0] === "number 1.") return true;
      const mark = before[3];
      const place = await placeOf(ann.page, mark);
      await ann.page.waitForFunction((old) => document.querySelector("#log article .text").textContent !== old, before[0],
        { timeout: ms(5000) }).catch(() => {});
      await drawn(ann.page);
      const moved = Math.abs(await placeOf(ann.page, mark) - place);
      const under = await ann.page.locator("#log").evaluate((log) => log.scrollTop);
      assert.ok(moved < 2 || under < 300, `${mark} moved by ${moved} px`);
      return false;
    }, "everything loaded");
    assert.deepEqual(await texts(ann.page), numbered(1, 180));
    // Somebody who reads up there is told of news, not thrown to it.
    const place = await placeOf(ann.page, "number 5.");
    await sayAll(bob, ["news"]);
    await ann.page.locator("#new-messages.fresh").waitFor();
    assert.ok(Math.abs(await placeOf(ann.page, "number 5.") - place) < 2);
    assert.match(await ann.page.title(), /^\(1\) lobby/);
    await ann.page.click("#new-messages");
    await drawn(ann.page);
    assert.ok(await ann.page.locator("#new-messages").isHidden());
    assert.doesNotMatch(await ann.page.title(), /\(/);
    assert.equal(await ann.page.locator(".separator.unread").count(), 1);
    await bob.leave();
    noProblems(ann);
  }, FREE));

test("after a reload one's own messages are one's own, and what came since is under a line", limit(60),
  withPage(async ({ browser, url, server }) => {
    const ann = await person(browser, url, "lobby", "Ann");
    const bob = await other(server, "lobby");
    await say(ann.page, "from Ann");
    await sayAll(bob, []);
    await shows(ann.page, "from Ann");
    await ann.page.waitForFunction(() => !document.querySelector("article.pending"));
    await ann.page.goto("about:blank"); // remembered on leaving
    bob.say("while Ann was gone");
    await until(ms(5000), async () => (await bob.next()).message === "while Ann was gone", "said");
    await ann.page.goBack();
    await connected(ann.page);
    await shows(ann.page, "while Ann was gone");
    assert.deepEqual(await texts(ann.page), ["from Ann", "while Ann was gone"]);
    assert.match(await article(ann.page, "from Ann").getAttribute("class"), /\bown\b/);
    assert.doesNotMatch(await article(ann.page, "while Ann").getAttribute("class"), /\bown\b/);
    const order = await ann.page.locator("#log > .unread, #log > article").evaluateAll((all) =>
      all.map((one) => (one.matches(".unread") ? "line" : one.querySelector(".text").textContent)));
    assert.deepEqual(order, ["from Ann", "line", "while Ann was gone"]);
    await bob.leave();
    noProblems(ann);
  }));

test("what was read on one device is read on another that has the same key", limit(60),
  withPage(async ({ browser, url, server }) => {
    const bob = await other(server, "lobby");
    const spy = await Rich.join(server, "lobby", { query: "?username=Spy" });
    let keys = "";
    const readUpTo = (text) => until(ms(10000), async () => {
      const ann = await Rich.join(server, "lobby", { query: "?username=Ann", guest: JSON.parse(keys)[0][2] });
      await ann.leave();
      const { messages } = await spy.get("history", { type: "history" });
      return ann.joined.read === messages.find((m) => m.message === text).id;
    }, `read up to ${text}`);
    await sayAll(bob, numbered(1, 60));
    const ann = await person(browser, url, "lobby", "Ann");
    await shows(ann.page, "number 60.");
    keys = await ann.page.evaluate(() => localStorage.getItem("parlor.guests"));
    await readUpTo("number 60.");
    // What comes while she looks at something else is not read, until she looks.
    await scrollTo(ann.page, 200);
    await drawn(ann.page);
    await sayAll(bob, ["below the screen"]);
    await ann.page.locator("#new-messages.fresh").waitFor();
    await pause(ms(3000));
    await readUpTo("number 60.");
    await ann.page.click("#new-messages");
    await readUpTo("below the screen");
    await ann.context.close();
    await sayAll(bob, ["while Ann was gone"]);
    const phone = await visitor(browser);
    await phone.context.addInitScript((all) => localStorage.setItem("parlor.guests", all), keys);
    await enter(phone.page, url, "lobby", "Ann");
    await shows(phone.page, "while Ann was gone");
    const end = await phone.page.locator("#log > .unread, #log > article").evaluateAll((all) =>
      all.slice(-3).map((one) => (one.matches(".unread") ? "line" : one.querySelector(".text").textContent)));
    assert.deepEqual(end, ["below the screen", "line", "while Ann was gone"]);
    const eve = await person(browser, url, "lobby", "Eve");
    await shows(eve.page, "while Ann was gone");
    assert.equal(await eve.page.locator(".separator.unread").count(), 0, "nobody has read for Eve");
    await Promise.all([bob.leave(), spy.leave()]);
    noProblems(phone, eve);
  }, FREE));

test("a tab that was offline gets every message once, in order, and says so", limit(60),
  withPage(async ({ browser, url, server }) => {
    const ann = await person(browser, url, "lobby", "Ann");
    const bob = await other(server, "lobby");
    await sayAll(bob, numbered(1, 3));
    await shows(ann.page, "number 3.");
    await ann.context.setOffline(true);
    await bannerSays(ann.page, /offline|reconnecting/i);
    await say(ann.page, "written offline");
    await sayAll(bob, numbered(4, 10));
    assert.equal(await article(ann.page, "number 4.").count(), 0);
    await ann.context.setOffline(false);
    await bannerSays(ann.page, /caught up, 7 missed/i);
    await shows(ann.page, "written offline");
    assert.deepEqual(await texts(ann.page), [...numbered(1, 10), "written offline"]);
    assert.equal((await bob.next()).message, "written offline");
    // Nothing missed is said as well.
    await ann.context.setOffline(true);
    await bannerSays(ann.page, /offline|reconnecting/i);
    await ann.context.setOffline(false);
    await bannerSays(ann.page, /nothing missed/i);
    assert.deepEqual(await texts(ann.page), [...numbered(1, 10), "written offline"]);
    await bob.leave();
    noProblems(ann);
  }));

test("a message whose ack was lost is sent again and stands there once", limit(60),
  withPage(async ({ browser, url, server }) => {
    const ann = await person(browser, url, "lobby", "Ann");
    const bob = await other(server, "lobby");
    server.kill("SIGSTOP"); // what is sent now waits in the socket
    await say(ann.page, "sent into the silence");
    await ann.page.locator("#log article.pending").waitFor();
    await ann.context.setOffline(true);
    await bannerSays(ann.page, /offline|reconnecting/i);
    server.kill("SIGCONT");
    assert.equal((await bob.next()).message, "sent into the silence");
    await ann.context.setOffline(false);
    await connected(ann.page);
    await ann.page.waitForFunction(() => !document.querySelector("article.pending"));
    await sayAll(bob, ["marker"]);
    await shows(ann.page, "marker");
    assert.deepEqual(await texts(ann.page), ["sent into the silence", "marker"]);
    await bob.leave();
    noProblems(ann);
  }));

test("who missed more than the server replays sees where something is missing, and can load it", limit(90),
  withPage(async ({ browser, url, server }) => {
    const ann = await person(browser, url, "lobby", "Ann");
    const bob = await other(server, "lobby");
    await sayAll(bob, ["first"]);
    await shows(ann.page, "first");
    await ann.context.setOffline(true);
    await bannerSays(ann.page, /offline|reconnecting/i);
    await sayAll(bob, numbered(1, 1250));
    await ann.context.setOffline(false);
    await bannerSays(ann.page, /caught up in part, 1,?000 missed\. the rest is not loaded/i);
    await sayAll(bob, ["live again"]);
    await shows(ann.page, "live again");
    const gap = ann.page.locator("#log .gap");
    assert.match(await gap.innerText(), /not loaded/);
    await until(ms(20000), async () => {
      if (await gap.count() === 0) return true;
      await gap.getByRole("button").click({ timeout: 500 }).catch(() => {});
      return false;
    }, "the gap filled");
    const shown = await texts(ann.page);
    assert.deepEqual(shown, [...numbered(1, 1250), "live again"].slice(-shown.length));
    assert.ok(shown.length >= 252, `${shown.length} messages`);
    await bob.leave();
    noProblems(ann);
  }, FREE));

test("a room that could not be continued is replaced by its newest page, and the page says so", limit(60),
  withPage(async ({ browser, url, life }) => {
    const ann = await person(browser, url, "lobby", "Ann");
    await say(ann.page, "will be forgotten");
    await shows(ann.page, "will be forgotten");
    await life.server.stop();
    life.server = null;
    await bannerSays(ann.page, /reconnecting/i);
    life.server = await life.start();
    const bob = await other(life.server, "lobby");
    await sayAll(bob, ["a new life"]);
    await comeBack(ann.page);
    await bannerSays(ann.page, /could not be continued/i);
    await shows(ann.page, "a new life");
    assert.deepEqual(await texts(ann.page), ["a new life"]);
    await bob.leave();
    noProblems(ann);
  }, ["--data", ":memory:", "--workers", "2"]));

test("edit, delete, reply and react, each seen by the others", limit(60), withPage(async ({ browser, url }) => {
  const ann = await person(browser, url, "lobby", "Ann");
  const bob = await person(browser, url, "lobby", "Bob");
  await say(ann.page, "helo");
  await shows(bob.page, "helo");
  // One's own can be edited, from the menu and with Up; another's cannot.
  await choose(ann.page, "helo", "Edit");
  assert.equal(await ann.page.inputValue("#message"), "helo");
  await ann.page.fill("#message", "hello");
  await ann.page.keyboard.press("Enter");
  for (const { page } of [ann, bob]) await shows(page, "hello (edited)");
  await ann.page.locator("#message").press("ArrowUp");
  assert.equal(await ann.page.inputValue("#message"), "hello");
  await ann.page.keyboard.press("Escape");
  assert.equal(await ann.page.inputValue("#message"), "");
  await openMenu(bob.page, "hello");
  for (const what of ["Edit", "Delete"]) {
    assert.equal(await bob.page.locator("#menu").getByRole("button", { name: what, exact: true }).count(), 0, what);
  }
  // Reply: the line above it leads to the original, and follows its edits.
  await bob.page.locator("#menu").getByRole("button", { name: "Reply", exact: true }).click();
  await say(bob.page, "an answer");
  await shows(ann.page, "an answer");
  assert.match(await article(ann.page, "an answer").locator(".quote").innerText(), /Ann\s+hello/);
  await article(ann.page, "an answer").locator(".quote").click();
  assert.match(await ann.page.evaluate(() => document.activeElement.textContent), /hello/);
  // React: one chip, counted, toggled by a click.
  await openMenu(bob.page, "hello (edited)");
  await bob.page.locator('#menu [data-emoji="👍"]').click();
  const chip = (page) => article(page, "hello (edited)").first().locator(".chip");
  await chip(ann.page).waitFor();
  assert.equal(await chip(ann.page).getAttribute("aria-pressed"), "false");
  assert.equal(await chip(bob.page).getAttribute("aria-pressed"), "true");
  await chip(ann.page).click();
  await until(ms(5000), async () => /2/.test(await chip(bob.page).innerText()), "two reactions");
  await bob.page.reload();
  await connected(bob.page);
  await shows(bob.page, "hello");
  assert.equal(await chip(bob.page).getAttribute("aria-pressed"), "true", "it is remembered");
  await chip(bob.page).click();
  await until(ms(5000), async () => /1/.test(await chip(ann.page).innerText()), "one reaction");
  // Delete asks first, and takes the text from everybody.
  await choose(ann.page, "hello (edited)", "Delete");
  await ann.page.locator("#confirm-delete").getByRole("button", { name: "Delete" }).click();
  await bob.page.locator("#log article.deleted").waitFor();
  assert.doesNotMatch(await bob.page.locator("#log").innerText(), /hello/);
  await bob.page.reload();
  await connected(bob.page);
  await shows(bob.page, "an answer");
  assert.deepEqual(await texts(bob.page), ["an answer"]);
  noProblems(ann, bob);
}));

test("changes made while one was away are there after coming back", limit(60), withPage(async ({ browser, url }) => {
  const ann = await person(browser, url, "lobby", "Ann");
  const bob = await person(browser, url, "lobby", "Bob");
  for (const text of ["to be edited", "to be deleted", "to be praised"]) await say(ann.page, text);
  await shows(bob.page, "to be praised");
  await bob.context.setOffline(true);
  await bannerSays(bob.page, /offline|reconnecting/i);
  await choose(ann.page, "to be edited", "Edit");
  await ann.page.fill("#message", "was changed");
  await ann.page.keyboard.press("Enter");
  await choose(ann.page, "to be deleted", "Delete");
  await ann.page.locator("#confirm-delete").getByRole("button", { name: "Delete" }).click();
  await openMenu(ann.page, "to be praised");
  await ann.page.locator('#menu [data-emoji="🎉"]').click();
  await ann.page.locator("#log .chip").waitFor();
  await bob.context.setOffline(false);
  await bob.page.locator("#log .chip").waitFor();
  await shows(bob.page, "was changed (edited)");
  assert.equal(await article(bob.page, "to be deleted").count(), 0);
  assert.equal(await bob.page.locator("#log article.deleted").count(), 1);
  noProblems(ann, bob);
}));

test("who is here, and who is typing", limit(60), withPage(async ({ browser, url }) => {
  const ann = await person(browser, url, "lobby", "Ann", { viewport: { width: 1280, height: 800 } });
  const people = () => ann.page.locator("#people-list .who").allInnerTexts();
  await until(ms(5000), async () => (await people()).join() === "Ann", "Ann alone");
  const bob = await person(browser, url, "lobby", "<b>Bob</b>");
  await until(ms(5000), async () => (await people()).join() === "<b>Bob</b>,Ann", "Bob in the list");
  assert.equal(await ann.page.locator("#people-count").innerText(), "2");
  await bob.page.locator("#message").pressSequentially("hm");
  await until(ms(5000), async () => await ann.page.locator("#typing").innerText() === "<b>Bob</b> is typing…", "typing");
  assert.equal(await bob.page.locator("#typing").innerText(), "");
  await bob.page.keyboard.press("Enter");
  await shows(ann.page, "hm");
  await until(ms(5000), async () => await ann.page.locator("#typing").innerText() === "", "no longer typing");
  const again = await tab(bob.context);
  await again.page.goto(bob.page.url());
  await again.page.keyboard.press("Enter");
  await again.page.locator("#taken-me").click();
  await connected(again.page);
  await until(ms(5000), async () => /2 times/.test(await ann.page.locator("#people-list").innerText()), "twice");
  await again.page.close();
  await bob.page.close();
  await until(ms(10000), async () => (await people()).join() === "Ann", "Bob gone");
  noProblems(ann, bob, again);
}));

test("search looks through what is loaded, then further back, and leads there", limit(60),
  withPage(async ({ browser, url, server }) => {
    const bob = await other(server, "lobby");
    await sayAll(bob, ["the needle, far back", ...numbered(1, 450), "a Needle <i>near</i>"]);
    const ann = await person(browser, url, "lobby", "Ann");
    await shows(ann.page, "a Needle");
    await ann.page.click("#search-toggle");
    await ann.page.locator("#query").pressSequentially("needle");
    const results = ann.page.locator("#results li");
    await until(ms(5000), async () => await results.count() === 1, "one match");
    assert.equal(await results.locator("mark").innerText(), "Needle");
    await ann.page.click("#search-older");
    await until(ms(10000), async () => await results.count() === 2, "the match far back");
    await until(ms(10000), async () => /everything that is kept/.test(await ann.page.locator("#search-state").innerText()), "end");
    await results.last().getByRole("button").click();
    await shows(ann.page, "far back");
    assert.match(await ann.page.evaluate(() => document.activeElement.textContent), /far back/);
    const [place, height] = [await placeOf(ann.page, "far back"), await ann.page.locator("#log").evaluate((l) => l.clientHeight)];
    assert.ok(place >= 0 && place < height, `at ${place} of ${height}`);
    assert.equal(await ann.page.locator("#log .gap").count(), 1, "and what lies between is said to be missing");
    await ann.page.keyboard.press("Escape");
    // A button that goes away as it is pressed leaves the focus in the log.
    await ann.page.locator("#log .gap button").press("Enter");
    await ann.page.waitForFunction(() => document.querySelectorAll("#log article").length > 200);
    assert.equal(await ann.page.evaluate(() => document.activeElement.id), "log");
    await bob.leave();
    noProblems(ann);
  }, FREE));

test("the keyboard walks the messages, opens the menu, and comes back", limit(60), withPage(async ({ browser, url }) => {
  const { page, problems } = await person(browser, url, "lobby", "Ann");
  for (const text of ["one", "two", "three"]) await say(page, text);
  await shows(page, "three");
  await page.waitForFunction(() => !document.querySelector("article.pending"));
  await page.locator("#log").focus();
  await page.keyboard.press("ArrowUp");
  const focused = () => page.evaluate(() => document.activeElement.querySelector(".text")?.textContent ?? document.activeElement.id);
  assert.equal(await focused(), "three");
  await page.keyboard.press("ArrowUp");
  assert.equal(await focused(), "two");
  await page.keyboard.press("Enter");
  await page.locator("#menu[open]").waitFor();
  await page.keyboard.press("Escape");
  await until(ms(5000), async () => await focused() === "two", "focus back where it was");
  await page.keyboard.press("Enter");
  await page.locator("#menu").getByRole("button", { name: "Reply", exact: true }).focus();
  await page.keyboard.press("Enter");
  assert.equal(await focused(), "message");
  assert.match(await page.locator("#about").innerText(), /Replying to Ann\s+two/);
  await page.keyboard.type("to two");
  await page.keyboard.press("Enter");
  await shows(page, "to two");
  assert.match(await article(page, "to two").locator(".quote").innerText(), /two/);
  assert.ok(await page.locator("#about").isHidden());
  assert.deepEqual(problems, []);
}));

test("Tab passes the log without moving it; a long message unfolds with the keyboard", limit(60),
  withPage(async ({ browser, url, server }) => {
    const bob = await other(server, "lobby");
    await sayAll(bob, [...numbered(1, 180), "long ".repeat(500)]);
    const ann = await person(browser, url, "lobby", "Ann");
    const { page } = ann;
    await shows(page, "long");
    await page.waitForFunction(() => document.querySelector("#log .notice button"));
    const topOf = () => page.locator("#log").evaluate((log) => log.scrollTop);
    await page.locator("#log").focus();
    const before = await topOf();
    await page.keyboard.press("Tab");
    await drawn(page);
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Show all", "not what is at the far top");
    assert.equal(await topOf(), before);
    await page.keyboard.press("Enter");
    assert.equal(await page.locator("#log .folded").count(), 0);
    assert.equal(await page.evaluate(() => document.activeElement.tagName), "ARTICLE", "the focus stays there");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.closest("#log")), null);
    await bob.leave();
    noProblems(ann);
  }, FREE));

test("a window of another width keeps the reader's place and shows the draft", limit(60), withPage(async ({ browser, url, server }) => {
  const bob = await other(server, "lobby");
  await sayAll(bob, numbered(1, 49).map((text) => `${text} ${"words ".repeat(60)}`));
  const ann = await person(browser, url, "lobby", "Ann", { viewport: { width: 800, height: 600 } });
  await shows(ann.page, "number 49.");
  await ann.page.locator("#log").evaluate((log) => {
    log.scrollTop = log.querySelectorAll("article")[30].offsetTop - 20;
  });
  await ann.page.fill("#message", "a draft that takes one line or two, ".repeat(2));
  await drawn(ann.page);
  for (const [width, height] of [[400, 800], [1000, 500]]) {
    await ann.page.setViewportSize({ width, height });
    await drawn(ann.page);
    const place = await placeOf(ann.page, "number 31.");
    assert.ok(Math.abs(place - 20) <= 2, `number 31 is at ${place} at ${width} x ${height}`);
    const lines = await ann.page.locator("#message").evaluate((box) => [box.scrollHeight - box.clientHeight, box.clientHeight]);
    assert.ok(lines[0] <= 0 && (width === 400 ? lines[1] > 60 : lines[1] < 50), `the draft hides ${lines} at ${width}`);
  }
  await bob.leave();
  noProblems(ann);
}, FREE));

test("a large room that empties: the list follows within seconds", limit(90), withPage(async ({ browser, url, server }) => {
  const ann = await person(browser, url, "lobby", "Ann", { viewport: { width: 1280, height: 800 } });
  const counts = async (n) => until(ms(20000), async () =>
    await ann.page.locator("#people-count").innerText() === `${n}`, `${n} here`);
  const many = await Promise.all(Array.from({ length: 260 }, (_, i) => other(server, "lobby", `member${i}`)));
  await counts(261);
  await Promise.all(many.splice(0, 20).map((member) => member.leave()));
  await counts(241); // large still: the list may be old for a while
  await Promise.all(many.map((member) => member.leave()));
  await counts(1);
  await until(ms(6000), async () => await ann.page.locator("#people-list li").count() === 1, "nobody else in the list");
  noProblems(ann);
}));

test("Edit of a refused reply answers the same message again", limit(60),
  withPage(async ({ browser, url }) => {
    const ann = await person(browser, url, "lobby", "Ann");
    const { page } = ann;
    for (const text of ["first", "second"]) {
      await say(page, text);
      await shows(page, text);
    }
    await choose(page, "first", "Reply");
    await say(page, "one too many");
    await page.locator("#log article.failed").waitFor();
    await choose(page, "second", "Reply");
    await page.fill("#message", "a draft");
    await page.locator("#log article.failed").getByRole("button", { name: "Edit" }).click();
    assert.match(await page.locator("#about").innerText(), /Replying to Ann\s+first/);
    assert.equal(await page.inputValue("#message"), "a draft\none too many");
    noProblems(ann);
  }, ["--workers", "1", "--rate", "2"]));

test("a message deleted while one answers it, or looks at its menu, is let go and said to be gone", limit(60),
  withPage(async ({ browser, url }) => {
    const ann = await person(browser, url, "lobby", "Ann");
    const bob = await person(browser, url, "lobby", "Bob");
    const gone = () => until(ms(5000), async () =>
      await ann.page.locator("#composer-notice").innerText() === "That message was deleted.", "a word about it");
    const remove = async (text) => {
      await choose(bob.page, text, "Delete");
      await bob.page.locator("#confirm-delete").getByRole("button", { name: "Delete" }).click();
    };
    for (const text of ["first", "second"]) {
      await say(bob.page, text);
      await shows(ann.page, text);
    }
    await choose(ann.page, "first", "Reply");
    await ann.page.fill("#message", "an answer");
    await ann.page.click("#search-toggle");
    await remove("first");
    await gone();
    assert.ok(await ann.page.locator("#about").isHidden());
    assert.equal(await ann.page.inputValue("#message"), "an answer");
    assert.equal(await ann.page.evaluate(() => document.activeElement.id), "query", "the focus is not taken away");
    await openMenu(ann.page, "second");
    await remove("second");
    await ann.page.waitForFunction(() => document.querySelectorAll("#log article.deleted").length === 2);
    await ann.page.locator("#menu").getByRole("button", { name: "Reply", exact: true }).click();
    await gone();
    assert.ok(await ann.page.locator("#about").isHidden());
    noProblems(ann, bob);
  }));

test("Up leaves alone what was said under another name", limit(60), withPage(async ({ browser, url }) => {
  const ann = await person(browser, url, "lobby", "Ann");
  await say(ann.page, "said as Ann");
  await shows(ann.page, "said as Ann");
  await ann.page.waitForFunction(() => !document.querySelector("article.pending"));
  await ann.page.click("#leave");
  await ann.page.fill("#enter input[name=name]", "Anna");
  await ann.page.keyboard.press("Enter");
  await connected(ann.page);
  await shows(ann.page, "said as Ann");
  await ann.page.locator("#message").press("ArrowUp");
  assert.ok(await ann.page.locator("#about").isHidden(), "the server would refuse it");
  noProblems(ann);
}));

test("on a phone: a long press opens the menu, who is here is a drawer", limit(60), withPage(async ({ browser, url }) => {
  const phone = { viewport: { width: 360, height: 640 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
  const { page, context, problems } = await visitor(browser, phone);
  await enter(page, url, "lobby", "Ann");
  await say(page, "press me");
  await shows(page, "press me");
  await page.waitForFunction(() => !document.querySelector("article.pending"));
  const { x, y } = await article(page, "press me").locator(".bubble").boundingBox();
  const cdp = await context.newCDPSession(page);
  await cdp.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: [{ x: x + 20, y: y + 10 }] });
  await page.locator("#menu[open]").waitFor();
  await cdp.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
  await drawn(page);
  assert.ok(await page.locator("#menu").isVisible(), "lifting the finger does not close it");
  const box = await page.locator("#menu").boundingBox();
  assert.ok(box.x <= 1 && box.width >= 359 && box.y + box.height >= 639, `a sheet at the bottom: ${JSON.stringify(box)}`);
  await page.touchscreen.tap(180, 100);
  await page.locator("#menu").waitFor({ state: "hidden" });
  await page.locator("#people-toggle").tap();
  await page.locator("#side").waitFor();
  assert.ok(await page.locator("#talk").evaluate((talk) => talk.inert));
  assert.match(await page.locator("#people-list").innerText(), /Ann/);
  await page.touchscreen.tap(10, 400);
  await page.locator("#side").waitFor({ state: "hidden" });
  assert.ok(!(await page.locator("#talk").evaluate((talk) => talk.inert)));
  assert.deepEqual(problems, []);
}));
