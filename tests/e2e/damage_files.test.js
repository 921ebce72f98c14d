// Damage: each file of the database garbled, cut, emptied, deleted, replaced by another, or by an older
// copy of itself; while the server runs, after an orderly end, and after kill -9. DAMAGE_CASES says how many
// cases (make test-damage: 200), DAMAGE_SEED repeats a run.
//
// What the rules are
//  1. While it runs, damage is in the log, the metrics and the readiness within two seconds: in its status,
//     or in words where it is damage in one place that leaves the rest usable (damage.test.js).
//  2. Between two lives, either the next one has all that was acknowledged, as it was, or the log and the
//     metrics say what is wrong, or it does not start and says why.
//  3. No id ever stands for two texts.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { after, test } from "node:test";
import { Rich } from "./lib/chat.js";
import { request } from "./lib/http.js";
import { withLives } from "./lib/server.js";
import { count, limit, ms, until } from "./lib/wait.js";

const CASES = Number(process.env.DAMAGE_CASES) || count(36, 12);
// The short form is the same each time: what no change of ours has caused is found by the long one.
const SEED = Number(process.env.DAMAGE_SEED) || (process.env.DAMAGE_CASES ? Math.floor(Math.random() * 2 ** 31) : 1711595);
const ARGS = ["--workers", "1", "--rate", "0"];
const SUFFIXES = ["", "-wal", "-shm", "-witness"];
const PAGE = 4096;
const SAID = /store_(failed|lost|restored|touched|stale|trouble)/;

/** The same numbers for the same seed (mulberry32). */
function randomFrom(seed) {
  let state = seed >>> 0;
  return (n) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * n);
  };
}

const rewrite = (file, change) => {
  const bytes = readFileSync(file);
  change(bytes);
  writeFileSync(file, bytes, { flag: "r+" });
};

/** What can happen to a file; `old` is a copy of it from earlier. */
const DAMAGES = {
  garbled: (file, old, random) => rewrite(file, (bytes) => {
    const at = random(Math.ceil(bytes.length / PAGE)) * PAGE;
    for (let i = at; i < Math.min(at + PAGE, bytes.length); i++) bytes[i] ^= 0x5a;
  }),
  "garbled at its head": (file) => rewrite(file, (bytes) => bytes.fill(0xa5, 0, Math.min(PAGE, bytes.length))),
  "with one letter changed": (file, old, random) => rewrite(file, (bytes) => {
    const places = [];
    for (let at = bytes.indexOf("said "); at >= 0; at = bytes.indexOf("said ", at + 1)) places.push(at);
    const at = places.length ? places[random(places.length)] : random(bytes.length);
    if (bytes.length) bytes[at] ^= 1;
  }),
  "cut in half": (file) => truncateSync(file, Math.floor(statSync(file).size / 2)),
  emptied: (file) => truncateSync(file, 0),
  deleted: (file) => rmSync(file),
  "replaced by an older copy": (file, old) => {
    copyFileSync(old, `${file}.new`);
    renameSync(`${file}.new`, file);
  },
  "overwritten with an older copy": (file, old) => writeFileSync(file, readFileSync(old)),
};

const WHENS = ["running", "stopped", "killed"];

/** Cutting what the process has mapped into its memory ends it, which nobody can overlook: no case here. */
const possible = (when, suffix, damage) =>
  !(suffix === "-shm" && when === "running" && !["deleted", "replaced by an older copy"].includes(damage)) &&
  !(when === "stopped" && ["-wal", "-shm"].includes(suffix) && !damage.includes("older copy"));

const all = WHENS.flatMap((when) => SUFFIXES.flatMap((suffix) =>
  Object.keys(DAMAGES).filter((damage) => possible(when, suffix, damage)).map((damage) => ({ when, suffix, damage }))));

const total = { cases: 0, silent: 0, late: 0, reused: 0, harmless: 0, refused: 0, said: 0 };
after(() => console.log(`damage total: ${Object.entries(total).map(([name, n]) => `${n} ${name}`).join(", ")}`));

const enter = (server, query = "") => Rich.join(server, "lobby", { query: `?username=ann${query}` });

async function post(server, n, word, said) {
  const ann = await enter(server);
  await Promise.all(Array.from({ length: n }, async (_, i) => {
    const text = `said ${word} ${i} ${".".repeat(100)}`;
    const { id } = await ann.say(text);
    if (said.has(id)) total.reused++;
    assert.ok(!said.has(id), `${id} was "${said.get(id)}" and is "${text}"`);
    said.set(id, text);
  }));
  await ann.leave();
}

