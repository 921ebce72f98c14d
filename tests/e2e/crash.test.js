// The crash test (lib/crash.js): kill -9 at random moments, under load, again and again. CRASH_ROUNDS
// says how often (make test-crash: 100), CRASH_SEED repeats a run.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { crash } from "./lib/crash.js";
import { withLives } from "./lib/server.js";
import { count, limit } from "./lib/wait.js";

const ROUNDS = Number(process.env.CRASH_ROUNDS) || count(20, 5);
const SEED = Number(process.env.CRASH_SEED) || Math.floor(Math.random() * 2 ** 31);
/** `commit` is what people run, `strict` promises more: half of the kills each. */
const SHARES = { commit: Math.ceil(ROUNDS / 2), strict: Math.floor(ROUNDS / 2) };

const total = { kills: 0, acked: 0, lost: 0, reused: 0, disorder: 0, doubled: 0, differing: 0 };
after(() => console.log(`crash total: ${Object.entries(total).map(([name, n]) => `${n} ${name}`).join(", ")}`));

for (const [durability, rounds] of Object.entries(SHARES)) {
  test(`${rounds} kills under load, --durability ${durability}: nothing acked is lost, one order, one transcript`,
    limit(60 + 3 * rounds), withLives(["--workers", "2", "--rate", "0", "--durability", durability], async (lives, t) => {
      t.diagnostic(`CRASH_SEED=${SEED}`);
      const { faults, ...n } = await crash(lives, { rounds, seed: SEED, strict: durability === "strict" });
      t.diagnostic(`crash ${durability}: ${rounds} kills, ${n.acked} acked, ${n.ids} ids, ${n.shown} shown but not kept; ` +
        `lost ${n.lost}, reused ${n.reused}, disorder ${n.disorder}, posted twice ${n.doubled}, ` +
        `transcripts differing ${n.differing}`);
      total.kills += rounds;
      for (const name of Object.keys(total)) total[name] += n[name] ?? 0;
      assert.deepEqual(faults, [], `CRASH_SEED=${SEED}`);
      assert.ok(n.acked >= 10 * rounds, `only ${n.acked} messages were acked: there was no load`);
    }));
}
