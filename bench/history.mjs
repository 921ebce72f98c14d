// The report's section about history: what keeping messages costs, and coming back.
import { CASES, casesOf } from "./cases.mjs";
import { median, pairedRatio } from "./figures.mjs";
import { cell, faultText, number, spreadText, table } from "./text.mjs";

const KEEPER = "parlor-history";

function label(server) {
  return server.historyOnly ? server.label : ":memory:";
}

// row(name, server, found) gives the cells after the first two; all rows of all cases of the group.
function rowsOf(data, summary, group, width, row) {
  return casesOf(group).flatMap((name) =>
    data.servers
      .filter((server) => summary[name][server.id])
      .map((server) => {
        const found = summary[name][server.id];
        const cells = found.failed
          ? [`failed: ${found.failed}`, ...Array(width - 3).fill("")]
          : row(name, server, found);
        return [CASES[name].title, label(server), ...cells];
      }),
  );
}

function acksTable(data, summary) {
  const head = [
    "load", "kept in", "acked messages/s", "lowest .. highest", "server CPU us per message",
    "p50 ms", "p99 ms", "faults",
  ];
  const rows = rowsOf(data, summary, "acks", head.length, (name, server, found) => [
    number(found.acks_per_s),
    spreadText(found.spread),
    number(found.cpu_us_per_ack),
    number(found.p50_us / 1000),
    number(found.p99_us / 1000),
    faultText(found.faults),
  ]);
  const image = "![Acked messages per second](images/benchmarks-acks.svg)";
  return rows.length ? `${table(head, rows)}\n\n${image}` : "";
}

function fanOutTable(data, summary) {
  const head = ["room of 1,000", "kept in", "server CPU us per delivery", "lowest .. highest", "faults"];
  const rows = rowsOf(data, summary, "history", head.length, (name, server, found) => [
    cell(found.cpu_us_per_delivery, undefined, pairedRatio(summary, name, server.id, "parlor")),
    spreadText(found.spread),
    faultText(found.faults),
  ]);
  return rows.length ? table(head, rows) : "";
}

// Ratios are medians of the ratios of single runs: each has its own live delivery to compare with.
function resumeRows(name, found) {
  const against = (cost) => `${median(found.runs.map(cost)).toFixed(2)} x`;
  const rows = [["live, in turn", "", "", "", number(found.live_cpu_ms), "", "", ""]];
  for (const state of ["warm", "cold"]) {
    const cpu = `${state}_cpu_ms`;
    rows.push([
      state,
      `${number(found[`${state}_complete`])} of ${number(found.clients)}`,
      number(found[`${state}_p50_ms`]),
      number(found[`${state}_p99_ms`]),
      number(found[cpu]),
      against((run) => run[cpu] / run.live_cpu_ms),
      against((run) => (run[cpu] - run.shake_cpu_ms) / run.live_cpu_ms),
      faultText(found.faults),
    ]);
  }
  return rows.map((row) => [CASES[name].title, ...row]);
}

function resumeTable(summary) {
  const head = [
    "who comes back", "server", "complete", "p50 ms", "p99 ms", "server CPU ms", "against live",
    "without handshakes", "faults",
  ];
  const rows = casesOf("resume").flatMap((name) => {
    const found = summary[name][KEEPER];
    if (!found) return [];
    if (!found.failed) return resumeRows(name, found);
    return [[CASES[name].title, `failed: ${found.failed}`, ...Array(head.length - 2).fill("")]];
  });
  return rows.length ? table(head, rows) : "";
}

const MEMORY_NOTES = {
  "idle-rich": (found) => `${number(found.clients)} connections in ${found.rooms} rooms`,
  rooms: (found) =>
    `2 full members and ${found.messages} messages in each of ${number(found.rooms)} rooms; before a ` +
    `word was said ${number(found.bytes_per_silent_room)}`,
  database: (found) => `${number(found.messages)} messages, indexed for search; the file after an orderly end`,
};

function memoryTable(summary) {
  const rows = casesOf("memory").flatMap((name) => {
    const found = summary[name][KEEPER];
    if (!found) return [];
    const { title, figure } = CASES[name];
    if (found.failed) return [[title, `failed: ${found.failed}`, "", "", ""]];
    const spread = spreadText(found.spread);
    return [[title, number(found[figure]), spread, MEMORY_NOTES[name](found), faultText(found.faults)]];
  });
  return rows.length ? table(["what", "bytes", "lowest .. highest", "of", "faults"], rows) : "";
}

// Parts of the report, those for which something was measured.
export function historySection(data, summary) {
  const tables = [
    ["Acked messages", acksTable(data, summary)],
    ["What history costs the fan-out", fanOutTable(data, summary)],
    ["Everybody comes back at once", resumeTable(summary)],
    ["Memory and disk", memoryTable(summary)],
  ];
  const parts = tables.filter(([, text]) => text).map(([title, text]) => `### ${title}\n\n${text}`);
  return parts.length ? ["## History", ...parts] : [];
}

export const HISTORY_METHOD = `* **History**: Parlor with its default, \`--data FILE\` and \`--durability commit\`; for each run the file
  is new and on the disk, not in memory. The storage threads share the server's one core and are in
  all figures of CPU.
  * **Acked messages**: rich talkers, each alone in its room, so a message is one delivery and one
    ack. Time is from sending to the ack; each ack has to name the oldest text that has none yet. One
    talker with one message in flight is one transaction for each message; how fast the disk syncs
    decides that figure.
  * **What history costs the fan-out**: the cases one and ten with the file, at the same time with
    \`--data :memory:\`, and with \`--memory-budget 0\` too, which keeps nothing for those who come
    back either: three servers on the one core. The bar is against the cheaper of the two. The file is
    one in use: before the measurement so much is said that its write-ahead log has reached its size,
    and all of that is indexed for search.
  * **Everybody comes back**: 5,000 clients connect, 100 to a room or all in one. Then 200 texts are
    said in each room, each after the one before has reached everybody (*live, in turn*). All leave,
    and come back as fast as the generator connects (up to 4,000 at any time) with the id from before
    these texts: to the same server (*warm*), then to one that was started anew on the file (*cold*;
    the system still has it in its cache). A client is complete when it has its 200, each once and in
    order; its time runs from its connect to the last of them. CPU is from before the first connect
    until after the last text; *without handshakes* takes off what it cost, in the same run, when all
    connected at first.
  * **Active room**: memory with everything said less memory with one connection, divided by the rooms;
    so it includes the members, the recent messages, and the caches of the store.`;
