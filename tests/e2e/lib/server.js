// The binary under test as a child process: started on a free port, watched on stderr, stopped with
// SIGTERM. Each test owns its server, and the end of each test is itself a check: the server has to
// leave with exit code 0 in time, and its stderr must hold no report of a sanitizer.
import { spawn } from "node:child_process";
import dgram from "node:dgram";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { request } from "./http.js";
import { ms, pause, until, within } from "./wait.js";

export const REPO = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..");
export const BIN = path.resolve(REPO, process.env.PARLOR_BIN || "build/parlor");

const REPORT =
  /(Address|Leak|Thread|Memory|UndefinedBehavior)Sanitizer|runtime error:|CHECK failed|Assertion .* failed/;
const STDERR_MAX = 4 * 1024 * 1024;

const SANITIZER_ENV = {
  ASAN_OPTIONS: "detect_leaks=1:exitcode=99:abort_on_error=0",
  UBSAN_OPTIONS: "print_stacktrace=1",
  TSAN_OPTIONS: "exitcode=66:halt_on_error=0",
};

/** Our environment without PARLOR_*: those variables are options to the server, or the tests' own. */
const plainEnv = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith("PARLOR_")),
);

/** No test leaves a file behind unless it says where: history stays in memory. */
const dataArgs = (args) =>
  args.some((arg) => /^--data(=|$)/.test(arg)) ? args : ["--data", ":memory:", ...args];

const bindable = (port, host) =>
  new Promise((resolve) => {
    const probe = net.createServer();
    probe.once("error", () => resolve(false));
    probe.listen({ port, host, exclusive: true }, () => probe.close(() => resolve(true)));
  });

/**
 * Test files run side by side, and a server that is between two lives holds its port by nothing. So whoever
 * gets a port claims it for as long as its process lives, with a UDP socket of the same number, on an address
 * that nobody else uses (for HTTP/3 proxies take the UDP port as well).
 */
const CLAIMS = "127.0.99.99";
const claim = (port) =>
  new Promise((resolve) => {
    const socket = dgram.createSocket("udp4").unref();
    socket.once("error", () => socket.close(() => resolve(false)));
    socket.bind({ port, address: CLAIMS, exclusive: true }, () => resolve(true));
  });

/** A port of this process alone, below the ephemeral range, so that no outgoing connection of a test sits on it. */
export async function freePort() {
  for (let tries = 0; tries < 200; tries++) {
    const port = 12000 + Math.floor(Math.random() * 20000);
    if ((await claim(port)) && (await portIsFree(port))) return port;
  }
  throw new Error("no free port");
}

/** True if nobody holds this port on the loopback addresses. */
export const portIsFree = async (port) =>
  (await bindable(port, "127.0.0.1")) && (await bindable(port, "0.0.0.0"));

export class Server {
  stderr = "";
  stdout = "";
  status = null; // {code, signal} once the process is gone
  #heard = [];

  /**
   * @param {Record<string, string>} env
   * @param {{wrap?: string[]} & import("node:child_process").SpawnOptions} how
   */
  constructor(port, args, env = {}, how = {}) {
    const { wrap = [], ...options } = how;
    this.port = port;
    this.args = dataArgs(args);
    this.startedAt = process.hrtime.bigint();
    const [program, ...before] = [...wrap, BIN]; // a wrapper that becomes the server, like prlimit
    this.child = spawn(program, [...before, ...this.args], {
      cwd: REPO,
      env: { ...SANITIZER_ENV, ...plainEnv, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      ...options,
    });
    this.child.stdout.setEncoding("utf8").on("data", (text) => (this.stdout += text));
    this.child.stderr.setEncoding("utf8").on("data", (text) => this.#hear(text));
    this.gone = new Promise((resolve, reject) => {
      this.child.once("error", reject);
      this.child.once("close", (code, signal) => {
        this.status = { code, signal };
        resolve(this.status);
      });
    });
    this.gone.catch(() => {});
  }

  get pid() {
    return this.child.pid;
  }

  /** What it has used of the processors so far. */
  get cpuSeconds() {
    const fields = readFileSync(`/proc/${this.pid}/stat`, "utf8").split(") ")[1].split(" ");
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }

  #hear(text) {
    this.stderr += text;
    if (this.stderr.length > STDERR_MAX) this.stderr = this.stderr.slice(-STDERR_MAX / 2);
    for (const listener of this.#heard) listener();
  }

  /** Resolves once stderr matches; rejects if the process ends without having said it. */
  says(pattern, time) {
    const said = /** @type {Promise<void>} */ (new Promise((resolve, reject) => {
      const look = () => pattern.test(this.stderr) && resolve();
      this.#heard.push(look);
      look();
      this.gone.then(
        (s) => reject(new Error(`server left (${s.code ?? s.signal}) before ${pattern}:\n${this.stderr}`)),
        reject,
      );
    }));
    return within(time, said, `${pattern} on stderr`);
  }

  async listening() {
    await this.says(/listening/, ms(10000));
    this.listeningAfterMs = Number(process.hrtime.bigint() - this.startedAt) / 1e6;
    return this;
  }

  /** GET /metrics as a Map of "name{labels}" to number. */
  async metrics() {
    const answer = await request(this.port, "GET", "/metrics");
    const values = new Map();
    for (const line of answer.text.split("\n")) {
      const match = /^([a-zA-Z_:][\w:]*(?:\{.*\})?) (\S+)$/.exec(line);
      if (match) values.set(match[1], Number(match[2]));
    }
    return values;
  }

  /** Sum of all series of a metric whose name (and labels) match. */
  async metric(pattern) {
    let sum = 0;
    let found = false;
    for (const [name, value] of await this.metrics()) {
      if (!pattern.test(name)) continue;
      sum += value;
      found = true;
    }
    if (!found) throw new Error(`/metrics has nothing like ${pattern}`);
    return sum;
  }

  /** Resident memory now, in bytes. */
  residentBytes() {
    const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.pid}/status`, "utf8"));
    return Number(line[1]) * 1024;
  }

  openFileLimit() {
    const line = /^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${this.pid}/limits`, "utf8"));
    return Number(line[1]);
  }

  /** @param {NodeJS.Signals} signal */
  kill(signal = "SIGTERM") {
    if (!this.status) this.child.kill(signal);
  }

  /** Stands still until SIGCONT. The signal stops one thread first, which then has to stop the others. */
  async freeze() {
    this.kill("SIGSTOP");
    const tasks = `/proc/${this.pid}/task`;
    const stopped = (task) => /^T/.test(readFileSync(`${tasks}/${task}/stat`, "latin1").split(") ").at(-1));
    await until(ms(10000), () => readdirSync(tasks).every(stopped), "all threads standing still");
  }

  /** Waits for the end after SIGTERM and checks how it ended. */
  async stop() {
    this.kill("SIGTERM");
    try {
      await within(ms(15000), this.gone, "exit after SIGTERM");
    } catch (error) {
      this.kill("SIGABRT");
      throw new Error(`${error.message}\n${this.stderr.slice(-4000)}`);
    }
    this.check();
  }

  /** Ends it as a power cut of the process would: nothing is flushed, nothing is said. */
  async killHard() {
    this.kill("SIGKILL");
    const { signal } = await within(ms(5000), this.gone, "end after SIGKILL");
    this.checkReports();
    if (signal !== "SIGKILL") throw new Error(`it ended by itself before (${this.status.code ?? signal})`);
  }

  checkReports() {
    const report = REPORT.exec(this.stderr);
    if (!report) return;
    const from = Math.max(0, report.index - 200);
    throw new Error(`sanitizer report:\n${this.stderr.slice(from, from + 6000)}`);
  }

  check() {
    this.checkReports();
    if (this.status.code !== 0)
      throw new Error(
        `exit ${this.status.code ?? this.status.signal}, not 0:\n${this.stderr.slice(-3000)}`,
      );
  }
}

