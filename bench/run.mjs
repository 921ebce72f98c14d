// Runs the benchmark: starts each server in turn on one core, the load generator on the other, and
// writes the report (report.mjs). `node bench/run.mjs --help` tells the options.
//
// Repetitions are interleaved: a repetition runs every case, and in it every server, before the next
// begins, so that a slow minute of the machine hits all servers alike; odd repetitions run the
// servers in reverse order.
import { spawn } from "node:child_process";
import {
  existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync,
} from "node:fs";
import { connect, createServer } from "node:net";
import { cpus, release, tmpdir, totalmem } from "node:os";
import { isAbsolute, join, relative, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { bars } from "./bars.mjs";
import { CASES, chooseCases, takesPart } from "./cases.mjs";
import { FAULTS, summarize } from "./figures.mjs";
import { plotAcks, plotDeliveries } from "./plot.mjs";
import { barsText, markdown } from "./report.mjs";
import { allServers, rootDir } from "./servers.mjs";

const SHARED_REPS = 9;
const LOAD_CORE = "0";
const SERVER_CORE = "1";
const BOTH_CORES = "0,1";
const START_LIMIT_MS = 15000;
const STOP_LIMIT_MS = 3000;
const RUN_LIMIT_MS = 90000;
const INDEX_MS = 6000; // until everything is indexed for search, which a flood of messages puts off
const FIRST_PORT = 21000;
const LAST_PORT = 29000;

const GROUPS = ["acks", "history", "resume", "memory"];

const HELP = `node bench/run.mjs [options]
  --servers a,b    only these: parlor bare uws bun nchan ws channels shared1 shared2, and for history
                   parlor-history parlor-strict parlor-relaxed parlor-off
  --cases a,b      only these: one one-together ten pairs pairs-together idle storm, and of history:
                   ${GROUPS.join(" ")}; more, when named: chatter
  --reps N         repetitions (default 3; 5 for Parlor and the bare server, more where servers are close)
  --quick          one short repetition: shows that all works, the figures are rough
  --spin           the generator never sleeps while it waits
  --check          exit 1 if a bar is missed
  --render         measure nothing: report (and check) the last whole run again
  --parlor PATH    server binary (default build/parlor)
  --tools DIR      where load and bare are (default build/bench)
  --out DIR        where results.json goes (default build/bench)
  --docs DIR       where the report goes (default docs)
A run of all servers and cases that is not --quick also writes the report: benchmarks.md in the docs
folder, its plots in images/ there.`;

function readOptions() {
  const text = /** @type {const} */ ({ type: "string" });
  const flag = /** @type {const} */ ({ type: "boolean", default: false });
  /** @type {{values: any}} */
  const { values } = parseArgs({
    options: {
      servers: text, cases: text, reps: text, parlor: text, tools: text, out: text, docs: text,
      quick: flag, spin: flag, check: flag, render: flag, help: flag,
    },
  });
  const reps = Number(values.reps ?? (values.quick ? 1 : 3));
  if (!Number.isInteger(reps) || reps < 1 || reps > 20) throw new Error("--reps takes 1 to 20");
  return {
    ...values,
    reps,
    extraReps: values.quick || values.reps ? 0 : 2,
    many: !values.quick && !values.reps,
    parlor: resolve(values.parlor ?? join(rootDir, "build/parlor")),
    tools: resolve(values.tools ?? join(rootDir, "build/bench")),
    out: resolve(values.out ?? join(rootDir, "build/bench")),
    docs: resolve(values.docs ?? join(rootDir, "docs")),
    servers: values.servers?.split(","),
    cases: values.cases?.split(","),
  };
}

function check(known, wanted, what) {
  for (const name of wanted ?? [])
    if (!known.includes(name)) throw new Error(`no ${what} is called "${name}"`);
}

function portIsFree(port) {
  return new Promise((done) => {
    const probe = createServer();
    probe.once("error", () => done(false));
    probe.listen({ port, host: "127.0.0.1" }, () => probe.close(() => done(true)));
  });
}

let lastPort = FIRST_PORT;
// Below the range that outgoing connections take their ports from.
async function freePort() {
  for (let tries = 0; tries < 100; tries++) {
    lastPort = lastPort >= LAST_PORT ? FIRST_PORT : lastPort + 1;
    if (await portIsFree(lastPort)) return lastPort;
  }
  throw new Error("no free port");
}

function accepts(port) {
  return new Promise((done) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.once("connect", () => {
      socket.resetAndDestroy();
      done(true);
    });
    socket.once("error", () => done(false));
  });
}

