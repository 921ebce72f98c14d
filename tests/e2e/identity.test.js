// Sites with users, as docs/identity.md has them: the programs of examples/identity, each with its real framework,
// behind a real nginx, in a real browser. And the manual shows what they do.
/* global ws -- of the page under test */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { cpSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { SignJWT, importPKCS8 } from "jose";
import { tab, visitor, withBrowser } from "./lib/browser.js";
import { Member, Rich } from "./lib/chat.js";
import { portOf } from "./lib/http.js";
import { REPO, freePort, startServer, withDirectory } from "./lib/server.js";
import { limit, ms, until, within } from "./lib/wait.js";

const EXAMPLES = path.join(REPO, "examples/identity");
const MODULES = path.join(REPO, "tests/e2e/node_modules");
const PYTHON = "/usr/bin/python3"; // that of the system, which has its packages

const APPS = {
  Django: { folder: "django", cookie: "sessionid", command: () => [PYTHON, "app.py"] },
  Express: { folder: "express", cookie: "connect.sid", command: () => [process.execPath, "app.js"] },
  PHP: {
    folder: "php",
    cookie: "PHPSESSID",
    command: (port, dir) => ["php", "-d", `session.save_path=${dir}`, "-S", `127.0.0.1:${port}`, "index.php"],
  },
  Rails: {
    folder: "rails",
    cookie: "_site_session",
    command: (port) => ["puma", "-b", `tcp://127.0.0.1:${port}`],
  },
};

/** Replaces what stands there exactly once. */
const put = (text, from, to) => {
  assert.equal(text.split(from).length, 2, `"${from}" once in:\n${text}`);
  return text.replace(from, () => to);
};

/** A program beside the server. */
class Program {
  said = "";
  /** @type {boolean} */
  over = false;

  constructor([command, ...args], cwd, env = {}) {
    this.name = command;
    this.child = spawn(command, args, { cwd, stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin`, ...env } });
    for (const stream of [this.child.stdout, this.child.stderr]) stream.on("data", (text) => (this.said += text));
    this.gone = new Promise((resolve) => {
      this.child.once("error", (error) => resolve(this.said += error.message));
      this.child.once("close", resolve);
    }).then(() => (this.over = true));
  }

  /** Waits until its port answers, with whatever. */
  async answers(port, target) {
    const url = `http://127.0.0.1:${port}${target}`;
    await until(ms(20000), () => this.over || fetch(url).then(() => true, () => false), `${this.name} answering`);
    assert.ok(!this.over, `${this.name} ended`);
  }

  async stop() {
    this.child.kill("SIGTERM");
    await within(ms(10000), this.gone, `end of ${this.name}`).catch(() => this.child.kill("SIGKILL"));
    await this.gone;
  }
}

/** The examples in a directory of their own, with a secret, and with what npm would have put there. */
function copyExamples(dir) {
  cpSync(EXAMPLES, dir, { recursive: true, filter: (file) => path.basename(file) !== "node_modules" });
  symlinkSync(MODULES, path.join(dir, "express/node_modules"));
  const secret = path.join(dir, "chat.secret");
  writeFileSync(secret, `${randomBytes(32).toString("hex")}\n`, { mode: 0o600 });
  return secret;
}

/**
 * The body of a test with one of the apps and a Parlor behind nginx: use({url, front, server, restart}).
 * @param {string} name
 * @param {(site: any, browser: any) => Promise<void>} use
 * @param {{args?: (at: {secret: string, url: string, app: number}) => string[], edit?: (conf: string) => string}} how
 */
const withSite = (name, use, how = {}) => () => withDirectory(async (dir) => {
  const { args = ({ secret }) => ["--jwt-secret-file", secret], edit = (conf) => conf } = how;
  const secret = copyExamples(dir);
  const front = await freePort();
  const app = await freePort();
  const port = await freePort();
  const url = `http://localhost:${front}`;
  let conf = edit(readFileSync(path.join(dir, "nginx.conf"), "utf8"));
  conf = put(conf, "127.0.0.1:8080", `127.0.0.1:${front}`).replaceAll("127.0.0.1:3000", `127.0.0.1:${app}`);
  writeFileSync(path.join(dir, "nginx.conf"), put(conf, "127.0.0.1:8000", `127.0.0.1:${port}`));

  const start = () => startServer(["--workers", "2", ...args({ secret, url, app })], { port });
  const site = { url, front, server: await start(), restart: async () => {
    await site.server.stop();
    site.server = await start();
  } };
  const programs = [
    new Program(APPS[name].command(app, dir), path.join(dir, APPS[name].folder),
      { PORT: String(app), CHAT_SECRET_FILE: secret }),
    new Program(["nginx", "-p", dir, "-e", "stderr", "-c", path.join(dir, "nginx.conf")], dir),
  ];
  try {
    await programs[0].answers(app, "/login");
    await programs[1].answers(front, "/login");
    await withBrowser((browser) => use(site, browser));
  } catch (error) {
    for (const program of programs) error.message += `\n[${program.name}: ${program.said.slice(-3000)}]`;
    error.message += `\n[parlor: ${site.server.stderr.slice(-2000)}]`;
    throw error;
  } finally {
    await Promise.all(programs.map((program) => program.stop()));
    await site.server.stop();
  }
});

async function tryPassword(page, username, password) {
  await page.fill("[name=username]", username);
  await page.fill("[name=password]", password);
  await page.getByRole("button", { name: "Log in" }).click();
}

/** A browser of one's own in which this user has logged in: {page, problems, context}. */
async function logIn(browser, url, username) {
  const one = await visitor(browser);
  await one.page.goto(url);
  await tryPassword(one.page, username, `${username}-password`);
  await one.page.locator("#say").waitFor();
  return one;
}

/** Of these pages; what is said before is not shown to them. */
const connected = (...them) => Promise.all(them.map(({ page }) =>
  page.waitForFunction(() => typeof ws !== "undefined" && ws?.readyState === WebSocket.OPEN)));

async function logOut({ page }) {
  await page.getByRole("button", { name: "Log out" }).click();
  await page.waitForURL("**/login");
}

const shows = ({ page }, text) => page.locator("#log li").getByText(text, { exact: true }).waitFor();

/** Says it as a person does: again, as long as the page is not connected. */
const say = ({ page }, text) => until(ms(10000), async () => {
  await page.locator("#say [name=message]").fill(text);
  await page.locator("#say [name=message]").press("Enter");
  return await page.locator("#say [name=message]").inputValue() === "";
}, `${text}, sent`);

/** What somebody sends who has copied the cookies of this browser. */
async function cookiesOf({ context }) {
  const Cookie = (await context.cookies()).map(({ name, value }) => `${name}=${value}`).join("; ");
  return { Cookie };
}

/** Whatever name a frame of this page has. */
const sayAs = ({ page }, username, message) =>
  page.evaluate((frame) => ws.send(JSON.stringify(frame)), { username, message });

for (const name of Object.keys(APPS)) {
  test(`${name}: who has logged in chats as that user, and who has logged out cannot come back`, limit(60),
    withSite(name, async (site, browser) => {
      const stranger = await visitor(browser);
      await stranger.page.goto(site.url);
      const tried = stranger.page.waitForResponse((answer) => answer.request().method() === "POST");
      await tryPassword(stranger.page, "ann", "a guess");
      await tried;
      await stranger.page.goto(site.url);
      assert.match(stranger.page.url(), /\/login/);
      const none = await stranger.page.evaluate(async () => (await fetch("/chat-token")).status);
      assert.equal(none, 401);

      const ann = await logIn(browser, site.url, "ann");
      const bob = await logIn(browser, site.url, "bob");
      await connected(ann, bob);
      await say(ann, "hello");
      await say(bob, "hello Ann");
      for (const one of [ann, bob]) {
        await shows(one, "Ann: hello");
        await shows(one, "Bob: hello Ann");
      }
      await sayAs(bob, "Ann", "I am Ann");
      await shows(ann, "Bob: I am Ann");
      const answer = await ann.page.evaluate(async () => (await fetch("/chat-token")).headers.get("cache-control"));
      assert.match(answer, /no-store/);

      const second = await tab(ann.context);
      await second.page.goto(site.url);
      await say(second, "from the second tab");
      await shows(bob, "Ann: from the second tab");
      assert.deepEqual([...ann.problems, ...bob.problems, ...second.problems], []);
      await logOut(ann);
      await site.restart(); // who has a token comes back with another one
      await shows(second, "You have signed out.");
      await say(bob, "still here");
      await shows(bob, "Bob: still here");
      assert.match(ann.page.url(), /\/login$/);
    }));
}

for (const [name, { cookie }] of Object.entries(APPS)) {
  test(`${name}: the session itself signs in, and the log-out closes the chat`, limit(60), withSite(name, async (site, browser) => {
    const ann = await logIn(browser, site.url, "ann");
    const bob = await logIn(browser, site.url, "bob");
    const second = await tab(ann.context);
    for (const one of [ann, bob, second]) await one.page.goto(`${site.url}/?cookie`);
    await connected(ann, bob, second);
    await say(ann, "hello");
    await shows(bob, "Ann: hello");
    await sayAs(bob, "Ann", "I am Ann");
    await shows(ann, "Bob: I am Ann");
    assert.deepEqual([...ann.problems, ...bob.problems, ...second.problems], []);

    const headers = await cookiesOf(ann);
    const evil = await Member.join(site.front, "lobby", { headers: { ...headers, Origin: "https://evil.example" } });
    await evil.closesWith(4003);

    await logOut(ann);
    await second.page.locator("#log li").getByText(/^system: ./).waitFor(); // why it is closed
    await second.page.waitForFunction(() => ws.readyState === WebSocket.CLOSED);
    const nobody = await Member.join(site.front, "lobby", { headers });
    nobody.say("hello again");
    assert.match((await nobody.next()).username, /^guest-/);
    await nobody.leave();
    await say(bob, "still here");
    await shows(bob, "Bob: still here");
  }, {
    args: ({ app }) => ["--auth-url", `http://127.0.0.1:${app}/chat-auth`, "--auth-cookies", cookie,
      "--auth-cache", "none", "--auth-recheck", "1s"],
  }));
}

/** The manual's page, in parts: its code with what stands before it. */
function blocks() {
  const page = readFileSync(path.join(REPO, "docs/identity.md"), "utf8");
  return [...page.matchAll(/([^\n]*)\n\n```(\w+)\n(.*?)^```$/gms)].map(([, before, language, code]) => ({ before, language, code }));
}

const plain = (code) => code.split("\n").map((line) => line.trim()).filter(Boolean).join("\n");

test("what the manual shows is in the examples", () => {
  let found = 0;
  for (const { before, code } of blocks()) {
    const file = /\]\(\.\.\/(examples\/identity\/[^)]+)\)/.exec(before)?.[1];
    if (!file) continue;
    found++;
    assert.ok(plain(readFileSync(path.join(REPO, file), "utf8")).includes(plain(code)), `${file} has\n${code}`);
  }
  assert.ok(found >= 5, `${found} parts of examples`);
  const { dependencies } = JSON.parse(readFileSync(path.join(EXAMPLES, "express/package.json"), "utf8"));
  const { devDependencies } = JSON.parse(readFileSync(path.join(REPO, "tests/e2e/package.json"), "utf8"));
  for (const [name, version] of Object.entries(dependencies)) assert.equal(devDependencies[name], version, name);
});

test("nginx asks the app for a token, and the page needs none", limit(60), withSite("Express", async (site, browser) => {
  const ann = await logIn(browser, site.url, "ann");
  const bob = await logIn(browser, site.url, "bob");
  for (const one of [ann, bob]) await one.page.goto(`${site.url}/?cookie`);
  await connected(ann, bob);
  await say(ann, "hello");
  await shows(bob, "Ann: hello");
  await sayAs(bob, "Ann", "I am Ann");
  await shows(ann, "Bob: I am Ann");
  assert.deepEqual([...ann.problems, ...bob.problems], []);
  /* The token is for nginx alone, */
  assert.equal((await fetch(`http://127.0.0.1:${site.front}/chat-header`)).status, 404);
  /* a page of another site cannot use a visitor's cookie, */
  const headers = await cookiesOf(ann);
  const evil = await Member.join(site.front, "lobby", { headers: { ...headers, Origin: "https://evil.example" } });
  await evil.closesWith(4003);
  /* and without one nobody gets in. */
  await logOut(ann);
  await assert.rejects(Member.join(site.front, "lobby", { headers }), /401/);
}, {
  args: ({ secret, url }) => ["--jwt-secret-file", secret, "--origins", url],
  edit(conf) {
    const [block] = blocks().filter(({ code }) => code.includes("auth_request "));
    const location = /^ {8}location \/ws\/ \{.*?^ {8}\}\n/ms.exec(conf)[0];
    return put(conf, location, block.code);
  },
}));

const KINDS = {
  rsa: { make: () => generateKeyPairSync("rsa", { modulusLength: 2048 }), algorithms: ["RS256", "PS256"] },
  ec: { make: () => generateKeyPairSync("ec", { namedCurve: "P-256" }), algorithms: ["ES256"] },
  ed25519: { make: () => generateKeyPairSync("ed25519"), algorithms: ["EdDSA"] },
};

/** PyJWT's token by this algorithm; the key is the secret, or PEM. */
function fromPyjwt(algorithm, key) {
  const program = `import sys, time, jwt
print(jwt.encode({"sub": "u1", "name": "Ann", "exp": int(time.time()) + 300}, sys.stdin.read(), algorithm="${algorithm}"))`;
  const { status, stdout, stderr } = spawnSync(PYTHON, ["-c", program], { input: key, encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return stdout.trim();
}

/** jose's. */
const fromJose = async (alg, key) =>
  new SignJWT({ name: "Ann" }).setProtectedHeader({ alg }).setSubject("u1").setExpirationTime("5m")
    .sign(alg.startsWith("HS") ? new TextEncoder().encode(key) : await importPKCS8(key, alg));

async function isBelieved(server, token) {
  const rich = await Rich.join(server, "lobby", { protocols: ["parlor.v1", `bearer.${token}`] });
  assert.deepEqual([rich.welcome.user, rich.welcome.username], ["u1", "Ann"]);
  await rich.leave();
}

test("tokens of PyJWT and of jose are believed: secrets, RSA, elliptic curves, Ed25519", limit(60), () => withDirectory(async (dir) => {
  const secret = copyExamples(dir);
  const cases = [{ args: ["--jwt-secret-file", secret], key: readFileSync(secret, "utf8").trim(), algorithms: ["HS256", "HS384", "HS512"] }];
  for (const [kind, { make, algorithms }] of Object.entries(KINDS)) {
    const { publicKey, privateKey } = make();
    const file = path.join(dir, `${kind}.pem`);
    writeFileSync(file, publicKey.export({ type: "spki", format: "pem" }));
    cases.push({ args: ["--jwt-key", file], key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(), algorithms });
  }
  for (const { args, key, algorithms } of cases) {
    const server = await startServer(args);
    try {
      for (const algorithm of algorithms) {
        await isBelieved(server, fromPyjwt(algorithm, key));
        await isBelieved(server, await fromJose(algorithm, key));
      }
    } finally {
      await server.stop();
    }
  }
}));

test("tokens by keys that the app publishes", limit(40), (t) => withDirectory(async (dir) => {
  copyExamples(dir);
  const { keys, tokenFor } = await import(pathToFileURL(path.join(dir, "express/jwks.js")).href);
  const app = createServer((_, answer) => answer.end(JSON.stringify(keys)));
  t.after(() => {
    app.closeAllConnections();
    app.close();
  });
  await new Promise((resolve) => app.listen(0, "127.0.0.1", () => resolve(null)));
  const server = await startServer(["--jwks-url", `http://127.0.0.1:${portOf(app)}/jwks.json`,
    "--jwt-issuer", "https://app.example.org", "--jwt-audience", "chat"]);
  try {
    await server.says(/keys_fetched/, ms(10000));
    await isBelieved(server, await tokenFor({ id: "u1", name: "Ann" }));
  } finally {
    await server.stop();
  }
}));
