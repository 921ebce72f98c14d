// What README hands to a newcomer works as it stands there, and is safe to copy.
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { tab, visitor } from "./lib/browser.js";
import { withPage } from "./lib/page.js";
import { REPO } from "./lib/server.js";
import { limit, ms, until } from "./lib/wait.js";

test("the complete page of README: two tabs, opened from the disk, and nothing that is said runs", limit(60),
  withPage(async ({ browser, port }) => {
    const readme = await readFile(path.join(REPO, "README.md"), "utf8");
    const [, page] = /```html\n(<!doctype html>[\s\S]*?)```/.exec(readme) ?? [];
    assert.ok(page, "a page in README");
    assert.match(page, /ws:\/\/localhost:8000\//);
    assert.doesNotMatch(page, /innerHTML\s*[+=]/);
    const directory = await mkdtemp(path.join(tmpdir(), "parlor-readme-"));
    try {
      const file = path.join(directory, "chat.html");
      await writeFile(file, page.replace("localhost:8000", `127.0.0.1:${port}`));
      const ann = await visitor(browser);
      const bob = await tab(ann.context);
      for (const one of [ann, bob]) await one.page.goto(pathToFileURL(file).href);
      const seen = (one, text) => until(ms(10000), async () => (await one.page.locator("li").allInnerTexts()).includes(text), text);
      const say = async (one, name, text) => {
        await one.page.getByPlaceholder("Your name").fill(name);
        await until(ms(10000), async () => {
          await one.page.getByPlaceholder("Message").fill(text);
          await one.page.getByPlaceholder("Message").press("Enter");
          return await one.page.getByPlaceholder("Message").inputValue() === ""; // else it is not connected yet
        }, "sent");
      };
      await say(ann, "ann", "Hello!");
      await seen(ann, "ann: Hello!");
      await say(bob, "bob", '<img src=x onerror="window.owned=1">');
      for (const one of [ann, bob]) await seen(one, 'bob: <img src=x onerror="window.owned=1">');
      await say(ann, "<b>ann</b>", "still safe");
      await seen(bob, "<b>ann</b>: still safe");
      for (const { page: open } of [ann, bob]) {
        assert.equal(await open.evaluate(() => window.owned), undefined);
        assert.equal(await open.locator("li *").count(), 0);
      }
      assert.deepEqual([...ann.problems, ...bob.problems], []);
    } finally {
      await rm(directory, { recursive: true });
    }
  }));
