// Two tabs of one browser, two devices of one person, and two people who want the same name: whose
// message is whose, and what the door says about it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Member } from "./lib/chat.js";
import { tab, visitor } from "./lib/browser.js";
import { article, choose, connected, enter, person, say, shows, withPage } from "./lib/page.js";
import { limit, ms, until } from "./lib/wait.js";

const isOwn = (page, text) => article(page, text).first().evaluate((one) => one.classList.contains("own"));
const acked = (page) => page.waitForFunction(() => !document.querySelector("article.pending"));
const settled = async (page, text) => {
  await shows(page, text);
  await acked(page);
};

/** A further tab of the same browser, in the room under a name of its own. */
async function secondTab(one, url, room, name) {
  const two = await tab(one.context);
  await enter(two.page, url, room, name);
  return two;
}

/** Fills in the door and submits, without the promise that this leads in. */
async function knock(page, room, name) {
  await page.fill("#enter input[name=room]", room);
  await page.fill("#enter input[name=name]", name);
  await page.locator("#enter button[type=submit]").click();
}

test("two tabs of one browser are two people, before and after a reload", limit(60), withPage(async ({ browser, url }) => {
  const ann = await person(browser, url, "lobby", "Ann");
  const bob = await secondTab(ann, url, "lobby", "Bob");
  await say(ann.page, "from Ann");
  await settled(ann.page, "from Ann");
  await say(bob.page, "from Bob");
  await settled(bob.page, "from Bob");
  for (const round of ["at once", "after a reload"]) {
    for (const { page } of [ann, bob]) {
      await shows(page, "from Ann");
      await shows(page, "from Bob");
    }
    assert.deepEqual([await isOwn(ann.page, "from Ann"), await isOwn(ann.page, "from Bob")], [true, false], `Ann's ${round}`);
    assert.deepEqual([await isOwn(bob.page, "from Ann"), await isOwn(bob.page, "from Bob")], [false, true], `Bob's ${round}`);
    for (const { page } of [ann, bob]) {
      await page.reload();
      await connected(page);
    }
  }
  // Who Ann was in her tab, she still is: Bob came later, in another one.
  assert.equal(await ann.page.getAttribute("#message", "placeholder"), "Message as Ann");
  assert.equal(await bob.page.getAttribute("#message", "placeholder"), "Message as Bob");
  await say(ann.page, "still Ann");
  await settled(ann.page, "still Ann");
  await shows(bob.page, "still Ann");
  assert.equal(await isOwn(bob.page, "still Ann"), false);
  assert.match(await article(bob.page, "still Ann").innerText(), /Ann/);
  assert.deepEqual([...ann.problems, ...bob.problems], []);
}));

test("a reaction of one tab is not the other's", limit(60), withPage(async ({ browser, url }) => {
  const ann = await person(browser, url, "lobby", "Ann");
  const bob = await secondTab(ann, url, "lobby", "Bob");
  await say(ann.page, "praise me");
  await settled(ann.page, "praise me");
  await shows(bob.page, "praise me");
  await article(bob.page, "praise me").locator(".bubble").click({ button: "right" });
  await bob.page.locator('#menu [data-emoji="👍"]').click();
  const pressed = (page) => article(page, "praise me").locator(".chip").getAttribute("aria-pressed");
  await until(ms(5000), async () => await pressed(bob.page) === "true", "Bob's chip");
  for (const { page } of [ann, bob]) {
    await page.reload();
    await connected(page);
    await article(page, "praise me").locator(".chip").waitFor();
  }
  assert.deepEqual([await pressed(ann.page), await pressed(bob.page)], ["false", "true"]);
  assert.deepEqual([...ann.problems, ...bob.problems], []);
}));

test("what one tab has read is new to the other", limit(60), withPage(async ({ browser, url, server }) => {
  const cy = await Member.join(server, "lobby", { query: "?username=Cy" });
  const ann = await person(browser, url, "lobby", "Ann");
  const bob = await secondTab(ann, url, "lobby", "Bob");
  cy.say("before");
  for (const { page } of [ann, bob]) await shows(page, "before");
  const address = bob.page.url();
  await bob.page.goto("about:blank");
  cy.say("while Bob was gone");
  await shows(ann.page, "while Bob was gone");
  await ann.page.goto("about:blank"); // remembers that Ann has read it
  await bob.page.goto(address);
  await connected(bob.page);
  await shows(bob.page, "while Bob was gone");
  assert.equal(await bob.page.locator(".separator.unread").count(), 1);
  await cy.leave();
}));

