// The attack test (lib/attack.js): one address dials, floods, asks and holds as it can, while 200
// members from other addresses talk. ATTACK_SECONDS says how long (make test-attack: an hour).
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { attack } from "./lib/attack.js";
import { Rich } from "./lib/chat.js";
import { withLives } from "./lib/server.js";
import { SANITIZED, count, limit } from "./lib/wait.js";

const SECONDS = Number(process.env.ATTACK_SECONDS) || count(25, 10);
const CONNECTS_PER_S = Number(process.env.ATTACK_CONNECTS) || count(1000, 200);
const MEMBERS = count(200, 40);
const MEMORY_BUDGET_MIB = 64; // the default
const MEMORY_SLACK_MIB = 64;
const FAT_ROOM = "fat";
const QUIET_ROOMS = Array.from({ length: 100 }, (_, i) => `quiet${i}`);
const QUIET_MESSAGES = 20;

let total = "";
after(() => console.log(`attack total: ${total}`));

/** Texts of which every byte becomes six. */
async function fill(server) {
  for (const room of [FAT_ROOM, ...[1, 2, 3].map((i) => `${FAT_ROOM}${i}`)]) {
    const writer = await Rich.join(server, room, { localAddress: "127.0.2.1" });
    for (let i = 0; i < 1000; i += 50)
      await Promise.all(Array.from({ length: 50 }, () => writer.say("\u0001".repeat(2000))));
    await writer.leave();
  }
  for (const room of QUIET_ROOMS) {
    const writer = await Rich.join(server, room, { localAddress: "127.0.2.1" });
    await Promise.all(Array.from({ length: QUIET_MESSAGES }, (_, i) => writer.say(`quiet ${i}`)));
    await writer.leave();
  }
}

test(`one address with ${CONNECTS_PER_S} connects/s for ${SECONDS} s hurts none of ${MEMBERS} members`, limit(SECONDS + 120),
  withLives(["--workers", "2", "--rate", "0"], async (lives, t) => {
    await fill(lives.server);
    const server = await lives.restart(["--workers", "2", "--trusted-proxies", "none"]);
    const { faults, healthFailures, attacker, ...seen } = await attack(server, {
      seconds: SECONDS, members: MEMBERS, connectsPerS: CONNECTS_PER_S,
      fatRoom: FAT_ROOM, quietRooms: QUIET_ROOMS, quietMessages: QUIET_MESSAGES,
    });
    t.diagnostic(JSON.stringify(seen));
    t.diagnostic(`attacker: ${JSON.stringify(attacker)}`);
    const { lost, p99, residentMiB, healthFailed } = seen;
    const refused = seen.refused + seen.returnsRefused + seen.visitsRefused;
    total = `${SECONDS} seconds, ${attacker.dialled} connects, ${seen.delivered} delivered, ${seen.visits} visits, ${refused} refused, ` +
      `${lost} lost, ${p99} ms p99, ${residentMiB} MiB, ${healthFailed} of ${seen.healthChecks} health checks failed`;
    assert.deepEqual(faults, []);
    assert.deepEqual(healthFailures, []);
    assert.equal(refused + lost + seen.disorder + healthFailed, 0);
    assert.ok(attacker.dialled > SECONDS * CONNECTS_PER_S / 3, `only ${attacker.dialled} connects: there was no attack`);
    assert.ok(seen.delivered > 0 && seen.returns > 0 && seen.visits > 0);
    if (SANITIZED) return;
    assert.ok(p99 < 250, `p99 ${p99} ms`);
    assert.ok(residentMiB <= MEMORY_BUDGET_MIB + MEMORY_SLACK_MIB, `${residentMiB} MiB`);
  }));
