// What the page shows of what one may do in a room.
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { Api, KEY } from "./lib/api.js";
import { visitor } from "./lib/browser.js";
import { portOf } from "./lib/http.js";
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

test("whom the site knows has its name on the page, whatever was typed at the door", limit(60), async (t) => {
  const site = createServer((asking, response) => {
    const known = asking.headers.cookie === "sid=ann";
    response.writeHead(known ? 200 : 401);
    response.end(known ? JSON.stringify({ user: "u1", username: "Ann of the site" }) : "");
  });
  await new Promise((resolve) => site.listen(0, "127.0.0.1", () => resolve(null)));
  t.after(() => site.close());
  await withPage(async ({ browser, url }) => {
    const { page, problems } = await visitor(browser);
    await page.context().addCookies([{ name: "sid", value: "ann", url }]);
    await enter(page, url, "lobby", "typed");
    await page.getByPlaceholder("Message as Ann of the site").waitFor();
    await say(page, "it is me");
    const { page: other } = await person(browser, url, "lobby", "Bob");
    await shows(other, "it is me");
    await shows(other, "Ann of the site");
    await page.reload();
    await page.getByPlaceholder("Message as Ann of the site").waitFor();
    await openMenu(page, "it is me");
    assert.ok((await page.locator("#menu button:visible").allInnerTexts()).includes("Edit"), "it is hers after a reload");
    assert.deepEqual(problems, []);
  }, ["--auth-url", `http://127.0.0.1:${portOf(site)}`, "--auth-cookies", "sid"])();
});

test("a room that one may not enter says so, and is not tried again", limit(60), withPage(async ({ browser, url }) => {
  const { page } = await person(browser, url, "lobby", "Ann");
  await page.goto(`${url}?room=vault`);
  await bannerSays(page, /not allowed in this room/);
}, ["--config", RULES]));
