// From single runs to figures: medians and spreads over the repetitions, ratios, and the bars the
// project has set itself. Pure functions of results.json.

export const TALK_CASES = ["one", "ten", "pairs", "chatter"];
const FAULTS = ["lost", "duplicated", "out_of_order", "misrouted", "foreign", "dead"];

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

export const MAIN_FIGURE = {
  one: "cpu_us_per_delivery",
  ten: "cpu_us_per_delivery",
  pairs: "cpu_us_per_delivery",
  chatter: "cpu_us_per_delivery",
  idle: "bytes_per_connection",
  storm: "cpu_us_per_handshake",
};

function faultsOf(runs) {
  const found = FAULTS.map((key) => [key, runs.reduce((sum, run) => sum + (run[key] ?? 0), 0)]);
  return found.filter(([, count]) => count > 0);
}

// One server in one case: { failed } or medians of every number, the spread of the main figure, and
// the faults summed over the repetitions.
function summarizeRuns(name, runs) {
  const bad = runs.find((run) => run.failed);
  if (bad) return { failed: bad.failed, runs };
  const medians = {};
  for (const [key, value] of Object.entries(runs[0]))
    if (typeof value === "number") medians[key] = median(runs.map((run) => run[key]));
  const main = runs.map((run) => run[MAIN_FIGURE[name]]);
  return { ...medians, spread: [Math.min(...main), Math.max(...main)], faults: faultsOf(runs), runs };
}

// summary[case][server]
export function summarize(data) {
  const summary = {};
  for (const name of Object.keys(MAIN_FIGURE)) {
    summary[name] = {};
    for (const { id } of data.servers) {
      const runs = data.results.filter((run) => run.case === name && run.server === id);
      if (runs.length) summary[name][id] = summarizeRuns(name, runs);
    }
  }
  return summary;
}

// Median of the ratios within each repetition: what slows the machine for a minute cancels out.
// undefined where one of them is missing or has failed.
export function pairedRatio(summary, name, id, against) {
  const a = summary[name]?.[id];
  const b = summary[name]?.[against];
  if (!a || !b || a.failed || b.failed) return undefined;
  const key = MAIN_FIGURE[name];
  const ratios = [];
  for (const run of a.runs) {
    const other = b.runs.find((candidate) => candidate.rep === run.rep);
    if (other && other[key] > 0) ratios.push(run[key] / other[key]);
  }
  return ratios.length ? median(ratios) : undefined;
}

function atMost(what, value, limit, unit) {
  const met = value !== undefined && value <= limit;
  const shown = value === undefined ? "not measured" : `${Number(value.toFixed(3))}${unit}`;
  return { what, measured: shown, bar: `at most ${limit}${unit}`, met };
}

// A peer that failed proves nothing, so it is named instead of being passed over.
function belowPeers(data, summary, name) {
  const ours = summary[name].parlor;
  const peers = data.servers.filter((s) => !s.ours && !s.shared);
  const known = peers.filter((p) => summary[name][p.id] && !summary[name][p.id].failed);
  const failed = peers.filter((p) => !known.includes(p)).map((p) => p.label);
  const ratioOf = (peer) => pairedRatio(summary, name, peer.id, "parlor") ?? Infinity;
  const best = known.sort((a, b) => ratioOf(a) - ratioOf(b))[0];
  const ratio = best && ratioOf(best);
  const measured =
    !ours || ours.failed || !best
      ? "not measured"
      : `${best.label}, the nearest, takes ${ratio.toFixed(3)} x ours`;
  return {
    what: `${name}: server CPU per delivery against the peers`,
    measured: failed.length ? `${measured}; no figure from ${failed.join(", ")}` : measured,
    bar: "below every peer",
    met: measured !== "not measured" && ratio > 1,
  };
}

function noFaults(data) {
  const runs = data.results.filter((run) => ["parlor", "shared1", "shared2"].includes(run.server));
  const failed = runs.filter((run) => run.failed).length;
  const faults = faultsOf(runs).map(([key, count]) => `${key} ${count}`);
  if (failed) faults.push(`failed runs ${failed}`);
  const arrived = runs.reduce((sum, run) => sum + (run.arrived ?? 0), 0);
  return {
    what: `lost, duplicated, out of order, misrouted, dead connections (${arrived} deliveries)`,
    measured: faults.length ? faults.join(", ") : String(runs.length ? 0 : "not measured"),
    bar: "0",
    met: runs.length > 0 && faults.length === 0,
  };
}

// Every bar with its measured value; only those whose case and servers were chosen for the run.
export function bars(data, summary) {
  const list = [];
  const ran = (name) => Object.keys(summary[name]).length > 0;
  const chosen = (test) => data.servers.some(test);
  for (const [name, limit] of [["one", 1.08], ["ten", 1.25], ["pairs", 1.25]]) {
    if (!ran(name)) continue;
    const ratio = pairedRatio(summary, name, "parlor", "bare");
    list.push(atMost(`${name}: server CPU per delivery against bare`, ratio, limit, " x"));
    if (chosen((s) => !s.ours && !s.shared)) list.push(belowPeers(data, summary, name));
  }
  if (ran("idle")) {
    const bytes = summary.idle.parlor?.bytes_per_connection;
    list.push(atMost("idle: user-space memory per connection", bytes, 400, " bytes"));
  }
  if (ran("storm")) {
    const ratio = pairedRatio(summary, "storm", "parlor", "bare");
    list.push(atMost("storm: handshake CPU against bare", ratio, 1.5, " x"));
  }
  for (const name of ["ten", "pairs"]) {
    if (!ran(name) || !chosen((s) => s.shared)) continue;
    const ratio = pairedRatio(summary, name, "shared2", "shared1");
    list.push(atMost(`${name}: CPU per delivery, two workers against one`, ratio, 1.15, " x"));
  }
  const starts = data.results.filter((run) => run.server === "parlor" && run.startMs);
  const startMs = starts.length ? median(starts.map((run) => run.startMs)) : undefined;
  list.push(atMost("start to listening", startMs, 50, " ms"));
  list.push(noFaults(data));
  return list;
}
