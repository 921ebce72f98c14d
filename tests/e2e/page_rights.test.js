// What the page shows of what one may do in a room.
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { Api, KEY } from "./lib/api.js";
import { bannerSays, enter, openMenu, person, say, shows, withPage } from "./lib/page.js";
import { limit } from "./lib/wait.js";

const RULES = path.join(tmpdir(), `parlor-rights-${process.pid}.ini`);
writeFileSync(RULES, "[room \"news\"]\naccess-guests = read\n[room \"vault\"]\naccess-guests = none\n");
after(() => rmSync(RULES));
const READ_ONLY = "You may read here, but not write.";

test("where one may only read, the page says so and offers nothing else", limit(60), withPage(async ({ browser, url, server }) => {
  const api = new Api(server);
  await api.post("news", "the paper", { username: "press" });
  const { page, problems } = await person(browser, url, "news", "Ann");
  await shows(page, "the paper");
  const box = page.locator("#message");
  const notice = page.locator("#composer-notice");
  await notice.filter({ hasText: READ_ONLY }).waitFor();
  assert.ok(await box.isDisabled());
  assert.ok(await page.locator("#send").isDisabled());
  await openMenu(page, "the paper");
  const visible = page.locator("#menu button:visible");
  assert.deepEqual(await visible.allInnerTexts(), ["Copy text"]);
  await page.keyboard.press("Escape");
  /* Another room of the same page. */
  await enter(page, url, "lobby", "Ann");
  assert.ok(await box.isEnabled());
  assert.equal(await notice.innerText(), "");
  await say(page, "hello");
  await shows(page, "hello");
  await openMenu(page, "hello");
  assert.ok((await visible.allInnerTexts()).includes("Reply"));
  assert.deepEqual(problems, []);
}, ["--config", RULES, "--api-key", KEY]));

test("a room that one may not enter says so, and is not tried again", limit(60), withPage(async ({ browser, url }) => {
  const { page } = await person(browser, url, "lobby", "Ann");
  await page.goto(`${url}?room=vault`);
  await bannerSays(page, /not allowed in this room/);
}, ["--config", RULES]));
