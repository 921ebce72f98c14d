// The cases: what the generator does in each, which servers take part, how often, and the figure by
// which servers are compared.
//
//   title    of its table, or its row in a table
//   load     the generator's case (default: the name); args, quick: its options, quick adds to args
//   figure   the main figure, and what it counts
//   servers  ids of those that take part; default: all but those that say only
//   close    servers are close together here, so only that many repetitions tell them apart
//   together its servers run and are loaded at the same time: the machine slows down by a fifth and
//            more for seconds, and then it does so for all of them
//   before   another case that each of its servers goes through first
//   group    --cases takes it too, for all of its cases
const DELIVERY = { figure: "cpu_us_per_delivery", unit: "us/delivery" };
const SHORT = ["--measure-ms", "700"];

function live(title, more = {}) {
  return { title, ...DELIVERY, args: [], quick: SHORT, ...more };
}

// A case again, with the servers that are closest in it.
function closest(load, args, close) {
  const servers = ["parlor", "bare", "uws", "bun"];
  const title = "The same, the closest four at the same time";
  return live(title, { load, args, servers, close, together: true });
}

const FILE = "parlor-history";
const EACH_DURABILITY = [FILE, "parlor-strict", "parlor-relaxed", "parlor"];
const SHORTER = ["--warm-ms", "200", "--measure-ms", "300"];

function acks(title, args, servers) {
  const shared = { group: "acks", load: "acks", figure: "acks_per_s", unit: "acks/s" };
  return { title, ...shared, args: ["--measure-ms", "1500", ...args], quick: SHORTER, servers };
}

// Before that so much is said that the write-ahead log of the file has reached its size: until then
// each commit pays for its growth, and that is over in minutes. What was said is indexed first, too.
function history(load, rung, title) {
  const before = { load: "acks", args: ["--measure-ms", "1500"] };
  const shared = { group: "history", servers: [FILE, "parlor", "parlor-off"], close: 7 };
  const args = ["--rung", rung, "--measure-ms", "5000"];
  return { title, load, ...DELIVERY, args, quick: SHORTER, ...shared, together: true, before };
}

function resume(rung, rooms, title) {
  return {
    title,
    group: "resume",
    load: "resume",
    figure: "cold_p99_ms",
    unit: "ms cold p99",
    args: ["--rung", rung, "--rooms", rooms],
    quick: ["--clients", "500", "--messages", "50"],
    servers: [FILE],
  };
}

function memory(title, figure, more) {
  return { title, group: "memory", figure, unit: "bytes", servers: [FILE], ...more };
}

export const CASES = {
  one: live("One room of 1,000, one talker at a fixed rate"),
  "one-together": closest("one", ["--rate", "15", "--measure-ms", "6000"], 7),
  ten: live("One room of 1,000, ten talkers as fast as they can"),
  pairs: live("500 rooms of 2, the two answer each other as fast as they can"),
  "pairs-together": closest("pairs", ["--measure-ms", "4000"], 7),
  chatter: live("500 rooms of 2, both talk as fast as they can", { named: true }),
  idle: {
    title: "15,000 idle connections",
    figure: "bytes_per_connection",
    unit: "bytes/connection",
    args: ["--warm-ms", "1000"],
    quick: ["--clients", "5000"],
  },
  storm: {
    title: "Connection storm",
    figure: "cpu_us_per_handshake",
    unit: "us/handshake",
    args: ["--warm-ms", "300", "--rounds", "3"],
    quick: ["--clients", "2000", "--rounds", "1"],
  },
  acks: acks("64 talkers, 1 in flight each", [], EACH_DURABILITY),
  "acks-deep": acks("64 talkers, 16 in flight each", ["--window", "16"], EACH_DURABILITY),
  "acks-single": acks("1 talker, 1 in flight", ["--clients", "1", "--rooms", "1"], [FILE]),
  "history-one-bare": history("one", "bare", "one talker, members bare"),
  "history-one-full": history("one", "full", "one talker, members full"),
  "history-ten-bare": history("ten", "bare", "ten talkers, members bare"),
  "history-ten-full": history("ten", "full", "ten talkers, members full"),
  "resume-full": resume("full", "50", "50 rooms, `?since=`"),
  "resume-rich": resume("rich", "50", "50 rooms, rich"),
  "resume-full-room": resume("full", "1", "one room, `?since=`"),
  "resume-rich-room": resume("rich", "1", "one room, rich"),
  "idle-rich": memory("idle connection, rich", "bytes_per_connection", {
    load: "idle",
    args: ["--rung", "rich", "--clients", "5000", "--rooms", "50", "--warm-ms", "2500"],
    quick: ["--warm-ms", "1200"],
  }),
  rooms: memory("active room", "bytes_per_room", {
    args: ["--warm-ms", "1500"],
    quick: ["--warm-ms", "300", "--clients", "200", "--rooms", "100"],
  }),
  database: memory("message in the file", "database_bytes_per_message", {
    args: [],
    quick: ["--messages", "20000"],
  }),
};

export const TALK_CASES = ["one", "ten", "pairs", "chatter"];

export function casesOf(group) {
  return Object.keys(CASES).filter((name) => CASES[name].group === group);
}

// The cases that --cases names, by themselves or by group; without it, all that a whole run has.
export function chooseCases(wanted) {
  if (!wanted) return Object.keys(CASES).filter((name) => !CASES[name].named);
  const chosen = wanted.flatMap((name) => (CASES[name] ? [name, ...casesOf(name)] : casesOf(name)));
  return [...new Set(chosen)];
}

export function takesPart(server, name) {
  const { servers } = CASES[name];
  return servers ? servers.includes(server.id) : !server.historyOnly;
}
