// The report: docs/benchmarks.md, its plot, and the list of bars for the terminal.
import { MAIN_FIGURE, TALK_CASES, bars, pairedRatio } from "./figures.mjs";

const TITLES = {
  one: "One room of 1,000, one talker at a fixed rate",
  ten: "One room of 1,000, ten talkers as fast as they can",
  pairs: "500 rooms of 2, the two answer each other as fast as they can",
  chatter: "500 rooms of 2, both talk as fast as they can",
  idle: "15,000 idle connections",
  storm: "Connection storm",
};

function number(value) {
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en-US");
  return Number(value.toPrecision(3)).toString();
}

// "value (ratio x)", the ratio being to Parlor's value.
function cell(value, ours, ratio = ours ? value / ours : undefined) {
  return ratio === undefined ? number(value) : `${number(value)} (${ratio.toFixed(2)} x)`;
}

function row(cells) {
  return `| ${cells.join(" | ")} |`;
}

function table(head, rows) {
  return [row(head), row(head.map((_, i) => (i ? "--:" : "---"))), ...rows.map(row)].join("\n");
}

function faultText(faults) {
  return faults.length ? faults.map(([key, count]) => `${count} ${key}`).join(", ") : "0";
}

function spreadText([low, high]) {
  return `${number(low)} .. ${number(high)}`;
}

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
    const key = MAIN_FIGURE[name];
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
  for (const name of TALK_CASES) if (ran(name)) add(TITLES[name], talkTable(data, summary, name));
  if (ran("idle")) add(TITLES.idle, idleTable(data, summary));
  if (ran("storm")) add(TITLES.storm, stormTable(data, summary));
  add("Two workers against one, on two cores", sharedTable(data, summary));
  return parts.join("\n\n");
}

const METHOD = `## What is measured, and how

* **The chat.** Every server offers \`/ws/chat/<room>/\`, takes \`{"message","username"}\` and gives it to
  every member of the room. The text is 64 bytes. Compression is off everywhere. The peers are in
  \`bench/peers/\`, each in its production mode; nchan and the bare server pass the JSON on unread.
* **Placing.** The server has one core, the generator the other (\`taskset\`). All of it on loopback.
* **Server CPU** is the scheduler's sum of user and system time over all threads and child processes
  (the process CPU-time clock, in ns), read at both edges of the measured two seconds and divided by
  the deliveries that arrived between them. The kernel's sending and the loopback's receiving both
  run inside the server's \`send\`, so they are part of every figure, the bare server's included.
* **one**: the talker sends 60 texts a second, so neither core is full, each text only after the one
  before has reached everybody: no server gets a backlog to merge when the machine holds it up.
  **ten**: each talker keeps 8 texts on the way and sends the next when its own comes back; merging
  is allowed and is the point. **pairs**: in each room one text is on the way, and whoever gets it
  answers with the next, so a text is one read and two sends for everybody. (\`--cases chatter\` is the
  other way: both keep one text on the way, and a server that meets both in one turn merges them.
  It swings with the timing of the machine, so it is no part of the whole run.)
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
    .filter((s) => !s.shared)
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

const PLOT = { width: 820, left: 190, right: 90, bar: 16, step: 22, group: 44, top: 56, bottom: 44 };

function escapeXml(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

function plotScale(data, summary) {
  const values = TALK_CASES.flatMap((name) => Object.values(summary[name]))
    .map((found) => found.cpu_us_per_delivery)
    .filter((value) => value > 0);
  const low = Math.floor(Math.log10(Math.min(1, ...values)));
  const high = Math.ceil(Math.log10(Math.max(10, ...values)));
  const span = PLOT.width - PLOT.left - PLOT.right;
  return { low, high, x: (v) => PLOT.left + ((Math.log10(v) - low) / (high - low)) * span };
}

function plotBar(server, found, y, scale) {
  const label = `<text class="name" x="${PLOT.left - 10}" y="${y + 12}">${escapeXml(server.label)}</text>`;
  if (found.failed)
    return `${label}<text class="value" x="${PLOT.left + 6}" y="${y + 12}">failed</text>`;
  const value = found.cpu_us_per_delivery;
  const end = Math.max(scale.x(value), PLOT.left + 1);
  const kind = server.id === "parlor" ? "ours" : server.id === "bare" ? "bare" : "peer";
  const width = (end - PLOT.left).toFixed(1);
  return (
    `${label}<rect class="${kind}" x="${PLOT.left}" y="${y}" width="${width}" height="${PLOT.bar}" rx="2"/>` +
    `<text class="value" x="${(end + 6).toFixed(1)}" y="${y + 12}">${number(value)}</text>`
  );
}

const PLOT_STYLE = `
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.back { fill: #ffffff; } .grid { stroke: #d8dee4; } .name { text-anchor: end; }
.title { font-size: 16px; font-weight: 600; } .case { font-weight: 600; }
.tick { text-anchor: middle; fill: #59636e; } .value { fill: #59636e; }
.ours { fill: #0a7d4f; } .bare { fill: #8c959f; } .peer { fill: #5b8bd0; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .back { fill: #0d1117; } .grid { stroke: #30363d; }
  .tick, .value { fill: #9da7b3; }
  .ours { fill: #3fb97f; } .bare { fill: #6e7681; } .peer { fill: #4f7fc4; }
}`;

// Horizontal bars on a logarithmic axis: the servers are up to three powers of ten apart.
export function plot(data, summary) {
  const scale = plotScale(data, summary);
  const body = [];
  let y = PLOT.top;
  for (const name of TALK_CASES) {
    const shown = data.servers.filter((s) => !s.shared && summary[name][s.id]);
    if (!shown.length) continue;
    body.push(`<text class="case" x="${PLOT.left}" y="${y + 14}">${TITLES[name]}</text>`);
    y += 24;
    for (const server of shown) {
      body.push(plotBar(server, summary[name][server.id], y, scale));
      y += PLOT.step;
    }
    y += PLOT.group - PLOT.step;
  }
  const height = y + PLOT.bottom - 20;
  const grid = [];
  for (let power = scale.low; power <= scale.high; power++) {
    const x = scale.x(10 ** power).toFixed(1);
    grid.push(`<line class="grid" x1="${x}" x2="${x}" y1="${PLOT.top - 8}" y2="${height - 36}"/>`);
    grid.push(`<text class="tick" x="${x}" y="${height - 16}">${Number((10 ** power).toPrecision(1))}</text>`);
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${PLOT.width} ${height}" width="${PLOT.width}" height="${height}" role="img" aria-labelledby="t">
<title id="t">Server CPU microseconds per delivered message; less is better</title>
<style>${PLOT_STYLE}
</style>
<rect class="back" width="${PLOT.width}" height="${height}" rx="6"/>
<text class="title" x="20" y="30">Server CPU per delivered message, us (logarithmic; less is better)</text>
${grid.join("\n")}
${body.join("\n")}
</svg>
`;
}
