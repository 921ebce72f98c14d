// The binary under test as a child process: started on a free port, watched on stderr, stopped with
// SIGTERM. Each test owns its server, and the end of each test is itself a check: the server has to
// leave with exit code 0 in time, and its stderr must hold no report of a sanitizer.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { request } from './http.js';
import { ms, within } from './wait.js';

export const REPO = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
export const BIN = path.resolve(REPO, process.env.PARLOR_BIN || 'build/parlor');

const REPORT =
  /(Address|Leak|Thread|Memory|UndefinedBehavior)Sanitizer|runtime error:|CHECK failed|Assertion .* failed/;
const STDERR_MAX = 4 * 1024 * 1024;

const SANITIZER_ENV = {
  ASAN_OPTIONS: 'detect_leaks=1:exitcode=99:abort_on_error=0',
  UBSAN_OPTIONS: 'print_stacktrace=1',
  TSAN_OPTIONS: 'exitcode=66:halt_on_error=0',
};

/** Our environment without PARLOR_*: those variables are options to the server, or the tests' own. */
const plainEnv = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith('PARLOR_')),
);

const bindable = (port, host) =>
  new Promise((resolve) => {
    const probe = net.createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host, exclusive: true }, () => probe.close(() => resolve(true)));
  });

/** A port below the ephemeral range, so that no outgoing connection of a test sits on it. */
export async function freePort() {
  for (let tries = 0; tries < 200; tries++) {
    const port = 12000 + Math.floor(Math.random() * 20000);
    if ((await bindable(port, '127.0.0.1')) && (await bindable(port, '0.0.0.0'))) return port;
  }
  throw new Error('no free port');
}

/** True if nobody holds this port on the loopback addresses. */
export const portIsFree = async (port) =>
  (await bindable(port, '127.0.0.1')) && (await bindable(port, '0.0.0.0'));

export class Server {
  stderr = '';
  stdout = '';
  status = null; // {code, signal} once the process is gone
  #heard = [];

  constructor(port, args, env = {}) {
    this.port = port;
    this.args = args;
    this.startedAt = process.hrtime.bigint();
    this.child = spawn(BIN, args, {
      cwd: REPO,
      env: { ...SANITIZER_ENV, ...plainEnv, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout.setEncoding('utf8').on('data', (text) => (this.stdout += text));
    this.child.stderr.setEncoding('utf8').on('data', (text) => this.#hear(text));
    this.gone = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('close', (code, signal) => {
        this.status = { code, signal };
        resolve(this.status);
      });
    });
    this.gone.catch(() => {});
  }

  get pid() {
    return this.child.pid;
  }

  #hear(text) {
    this.stderr += text;
    if (this.stderr.length > STDERR_MAX) this.stderr = this.stderr.slice(-STDERR_MAX / 2);
    for (const listener of this.#heard) listener();
  }

  /** Resolves once stderr matches; rejects if the process ends without having said it. */
  says(pattern, time) {
    const said = new Promise((resolve, reject) => {
      const look = () => pattern.test(this.stderr) && resolve();
      this.#heard.push(look);
      look();
      this.gone.then(
        (s) => reject(new Error(`server left (${s.code ?? s.signal}) before ${pattern}:\n${this.stderr}`)),
        reject,
      );
    });
    return within(time, said, `${pattern} on stderr`);
  }

  async listening() {
    await this.says(/listening/, ms(10000));
    this.listeningAfterMs = Number(process.hrtime.bigint() - this.startedAt) / 1e6;
    return this;
  }

  /** GET /metrics as a Map of "name{labels}" to number. */
  async metrics() {
    const answer = await request(this.port, 'GET', '/metrics');
    const values = new Map();
    for (const line of answer.text.split('\n')) {
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
    const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'));
    return Number(line[1]) * 1024;
  }

  openFileLimit() {
    const line = /^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${this.pid}/limits`, 'utf8'));
    return Number(line[1]);
  }

  kill(signal = 'SIGTERM') {
    if (!this.status) this.child.kill(signal);
  }

  /** Waits for the end after SIGTERM and checks how it ended. */
  async stop() {
    this.kill('SIGTERM');
    try {
      await within(ms(15000), this.gone, 'exit after SIGTERM');
    } catch (error) {
      this.kill('SIGABRT');
      throw new Error(`${error.message}\n${this.stderr.slice(-4000)}`);
    }
    this.check();
  }

  check() {
    const report = REPORT.exec(this.stderr);
    if (report) {
      const from = Math.max(0, report.index - 200);
      throw new Error(`sanitizer report:\n${this.stderr.slice(from, from + 6000)}`);
    }
    if (this.status.code !== 0)
      throw new Error(
        `exit ${this.status.code ?? this.status.signal}, not 0:\n${this.stderr.slice(-3000)}`,
      );
  }
}

/** A server that listens on 127.0.0.1:port with these further options. */
export async function startServer(args = [], { port, env } = {}) {
  const at = port ?? (await freePort());
  const drain = args.includes('--drain-timeout') ? [] : ['--drain-timeout', '2s'];
  const server = new Server(at, ['--listen', `127.0.0.1:${at}`, ...drain, ...args], env);
  try {
    return await server.listening();
  } catch (error) {
    server.kill('SIGKILL');
    throw error;
  }
}

/**
 * The body of a test with a server of its own. The server is stopped and checked whatever the body
 * did; if both fail, the body's error is the one that is told, with the server's added.
 */
export function withServer(args, body) {
  return async (t) => {
    const server = await startServer(typeof args === 'function' ? args() : args);
    let failure = null;
    try {
      await body(server, t);
    } catch (error) {
      failure = error;
    }
    try {
      await server.stop();
    } catch (error) {
      if (failure) failure.message += `\n[and the server: ${error.message}]`;
      failure ??= error;
    }
    if (failure) throw failure;
  };
}

/** Runs the binary to its end, for options that end it: {code, stdout, stderr}. */
export async function runToEnd(args, env) {
  const server = new Server(0, args, env);
  try {
    const { code, signal } = await within(ms(5000), server.gone, `exit of parlor ${args.join(' ')}`);
    return { code, signal, stdout: server.stdout, stderr: server.stderr };
  } finally {
    server.kill('SIGKILL');
  }
}
