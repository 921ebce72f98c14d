// Debian's headless Chromium, driven by playwright-core. Every page is watched: what its console
// calls an error, what it throws and what its content security policy blocks is collected, and a
// test that expects none of it says so.
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";
import { ms } from "./wait.js";

const EXECUTABLE = process.env.CHROMIUM_BIN || "/usr/bin/chromium";
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** Starts the browser for one test and closes it whatever happens in the body. */
export async function withBrowser(body, flags = []) {
  if (!existsSync(EXECUTABLE)) throw new Error(`${EXECUTABLE} is missing: apt-get install chromium`);
  const browser = await chromium.launch({ executablePath: EXECUTABLE, args: [...FLAGS, ...flags] });
  try {
    return await body(browser);
  } finally {
    await browser.close();
  }
}

/** A page in a profile of its own: {page, problems}. */
export async function visitor(browser, options = {}) {
  const context = await browser.newContext({ locale: "en-GB", ...options });
  return tab(context);
}

/** A further tab of the same profile. */
export async function tab(context) {
  const page = await context.newPage();
  page.setDefaultTimeout(ms(10000));
  const problems = [];
  page.on("console", (message) => message.type() === "error" && problems.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => problems.push(`thrown: ${error.message}`));
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      console.error(`CSP blocked ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  return { page, problems, context };
}
