// A long conversation: the reader's place is theirs to half a pixel, and what is out of view costs nothing.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Member, Rich } from "./lib/chat.js";
import { person, shows, withPage } from "./lib/page.js";
import { limit, ms, until } from "./lib/wait.js";

const FREE = ["--workers", "2", "--rate", "0"];

const drawn = (page, frames = 2) => page.evaluate(async (n) => {
  for (let i = 0; i < n; i++) await new Promise(requestAnimationFrame);
}, frames);

/** Until everything that is loaded has a known size. */
const settled = (page) => page.waitForFunction(() => !document.querySelector("#log article:not(.settled)"));

/** A person in a room where Bob, a guest with a key, said much in texts of many heights; scrolled up until `count` are loaded. */
async function longConversation({ browser, url, server }, count) {
  const carl = await Rich.join(server, "elsewhere");
  const bob = await Member.join(server, "lobby", { query: "?username=Bob", protocols: ["parlor.bare", `guest.${carl.key}`] });
  for (let n = 1; n <= count + 60; n++) {
    bob.say(`number ${n}. ${"words ".repeat((n * 7) % 41)}`, { username: `member ${n % 5}` });
    await bob.next();
  }
  const ann = await person(browser, url, "lobby", "Ann", { viewport: { width: 900, height: 700 } });
  await shows(ann.page, `number ${count + 60}.`);
  await until(ms(40000), () => ann.page.evaluate(async (wanted) => {
    const log = document.querySelector("#log");
    log.scrollTop = 0;
    await new Promise(requestAnimationFrame);
    return log.querySelectorAll("article").length >= wanted;
  }, count), `${count} loaded`);
  await settled(ann.page);
  return { bob, ann, carl };
}

/** The first message that begins in view, and where. */
const firstInView = (page) => page.evaluate(() => {
  const log = document.querySelector("#log");
  const edge = log.getBoundingClientRect().top;
  const first = [...log.querySelectorAll("article")].find((one) => one.getBoundingClientRect().top >= edge);
  return { id: first.dataset.id, top: first.getBoundingClientRect().top - edge };
});

const topOf = (page, id) => page.evaluate((wanted) => {
  const log = document.querySelector("#log");
  const one = log.querySelector(`[data-id="${CSS.escape(wanted)}"]`);
  return one.getBoundingClientRect().top - log.getBoundingClientRect().top;
}, id);

test("what is out of view is not laid out; the place is kept while others talk, edit and delete", limit(120),
  withPage(async ({ browser, url, server }) => {
    const { bob, ann, carl } = await longConversation({ browser, url, server }, 600);
    const { page } = ann;
    await carl.get("joined", { type: "join", room: "lobby" });
    await page.evaluate(() => {
      const log = document.querySelector("#log");
      log.scrollTop = log.scrollHeight * 0.6 + 0.3;
    });
    await drawn(page, 6);
    const skipped = await page.evaluate(() => [...document.querySelectorAll("#log article .bubble")]
      .filter((one) => !one.checkVisibility({ contentVisibilityAuto: true })).length);
    assert.ok(skipped > 400, `${skipped} of 600 are skipped`);
    const { id, top } = await firstInView(page);
    const above = await page.evaluate(() => [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("#log article[data-id]"))]
      .filter((one) => /member 1/.test(one.querySelector(".author").textContent)).slice(0, 40).map((one) => one.dataset.id));
    let worst = 0;
    for (let n = 1; n <= 40; n++) {
      bob.say(`news ${n}`);
      await bob.next();
      await carl.get("ack", n % 2 === 0 ? { type: "delete", room: "lobby", id: above[n - 1] }
        : { type: "edit", room: "lobby", id: above[n - 1], message: `edited ${"more words ".repeat(n * 3)}` });
      await drawn(page, 3);
      worst = Math.max(worst, Math.abs(await topOf(page, id) - top));
    }
    await until(ms(5000), async () => await page.locator("#log article.deleted").count() === 20, "all changes shown");
    await drawn(page, 6);
    worst = Math.max(worst, Math.abs(await topOf(page, id) - top));
    assert.ok(worst <= 0.5, `moved by ${worst} px`);
    await Promise.all([bob.leave(), carl.leave()]);
    assert.deepEqual(ann.problems, []);
  }, FREE));

test("scrolling moves by what the reader turned, also over what was never in view at this width", limit(120),
  withPage(async ({ browser, url, server }) => {
    const { bob, ann, carl } = await longConversation({ browser, url, server }, 400);
    const { page } = ann;
    for (const width of [900, 500, 1100]) {
      await page.setViewportSize({ width, height: 700 });
      await drawn(page, 6);
      await settled(page);
      await page.evaluate(() => {
        const log = document.querySelector("#log");
        log.scrollTop = log.scrollHeight * 0.8;
      });
      await drawn(page, 6);
      for (let n = 0; n < 15; n++) {
        const { id, top } = await firstInView(page);
        await page.evaluate(() => { document.querySelector("#log").scrollTop -= 350; });
        await drawn(page, 4);
        const moved = await topOf(page, id) - top;
        assert.ok(Math.abs(moved - 350) <= 0.5, `${moved} px instead of 350 at a width of ${width}`);
      }
    }
    await Promise.all([bob.leave(), carl.leave()]);
    assert.deepEqual(ann.problems, []);
  }, FREE));