test("an invite link asks for a name, and proposes the last one; a reload does not ask", limit(60),
  withPage(async ({ browser, url }) => {
    const ann = await person(browser, url, "lobby", "Ann");
    const two = await tab(ann.context);
    await two.page.goto(ann.page.url());
    await two.page.locator("#enter").waitFor();
    assert.equal(await two.page.inputValue("#room"), "lobby");
    assert.equal(await two.page.inputValue("#name"), "Ann");
    assert.equal(await two.page.evaluate(() => document.activeElement.id), "name");
    await two.page.keyboard.type("Bob"); // the proposal is selected, so one just types
    await two.page.keyboard.press("Enter");
    await connected(two.page);
    await ann.page.reload();
    await connected(ann.page);
    assert.equal(await ann.page.getAttribute("#message", "placeholder"), "Message as Ann");
    assert.deepEqual([...ann.problems, ...two.problems], []);
  }));

test("a name that somebody has: the door says so and offers another", limit(60), withPage(async ({ browser, url }) => {
  const ann = await person(browser, url, "lobby", "Ann");
  await say(ann.page, "from the first Ann");
  await settled(ann.page, "from the first Ann");
  const other = await visitor(browser);
  await other.page.goto(url);
  await knock(other.page, "lobby", "ann"); // names that differ in case alone look the same
  await other.page.locator("#taken").waitFor();
  assert.match(await other.page.locator("#name-error").innerText(), /“ann” is in this room already/);
  assert.ok(await other.page.locator("#enter").isVisible());
  await knock(other.page, "lobby", "Ann");
  await other.page.getByRole("button", { name: "Enter as “Ann 2”" }).click();
  await connected(other.page);
  await shows(other.page, "from the first Ann");
  assert.equal(await isOwn(other.page, "from the first Ann"), false);
  assert.equal(await other.page.getAttribute("#message", "placeholder"), "Message as Ann 2");
  // The next one is offered what is still free.
  const third = await visitor(browser);
  await third.page.goto(url);
  await knock(third.page, "lobby", "Ann");
  await third.page.getByRole("button", { name: "Enter as “Ann 3”" }).waitFor();
  await third.page.fill("#name", "Cy"); // whoever types something else is not held up
  await third.page.locator("#taken").waitFor({ state: "hidden" });
  await third.page.keyboard.press("Enter");
  await connected(third.page);
  // In another room Ann is free.
  await third.page.click("#leave");
  await knock(third.page, "elsewhere", "Ann");
  await connected(third.page);
  assert.deepEqual([...ann.problems, ...other.problems, ...third.problems], []);
}));

test("leaving and entering again under one's own name is no conflict", limit(60), withPage(async ({ browser, url }) => {
  const ann = await person(browser, url, "lobby", "Ann");
  for (let n = 0; n < 5; n++) {
    await ann.page.click("#leave");
    await ann.page.locator("#enter").waitFor();
    await ann.page.locator("#enter button[type=submit]").click();
    await connected(ann.page);
  }
  assert.deepEqual(ann.problems, []);
}));

test("Ann's second device shows hers as hers: she says “that is me”", limit(60), withPage(async ({ browser, url }) => {
  const laptop = await person(browser, url, "lobby", "Ann");
  await say(laptop.page, "from the laptop");
  await settled(laptop.page, "from the laptop");
  const phone = await visitor(browser);
  await phone.page.goto(url);
  await knock(phone.page, "lobby", "Ann");
  await phone.page.getByRole("button", { name: /that’s me/i }).click();
  await connected(phone.page);
  await shows(phone.page, "from the laptop");
  assert.equal(await isOwn(phone.page, "from the laptop"), true, "what she had said");
  await say(laptop.page, "again from the laptop");
  await shows(phone.page, "again from the laptop");
  assert.equal(await isOwn(phone.page, "again from the laptop"), true, "and what she says now");
  // The laptop was told nothing; there she says so with the message's menu.
  await say(phone.page, "from the phone");
  await settled(phone.page, "from the phone");
  await shows(laptop.page, "from the phone");
  assert.equal(await isOwn(laptop.page, "from the phone"), false);
  await choose(laptop.page, "from the phone", "That was me");
  await until(ms(5000), () => isOwn(laptop.page, "from the phone"), "hers");
  // Both remember it, and neither is asked again.
  for (const { page } of [laptop, phone]) {
    await page.reload();
    await connected(page);
    await shows(page, "from the phone");
    assert.deepEqual([await isOwn(page, "from the laptop"), await isOwn(page, "from the phone")], [true, true]);
  }
  await phone.page.click("#leave");
  await phone.page.locator("#enter button[type=submit]").click();
  await connected(phone.page);
  assert.deepEqual([...laptop.problems, ...phone.problems], []);
}));
