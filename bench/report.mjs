// The report: docs/benchmarks.md, and the list of bars for the terminal.
import { bars } from "./bars.mjs";
import { CASES, TALK_CASES } from "./cases.mjs";
import { pairedRatio } from "./figures.mjs";
import { HISTORY_METHOD, historySection } from "./history.mjs";
import { cell, faultText, number, spreadText, table } from "./text.mjs";

// Rows of one case: fields are [property, divisor], the divisor 0 for one that has no ratio; the main
// figure comes with its spread.
function caseTable(data, summary, name, head, fields) {
  const ours = summary[name].parlor?.failed ? undefined : summary[name].parlor;
  const rows = [];
  for (const server of data.servers) {
    const found = summary[name][server.id];
    if (!found || server.shared) continue;
    if (found.failed) {
      rows.push([server.label, `failed: ${found.failed}`, ...Array(head.length - 2).fill("")]);
      continue;
    }
    const key = CASES[name].figure;
    const ratio = pairedRatio(summary, name, server.id, "parlor");
    const others = fields.map(([field, by]) =>
      by ? cell(found[field] / by, ours && ours[field] / by) : number(found[field]),
    );
    const main = cell(found[key], undefined, ratio);
    rows.push([server.label, main, spreadText(found.spread), ...others, faultText(found.faults)]);
  }
  return table(head, rows);
}

function talkTable(data, summary, name) {
  const head = [
    "server", "server CPU us per delivery", "lowest .. highest", "deliveries/s",
    "p50 ms", "p99 ms", "p99.9 ms", "faults",
  ];
  const fields = [["deliveries_per_s", 1], ["p50_us", 1000], ["p99_us", 1000], ["p999_us", 1000]];
  return caseTable(data, summary, name, head, fields);
}

// Latency and rate are left out: the servers are in each other's way.
function togetherTable(data, summary, name) {
  const head = ["server", "server CPU us per delivery", "lowest .. highest", "faults"];
  return caseTable(data, summary, name, head, []);
}

function idleTable(data, summary) {
  const head = ["server", "bytes per connection", "lowest .. highest", "connections", "faults"];
  return caseTable(data, summary, "idle", head, [["clients", 0]]);
}

function stormTable(data, summary) {
  const head = [
    "server", "server CPU us per handshake", "lowest .. highest", "CPU us per close",
    "handshakes/s", "p50 ms", "p99 ms", "p99.9 ms", "faults",
  ];
  const fields = [
    ["cpu_us_per_close", 1], ["handshakes_per_s", 1],
    ["p50_us", 1000], ["p99_us", 1000], ["p999_us", 1000],
  ];
  return caseTable(data, summary, "storm", head, fields);
}

function sharedTable(data, summary) {
  const rows = [];
  for (const name of ["ten", "pairs"]) {
    for (const id of ["shared1", "shared2"]) {
      const found = summary[name][id];
      if (!found) continue;
      const label = `${name}, ${id === "shared1" ? 1 : 2} worker${id === "shared1" ? "" : "s"}`;
      if (found.failed) {
        rows.push([label, `failed: ${found.failed}`, "", "", ""]);
        continue;
      }
      const ratio = pairedRatio(summary, name, id, "shared1");
      const main = cell(found.cpu_us_per_delivery, undefined, ratio);
      const rate = number(found.deliveries_per_s);
      rows.push([label, main, spreadText(found.spread), rate, faultText(found.faults)]);
    }
  }
  const head = ["case", "CPU us per delivery", "lowest .. highest", "deliveries/s", "faults"];
  return rows.length ? table(head, rows) : "";
}

export function barsText(verdicts) {
  return verdicts
    .map((bar) => `${bar.met ? "met   " : "MISSED"} ${bar.what}: ${bar.measured} (${bar.bar})`)
    .join("\n");
}

function figures(data, summary) {
  const parts = [];
  const add = (title, text) => text && parts.push(`## ${title}\n\n${text}`);
  const ran = (name) => Object.keys(summary[name]).length > 0;
  const rows = bars(data, summary).map((b) => [b.what, b.measured, b.bar, b.met ? "met" : "missed"]);
  add("The bars", table(["what", "measured", "bar", "verdict"], rows));
  for (const name of TALK_CASES) {
    if (ran(name)) add(CASES[name].title, talkTable(data, summary, name));
    const again = `${name}-together`;
    if (CASES[again] && ran(again))
      parts.push(`### ${CASES[again].title}\n\n${togetherTable(data, summary, again)}`);
  }
  if (ran("idle")) add(CASES.idle.title, idleTable(data, summary));
  if (ran("storm")) add(CASES.storm.title, stormTable(data, summary));
  add("Two workers against one, on two cores", sharedTable(data, summary));
  parts.push(...historySection(data, summary));
  return parts.join("\n\n");
}