/** The room as it can be read: Map of id to text, or null. */
async function kept(server) {
  try {
    const reader = await enter(server);
    const found = new Map();
    for (let more = true, before; more;) {
      const page = await reader.ask({ type: "history", limit: 200, ...(before && { before }) });
      if (page.type === "error") return null;
      for (const m of page.messages) found.set(m.id, m.message);
      ({ more } = page);
      before = page.messages[0]?.id;
    }
    await reader.leave();
    return found;
  } catch {
    return null; // it cannot be entered
  }
}

/** What the metrics count of it. */
const troubles = async (server) =>
  (await server.metric(/^parlor_store_file_faults_total$/)) + (await server.metric(/^parlor_store_damaged$/));

async function whileRunning(lives, harm) {
  const { server } = lives;
  const before = [await troubles(server), server.stderr.length];
  harm();
  const began = performance.now();
  let red = false;
  await until(ms(2000), async () => {
    const ready = await request(server.port, "GET", "/readyz");
    red ||= ready.status === 503 || /damaged/.test(ready.text);
    return red && (await troubles(server)) > before[0] && SAID.test(server.stderr.slice(before[1]));
  }, "log, metric and readiness").catch((error) => {
    total.late++;
    throw error;
  });
  return performance.now() - began;
}

/** Starts the next life and holds it against what was acknowledged. */
async function nextLife(lives, said, heard) {
  try {
    await lives.start();
  } catch (error) {
    assert.match(error.message, /server left \(1\) before[^]*store_failed +cannot open/, "it says why it does not start");
    total.refused++;
    return;
  }
  const { server } = lives;
  const found = await kept(server);
  const whole = found && found.size === said.size && [...said].every(([id, text]) => found.get(id) === text);
  const told = heard || (SAID.test(server.stderr) && (await troubles(server)) > 0);
  if (!whole && !told) total.silent++;
  assert.ok(whole || told, `silent: ${found?.size} of ${said.size} are there, and nothing is said`);
  total[told ? "said" : "harmless"]++;
  if ((await request(server.port, "GET", "/readyz")).status !== 200) return;
  const given = new Map(said);
  await post(server, 50, "in the next life", given).catch((error) => {
    if (found || !/response: 503/.test(error.message)) throw error; // a room that cannot be read cannot be entered
  });
}

async function runCase(lives, { when, suffix, damage }, random) {
  const said = new Map();
  const file = lives.file + suffix;
  const old = `${lives.file}.old`;
  const backup = () => (suffix === ""
    ? execFileSync("python3", ["-c",
      "import sqlite3, sys\nsqlite3.connect(sys.argv[1]).backup(sqlite3.connect(sys.argv[2]))", lives.file, old])
    : copyFileSync(file, old));
  await post(lives.server, 200, "before", said);
  if (random(2)) await lives.restart(); // so that it is in the database file itself
  await post(lives.server, 100, "then", said);
  backup();
  await post(lives.server, 300, "later", said);
  const harm = () => DAMAGES[damage](file, old, random);
  let heard = false;
  if (when === "running") {
    await whileRunning(lives, harm);
    heard = true;
    await (random(2) ? lives.server.stop() : lives.server.killHard());
  } else {
    await (when === "stopped" ? lives.server.stop() : lives.server.killHard());
    if (existsSync(file) || damage.includes("copy")) harm();
  }
  await nextLife(lives, said, heard);
}

test(`${CASES} cases of damage: all are said, no id is given twice`, limit(30 + 3 * CASES), async (t) => {
  t.diagnostic(`DAMAGE_SEED=${SEED}`);
  const random = randomFrom(SEED);
  const order = all.map((c) => ({ c, at: random(1e9) })).sort((a, b) => a.at - b.at).map(({ c }) => c);
  for (let i = 0; i < CASES; i++) {
    const c = order[i % order.length];
    const name = `${c.when}: the ${c.suffix || "database"} is ${c.damage}`;
    total.cases++;
    await t.test(name, withLives(ARGS, async (lives) => {
      await runCase(lives, c, random);
      if (lives.server.status) lives.server = { stop: async () => {} }; // it did not start, and said so
    }));
  }
});