// A process with its own group, so that its children end with it. exit resolves to its exit code.
/** @param {string[]} command */
function launch(core, command, options) {
  const [program, ...args] = command;
  const child = spawn("taskset", ["-c", core, program, ...args], {
    ...options,
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin.on("error", () => {}); // it has ended without reading
  const run = { child, out: "", err: "", code: undefined };
  child.stdout.on("data", (data) => (run.out = (run.out + data).slice(-20000)));
  child.stderr.on("data", (data) => (run.err = (run.err + data).slice(-20000)));
  run.exit = new Promise((done) => {
    child.once("error", (error) => done((run.code = error.message)));
    child.once("close", (code, signal) => done((run.code = code ?? signal)));
  });
  return run;
}

function signalGroup(run, signal) {
  try {
    process.kill(-run.child.pid, signal);
  } catch {
    // it has ended by itself
  }
}

const running = new Set();

async function stop(run) {
  signalGroup(run, "SIGTERM");
  const late = setTimeout(() => signalGroup(run, "SIGKILL"), STOP_LIMIT_MS);
  await run.exit;
  clearTimeout(late);
  signalGroup(run, "SIGKILL");
  running.delete(run);
}

function lastLine(text) {
  const lines = text.trim().split("\n");
  return lines[lines.length - 1].slice(0, 200).replaceAll("|", "/");
}

async function start(server, port, scratch) {
  const command = server.command(port, scratch);
  if (isAbsolute(command[0]) && !existsSync(command[0]))
    throw new Error(`${relative(rootDir, command[0])} does not exist`);
  const begun = performance.now();
  const run = launch(server.shared ? BOTH_CORES : SERVER_CORE, command, {
    cwd: server.cwd ?? rootDir,
    env: { ...process.env, ...server.env },
  });
  running.add(run);
  while (run.code === undefined && performance.now() - begun < START_LIMIT_MS) {
    if (await accepts(port)) return { run, startMs: performance.now() - begun };
    await sleep(2);
  }
  const why = run.code === undefined ? "it does not listen" : lastLine(run.err) || `exit ${run.code}`;
  await stop(run);
  throw new Error(`not started: ${why}`);
}

// The case resume asks in between for another server process, on the same port and data.
async function restart(begun, generator) {
  await stop(begun.run);
  begun.run = (await start(begun.server, begun.port, begun.scratch)).run;
  generator.child.stdin.write(`${begun.run.child.pid}\n`);
}

function caseArgs(server, name, options) {
  const { args, quick } = CASES[name];
  return [
    ...args,
    ...(server.everyCase ?? []),
    ...(options.quick ? quick : []),
    ...(server.lighter?.[name] ?? []),
    ...(options.spin ? ["--spin"] : []),
  ];
}

async function load(begun, loadCase, args, options) {
  const { server } = begun;
  const target = ["--port", String(begun.port), "--pid", String(begun.run.child.pid)];
  const command = [join(options.tools, "load"), "--case", loadCase, ...target, ...args];
  const run = launch(server.shared ? BOTH_CORES : LOAD_CORE, command, {});
  running.add(run);
  let restarted = Promise.resolve();
  run.child.stdout.on("data", (data) => {
    if (String(data) !== "restart\n") return;
    restarted = restart(begun, run).catch((error) => {
      run.err = error.message;
      signalGroup(run, "SIGKILL");
    });
  });
  const late = setTimeout(() => signalGroup(run, "SIGKILL"), RUN_LIMIT_MS);
  await run.exit;
  await restarted;
  clearTimeout(late);
  running.delete(run);
  if (run.err.trim()) process.stdout.write(`    load: ${lastLine(run.err)}\n`);
  try {
    return JSON.parse(run.out.replace("restart\n", ""));
  } catch {
    throw new Error(`no result from the generator (${lastLine(run.err) || run.code})`);
  }
}

// What an orderly end leaves on the disk, the write-ahead log included if there still is one.
function databaseBytes(scratch) {
  const names = readdirSync(scratch).filter((name) => name.startsWith("parlor.db"));
  return names.reduce((sum, name) => sum + statSync(join(scratch, name)).size, 0);
}

// A server, ready to be measured; `failed` says why it is not.
async function prepare(server, name, options) {
  // Not in the system's directory for temporary files, which may be memory.
  const scratch = mkdtempSync(join(server.disk ? options.out : tmpdir(), "parlor-bench-"));
  const begun = { server, scratch };
  const { before } = CASES[name];
  try {
    begun.port = await freePort();
    Object.assign(begun, await start(server, begun.port, scratch));
    if (before) {
      begun.failed = (await load(begun, before.load, before.args, options)).failed;
      if (server.disk) await sleep(INDEX_MS);
    }
  } catch (error) {
    begun.failed = error.message;
  }
  return begun;
}

async function figuresOf(begun, name, options) {
  if (begun.failed) return { failed: begun.failed };
  const args = caseArgs(begun.server, name, options);
  try {
    const found = await load(begun, CASES[name].load ?? name, args, options);
    const figures = { ...found, startMs: begun.startMs };
    if (name === "database" && !figures.failed) {
      await sleep(INDEX_MS);
      await stop(begun.run);
      figures.database_bytes_per_message = databaseBytes(begun.scratch) / figures.messages;
    }
    return figures;
  } catch (error) {
    return { failed: error.message };
  }
}

// All of these servers at the same time. Returns their figures in the same order.
async function measure(servers, name, options) {
  const all = [];
  for (const server of servers) all.push(await prepare(server, name, options));
  const figures = await Promise.all(all.map((begun) => figuresOf(begun, name, options)));
  for (const { run, scratch } of all) {
    if (running.has(run)) await stop(run);
    rmSync(scratch, { recursive: true, force: true });
  }
  return figures;
}

function progress(name, result) {
  const { figure, unit } = CASES[name];
  const faults = FAULTS.filter((key) => result[key]).map((key) => `${key} ${result[key]}`);
  const value = Number(Number(result[figure]).toPrecision(5));
  return result.failed ? `failed: ${result.failed}` : [`${value} ${unit}`, ...faults].join(", ");
}

// How often a server repeats a case. Memory is steady, so peers show it once.
function repetitions(server, name, options) {
  const { close, group } = CASES[name];
  if (!takesPart(server, name)) return 0;
  if (server.shared && name !== "ten" && name !== "pairs") return 0;
  if (server.shared) return options.many ? SHARED_REPS : options.reps;
  if (close && options.many && !server.lighter) return close;
  if (group) return options.reps;
  if (server.ours) return options.reps + options.extraReps;
  return name === "idle" ? 1 : options.reps;
}

function jobsOf(servers, cases, options) {
  const jobs = [];
  const counts = cases.flatMap((name) => servers.map((s) => repetitions(s, name, options)));
  const most = Math.max(...counts);
  for (let rep = 0; rep < most; rep++) {
    for (const name of cases) {
      const turn = rep % 2 ? [...servers].reverse() : servers;
      const part = turn.filter((server) => rep < repetitions(server, name, options));
      const sets = CASES[name].together && part.length ? [part] : part.map((server) => [server]);
      for (const set of sets) jobs.push({ rep, name, set });
    }
  }
  return jobs;
}

async function measureAll(servers, cases, options) {
  const jobs = jobsOf(servers, cases, options);
  const results = [];
  for (const [index, { rep, name, set }] of jobs.entries()) {
    const ids = set.map((server) => server.id);
    process.stdout.write(`[${index + 1}/${jobs.length}] ${name} ${ids.join(" + ")} `);
    const found = await measure(set, name, options);
    found.forEach((figures, i) => results.push({ server: ids[i], rep, ...figures, case: name }));
    process.stdout.write(`${found.map((figures) => progress(name, figures)).join(" + ")}\n`);
  }
  return results;
}

function describeMachine() {
  const model = readFileSync("/proc/cpuinfo", "utf8").match(/^model name\s*:\s*(.*)$/m);
  const distribution = readFileSync("/etc/os-release", "utf8").match(/^PRETTY_NAME="(.*)"$/m);
  return {
    cpu: `${cpus().length} x ${model?.[1] ?? "unknown CPU"}`,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    distribution: distribution?.[1] ?? "Linux",
  };
}

async function newRun(options) {
  const all = allServers(options);
  check(all.map((s) => s.id), options.servers, "server");
  check([...Object.keys(CASES), ...GROUPS], options.cases, "case");
  const servers = all.filter((s) => !options.servers || options.servers.includes(s.id));
  const cases = chooseCases(options.cases);
  mkdirSync(options.out, { recursive: true });
  const begun = Date.now();
  const results = await measureAll(servers, cases, options);
  const whole = !options.servers && !options.cases && !options.quick;
  const data = {
    date: new Date().toISOString().slice(0, 10),
    command: ["node bench/run.mjs", ...process.argv.slice(2)].join(" "),
    minutes: (Date.now() - begun) / 60000,
    whole,
    machine: describeMachine(),
    servers: servers.map(({ id, label, ours, shared, historyOnly, lighterText, version }) => ({
      id, label, ours, shared, historyOnly, lighterText, version: version(),
    })),
    results,
  };
  const file = join(options.out, whole ? "results.json" : "partial.json");
  writeFileSync(file, JSON.stringify(data, null, 1));
  return data;
}

function writeReport(data, summary, docs) {
  const all = {
    "benchmarks.md": markdown(data, summary),
    "images/benchmarks.svg": plotDeliveries(data, summary),
    "images/benchmarks-acks.svg": plotAcks(data, summary),
  };
  mkdirSync(join(docs, "images"), { recursive: true });
  const files = Object.entries(all).filter(([, text]) => text);
  for (const [name, text] of files) writeFileSync(join(docs, name), text);
  console.log(`\nwritten in ${docs}: ${files.map(([name]) => name).join(", ")}`);
}

async function main() {
  const options = readOptions();
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.once(signal, () => {
      for (const run of running) signalGroup(run, "SIGKILL");
      process.exit(1);
    });
  }
  const data = options.render
    ? JSON.parse(readFileSync(join(options.out, "results.json"), "utf8"))
    : await newRun(options);
  const summary = summarize(data);
  console.log(`\n${markdown(data, summary).split("<!-- figures -->")[1].trim()}`);
  if (data.whole) writeReport(data, summary, options.docs);
  const verdicts = bars(data, summary);
  console.log(`\n${barsText(verdicts)}`);
  return options.check && verdicts.some((bar) => !bar.met) ? 1 : 0;
}

main().then(
  (code) => process.exit(code),
  (error) => {
    console.error(`bench: ${error.message}`);
    process.exit(2);
  },
);
