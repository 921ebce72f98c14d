// The servers of the benchmark: how each is started, which version it is, and what has to be lighter
// for it. A server that cannot be started shows in the report as failed, with the reason.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const benchDir = dirname(fileURLToPath(import.meta.url));
export const rootDir = dirname(benchDir);
const peers = join(benchDir, "peers");

function npmVersion(name) {
  const file = join(benchDir, "node_modules", name, "package.json");
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).version : "not installed";
}

function debianVersion(name) {
  try {
    return execFileSync("dpkg-query", ["-W", "-f", "${Version}", name], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return "not installed";
  }
}

function bunBinary() {
  const places = ["node_modules/@oven/bun-linux-x64/bin/bun", "node_modules/bun/bin/bun.exe"];
  return places.map((p) => join(benchDir, p)).find(existsSync) ?? "bun";
}

const production = { NODE_ENV: "production" };

// command(port, scratch): what to run; scratch is an own directory, on the disk if `disk` says so.
// lighter: load options by case. historyOnly: takes part only in cases that name it.
/** @returns {any[]} */
export function allServers(options) {
  const parlor = (workers, ...more) => (port) => [
    options.parlor,
    "--listen", `127.0.0.1:${port}`,
    "--workers", String(workers),
    "--rate", "0",
    "--log-level", "warn",
    ...(more.length ? more : ["--data", ":memory:"]),
  ];
  const withFile = (durability) => (port, scratch) =>
    parlor(1, "--data", join(scratch, "parlor.db"), "--durability", durability)(port);
  const history = { ours: true, historyOnly: true, version: () => "this tree" };
  return [
    { id: "parlor", label: "Parlor", ours: true, version: () => "this tree", command: parlor(1) },
    {
      id: "bare",
      label: "bare epoll server",
      ours: true,
      version: () => "bench/bare.c",
      command: (port) => [join(options.tools, "bare"), String(port)],
    },
    {
      id: "uws",
      label: "uWebSockets.js",
      version: () => npmVersion("@trufflesuite/uws-js-unofficial"),
      command: (port) => [process.execPath, join(peers, "uws.mjs"), String(port)],
      env: production,
    },
    {
      id: "bun",
      label: "Bun",
      version: () => npmVersion("bun"),
      command: (port) => [bunBinary(), join(peers, "bun.ts"), String(port)],
      env: production,
    },
    {
      id: "nchan",
      label: "nginx + nchan",
      version: () => `${debianVersion("nginx")}, ${debianVersion("libnginx-mod-nchan")}`,
      command: (port, scratch) => ["bash", join(peers, "nchan.sh"), String(port), scratch],
    },
    {
      id: "ws",
      label: "Node ws",
      version: () => `${npmVersion("ws")} on Node ${process.version}`,
      command: (port) => [process.execPath, join(peers, "ws.mjs"), String(port)],
      env: production,
    },
    {
      id: "channels",
      label: "Django Channels + Daphne",
      version: () =>
        `${debianVersion("python3-django-channels")}, ${debianVersion("python3-daphne")}`,
      command: (port) => [
        "/usr/bin/python3", "-m", "daphne",
        "-v", "0",
        "-b", "127.0.0.1",
        "-p", String(port),
        "chat:application",
      ],
      cwd: join(peers, "channels"),
      env: { PYTHONDONTWRITEBYTECODE: "1" },
      // Daphne listens with a backlog of 50, so fewer connections are opened at the same time. The
      // in-memory layer looks at all channels at every send, so the last text takes its time.
      everyCase: ["--at-once", "32", "--patience-ms", "20000"],
      lighter: {
        one: ["--rate", "4"],
        ten: ["--window", "1"],
        idle: ["--clients", "2000"],
        storm: ["--clients", "1000", "--rounds", "1"],
      },
      lighterText: "4 texts/s in `one`, a window of 1 in `ten`, 2,000 idle, storms of 1,000",
    },
    // One worker against two, where all of them and the generator share both cores.
    {
      id: "shared1",
      label: "Parlor, 1 worker",
      shared: true,
      version: () => "this tree",
      command: parlor(1),
    },
    {
      id: "shared2",
      label: "Parlor, 2 workers",
      shared: true,
      version: () => "this tree",
      command: parlor(2),
    },
    {
      ...history,
      id: "parlor-history",
      label: "file, commit",
      disk: true,
      command: withFile("commit"),
    },
    {
      ...history,
      id: "parlor-strict",
      label: "file, strict",
      disk: true,
      command: withFile("strict"),
    },
    {
      ...history,
      id: "parlor-relaxed",
      label: "file, relaxed",
      disk: true,
      command: withFile("relaxed"),
    },
    // Nothing is remembered, not even in memory for those who come back.
    {
      ...history,
      id: "parlor-off",
      label: ":memory:, budget 0",
      command: parlor(1, "--data", ":memory:", "--memory-budget", "0"),
    },
  ];
}
