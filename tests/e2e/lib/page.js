// The page as people use it: entering, speaking, looking. Shared by the tests of the page.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { visitor, withBrowser } from "./browser.js";
import { freePort, startServer } from "./server.js";
import { ms, until } from "./wait.js";

/** Server and browser for one test. The server keeps what is said in a file of its own, across life.start(). */
export const withPage = (body, args = ["--workers", "2"]) => async () => {
  const port = await freePort();
  const directory = await mkdtemp(path.join(tmpdir(), "parlor-page-"));
  const all = args.includes("--data") ? args : ["--data", path.join(directory, "chat.db"), ...args];
  const start = () => startServer(all, { port });
  const life = { server: await start(), start, port, url: `http://127.0.0.1:${port}/` };
  try {
    await withBrowser((browser) => body({ browser, life, ...life }));
  } finally {
    await life.server?.stop();
    await rm(directory, { recursive: true });
  }
};

export async function enter(page, url, room, name) {
  await page.goto(url);
  await page.fill("#enter input[name=room]", room);
  await page.fill("#enter input[name=name]", name);
  await page.locator("#enter button[type=submit]").click();
  await connected(page);
}

export const connected = (page) =>
  page.waitForFunction(() => /^connected/i.test(document.querySelector("#status").textContent.trim()), null,
    { timeout: ms(30000) });

export const bannerSays = (page, pattern) => until(ms(20000), async () =>
  pattern.test(await page.locator("#banner").innerText().catch(() => "")), `banner ${pattern}`);

/** Connected again, without waiting for the back-off. */
export const comeBack = (page) => until(ms(30000), async () => {
  await page.locator("#retry").click({ timeout: 200 }).catch(() => {}); // not shown: it is under way, or back
  return /^connected/i.test(await page.locator("#status").innerText());
}, "connected again");

/** A tab in the room under this name, with the promise that nothing goes wrong in it. */
export async function person(browser, url, room, name, options) {
  const one = await visitor(browser, options);
  await enter(one.page, url, room, name);
  return one;
}

export async function say(page, text) {
  await page.fill("#composer textarea[name=message]", text);
  await page.click("button#send");
}

export const article = (page, text) => page.locator("#log article[data-id]").filter({ hasText: text });
export const shows = (page, text) => article(page, text).first().waitFor();

/** The texts of what stands in the log, top to bottom, without what is not sent yet. */
export const texts = (page) =>
  page.locator("#log article[data-id] .text").evaluateAll((all) => all.map((one) => one.textContent));

/** Opens what can be done with a message, with the mouse. */
export async function openMenu(page, text) {
  await article(page, text).first().locator(".bubble").click({ button: "right" });
  await page.locator("#menu[open]").waitFor();
}

export async function choose(page, text, what) {
  await openMenu(page, text);
  await page.locator("#menu").getByRole("button", { name: what, exact: true }).click();
}