const METHOD = `## What is measured, and how

* **The chat.** Every server offers \`/ws/chat/<room>/\`, takes \`{"message","username"}\` and gives it to
  every member of the room. The text is 64 bytes. Compression is off everywhere. The peers are in
  \`bench/peers/\`, each in its production mode; nchan and the bare server pass the JSON on unread.
  None of them keeps what was said, so beside them Parlor runs with \`--data :memory:\`; what
  keeping costs is measured apart, see "History".
* **Placing.** The server has one core, the generator the other (\`taskset\`). All of it on loopback.
* **Server CPU** is the scheduler's sum of user and system time over all threads and child processes
  (the process CPU-time clock, in ns), read at both edges of the measured seconds and divided by
  the deliveries that arrived between them. The kernel's sending and the loopback's receiving both
  run inside the server's \`send\`, so they are part of every figure, the bare server's included.
* **one**: the talker sends 60 texts a second, so neither core is full, each text only after the one
  before has reached everybody: no server gets a backlog to merge when the machine holds it up.
  **ten**: each talker keeps 8 texts on the way and sends the next when its own comes back; merging
  is allowed and is the point. **pairs**: in each room one text is on the way, and whoever gets it
  answers with the next, so a text is one read and two sends for everybody. (\`--cases chatter\` is the
  other way: both keep one text on the way, and a server that meets both in one turn merges them.
  It swings with the timing of the machine, so it is no part of the whole run.)
* **At the same time**: in one and pairs the closest four are measured again together, on the same core
  (in one with 15 texts a second each): a virtual machine is slower by a fifth and more for seconds, and
  then it is so for all of them. The ratios of these runs scatter by 2 to 4 % where those of runs one
  after the other scatter by 15 % and more, so they are the ones that count.
* **Latency** is from just before the talker's send to the read at a member, into a histogram with
  1.6 % steps. In ten and pairs it is mostly time in queue: it tells how long a
  round takes, not how long an idle server needs. A text that is sent late counts from its sending.
* **Faults.** Every text carries talker, number and time. Every member checks every talker's numbers to
  be gapless and in order, from the first text to the last; after the window all has to arrive. Lost,
  duplicated, out of order, in the wrong room, unreadable and dead connections are counted apart.
* **Memory**: anonymous and shared pages of the process and its children (\`Pss_Anon\`, \`Pss_Shmem\` and
  \`SwapPss\` of \`/proc/PID/smaps_rollup\`), with all connected less with one connected, divided by the
  connections between. Kernel socket memory is the same for all and left out. Then one text in each
  room shows that everybody is alive and joined.
* **Storm**: 64 connections are being opened at any time, three rounds; CPU from before the first
  connect until after the last answer. The answer's \`Sec-WebSocket-Accept\` is verified.
* **Repetitions** are interleaved; a figure is the median. A ratio of CPU or memory is the median of the
  ratios within each repetition, so that what slows the machine for a while cancels out.
${HISTORY_METHOD}
* **The bare server** (\`bench/bare.c\`) is the kernel's limit: one epoll loop that reads, unmasks and
  sends, with one \`send\` per member and turn; no JSON, no checks, no timers, no slow readers.

## Limits of the method

* Loopback has no network card, no loss and no distance. Waking the generator is paid by the
  sender, which a remote client would not cost. What remains is comparable between servers, not a
  promise for a network.
* Server and generator share memory bandwidth and the hypervisor's mood. CPU per delivery is the
  steady figure; deliveries/s and latency are less so, and depend on the generator in the closed loops.
* In the closed loops a faster server gets smaller batches back sooner; CPU per delivery includes what
  each server makes of it. Memory of servers with a garbage collector contains garbage.
* In "two workers against one" the generator shares both cores with the server.`;

function versions(data) {
  const rows = data.servers
    .filter((s) => !s.shared && !s.historyOnly)
    .map((s) => [s.label, s.version, s.lighterText ? `lighter load: ${s.lighterText}` : ""]);
  return table(["server", "version", "load"], rows);
}

export function markdown(data, summary) {
  const m = data.machine;
  return `# Benchmarks

<!-- Written by bench/run.mjs; change that instead. -->

Measured ${data.date} on ${m.cpu}, ${m.memoryGiB} GiB, ${m.distribution}, Linux ${m.kernel}, in
${Math.round(data.minutes)} minutes, with \`${data.command}\` (\`make bench\` builds and installs what it needs). Numbers in brackets are
ratios to Parlor.

![Server CPU per delivery](images/benchmarks.svg)

<!-- figures -->

${figures(data, summary)}

<!-- figures -->

${METHOD}

## Versions

${versions(data)}
`;
}