/**
 * A server that listens on 127.0.0.1:port with these further options.
 * @param {string[]} args
 * @param {{port?: number, env?: Record<string, string>, wrap?: string[]}} how
 */
export async function startServer(args = [], how = {}) {
  const { port, env, wrap } = how;
  const drain = args.includes("--drain-timeout") ? [] : ["--drain-timeout", "2s"];
  for (;;) {
    const at = port ?? (await freePort());
    const server = new Server(at, ["--listen", `127.0.0.1:${at}`, ...drain, ...args], env, { wrap });
    try {
      return await server.listening();
    } catch (error) {
      server.kill("SIGKILL");
      const taken = /listen_failed.*in use/.test(server.stderr); // since it was found free
      if (port !== undefined || !taken) throw error;
    }
  }
}

/** Runs both, the second whatever the first did; if both fail, the first error is told, with the other added. */
async function both(body, end) {
  let failure = null;
  try {
    await body();
  } catch (error) {
    failure = error;
  }
  try {
    await end();
  } catch (error) {
    if (failure) failure.message += `\n[and the server: ${error.message}]`;
    failure ??= error;
  }
  if (failure) throw failure;
}

/** The body of a test with a server of its own, which is stopped and checked at the end. */
export function withServer(args, body, env, wrap) {
  return async (t) => {
    const server = await startServer(typeof args === "function" ? args() : args, { env, wrap });
    await both(() => body(server, t), () => server.stop());
  };
}

/** For a server whose memory is measured: the allocator gives back at once what is not in use. */
export const NO_SLACK = { MIMALLOC_DECOMMIT_DELAY: "0" };

/** A directory for the body alone. */
export async function withDirectory(body) {
  const directory = mkdtempSync(path.join(os.tmpdir(), "parlor-e2e-"));
  try {
    return await body(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** One life after another of a server on the same port and the same file. */
export class Lives {
  /** @type {Server} */
  server = null;
  /** @type {number} */
  port;

  constructor(directory, args) {
    this.directory = directory;
    this.file = path.join(directory, "parlor.db");
    this.args = args;
  }

  async start(args = this.args) {
    this.args = args;
    this.port ??= await freePort();
    this.server = await startServer(["--data", this.file, ...args], { port: this.port });
    return this.server;
  }

  async restart(args) {
    await this.server.stop();
    return this.start(args);
  }

  /** Started, and killed so soon that it may not have opened the file yet. */
  async startAndKill(afterMs) {
    const server = new Server(this.port, ["--listen", `127.0.0.1:${this.port}`, "--data", this.file, ...this.args]);
    await pause(afterMs);
    await server.killHard();
  }

  async killAndStart(args) {
    await this.server.killHard();
    return this.start(args);
  }
}

/** The body of a test with a server that keeps what was said in a file, in a directory of its own. */
export function withLives(args, body) {
  return (t) => withDirectory(async (directory) => {
    const lives = new Lives(directory, args);
    await lives.start();
    await both(() => body(lives, t), () => lives.server.stop());
  });
}

/** Runs the binary to its end, for options that end it: {code, stdout, stderr}. */
export async function runToEnd(args, env, options, time = ms(10000)) {
  const server = new Server(0, args, env, options);
  try {
    const { code, signal } = await within(time, server.gone, `exit of parlor ${args.join(" ")}`);
    return { code, signal, stdout: server.stdout, stderr: server.stderr };
  } finally {
    server.kill("SIGKILL");
  }
}
