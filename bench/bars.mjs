// The bars the project has set itself, each with what was measured. Pure functions of results.json.
import { CASES, casesOf } from "./cases.mjs";
import { faultsOf, median, pairedRatio } from "./figures.mjs";

function atMost(what, value, limit, unit) {
  const met = value !== undefined && value <= limit;
  const shown = value === undefined ? "not measured" : `${Number(value.toFixed(3))}${unit}`;
  return { what, measured: shown, bar: `at most ${limit}${unit}`, met };
}

// The ratio of two servers in a case; of those measured at the same time too, that is the better
// figure.
function ratioIn(summary, name, id, against) {
  const together = pairedRatio(summary, `${name}-together`, id, against);
  return together ?? pairedRatio(summary, name, id, against);
}

// A peer that failed proves nothing, so it is named instead of being passed over.
function belowPeers(data, summary, name) {
  const ours = summary[name].parlor;
  const peers = data.servers.filter((s) => !s.ours && !s.shared);
  const known = peers.filter((p) => summary[name][p.id] && !summary[name][p.id].failed);
  const failed = peers.filter((p) => !known.includes(p)).map((p) => p.label);
  const ratioOf = (peer) => ratioIn(summary, name, peer.id, "parlor") ?? Infinity;
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
  const runs = data.results.filter((run) => /^(parlor|shared)/.test(run.server));
  const failed = runs.filter((run) => run.failed).length;
  const faults = faultsOf(runs).map(([key, count]) => `${key} ${count}`);
  if (failed) faults.push(`failed runs ${failed}`);
  const arrived = runs.reduce((sum, run) => sum + (run.arrived ?? 0), 0);
  return {
    what: `lost, duplicated, out of order, misrouted, unacked, dead connections (${arrived} deliveries)`,
    measured: faults.length ? faults.join(", ") : String(runs.length ? 0 : "not measured"),
    bar: "0",
    met: runs.length > 0 && faults.length === 0,
  };
}

// The issue's "or": so many a second, or so many times what one message at a time makes.
function ackBar(summary, name) {
  const of = (which) => summary[which]?.["parlor-history"]?.acks_per_s;
  const times = of(name) / of("acks-single");
  const known = times > 0;
  return {
    what: `acked messages, durability commit: ${CASES[name].title}`,
    measured: known
      ? `${Math.round(of(name)).toLocaleString("en-US")}/s, ${times.toFixed(1)} x one in flight`
      : "not measured",
    bar: "at least 20,000/s or 10 x one in flight",
    met: known && (of(name) >= 20000 || times >= 10),
  };
}

// The worst of all forms of the storm, which is named; undefined while one of them has no value.
function worstReturn(summary, names, valueOf) {
  const all = names.flatMap((name) =>
    ["warm", "cold"].map((state) => {
      const found = summary[name]["parlor-history"];
      const value = found && !found.failed ? valueOf(found.runs, state) : undefined;
      return { value, form: `${CASES[name].title}, ${state}` };
    }),
  );
  if (all.some(({ value }) => value === undefined)) return {};
  return all.reduce((worst, one) => (one.value > worst.value ? one : worst));
}

function resumeBars(summary) {
  const names = casesOf("resume").filter((name) => Object.keys(summary[name]).length > 0);
  if (!names.length) return [];
  const worst = (valueOf) => worstReturn(summary, names, valueOf);
  const missing = worst((runs, state) =>
    runs.reduce((sum, run) => sum + run.clients - run[`${state}_complete`], 0),
  );
  const late = worst((runs, state) => Math.max(...runs.map((run) => run[`${state}_p99_ms`])));
  const cost = worst((runs, state) =>
    median(runs.map((run) => run[`${state}_cpu_ms`] / run.live_cpu_ms)),
  );
  const named = (what, { value, form }) =>
    `resume storm: ${what}${value > 0 ? ` (worst: ${form})` : ""}`;
  return [
    atMost(named("clients not complete", missing), missing.value, 0, ""),
    atMost(named("p99 until complete, every repetition", late), late.value, 2000, " ms"),
    atMost(named("server CPU against live, handshakes included", cost), cost.value, 1.5, " x"),
  ];
}

// There are two ways to keep nothing; what counts is the cheaper one.
function againstOff(summary, name) {
  const ratios = ["parlor", "parlor-off"].map((off) => pairedRatio(summary, name, "parlor-history", off));
  return ratios.includes(undefined) ? undefined : Math.max(...ratios);
}

function historyBars(summary) {
  const ran = (name) => Object.keys(summary[name]).length > 0;
  const list = ["acks", "acks-deep"].filter(ran).map((name) => ackBar(summary, name));
  for (const name of casesOf("history").filter(ran)) {
    const what = `CPU per delivery, history on against off: ${CASES[name].title}`;
    list.push(atMost(what, againstOff(summary, name), 1.05, " x"));
  }
  list.push(...resumeBars(summary));
  if (ran("idle-rich")) {
    const bytes = summary["idle-rich"]["parlor-history"]?.bytes_per_connection;
    list.push(atMost("idle, rich: user-space memory per connection", bytes, 700, " bytes"));
  }
  return list;
}

function startBars(data) {
  const kinds = { parlor: "start to listening", "parlor-history": "the same, with a new file" };
  return Object.entries(kinds).flatMap(([id, what]) => {
    const starts = data.results.filter((run) => run.server === id && run.startMs);
    return starts.length ? [atMost(what, median(starts.map((run) => run.startMs)), 50, " ms")] : [];
  });
}

// Every bar with its measured value; only those whose case and servers were chosen for the run.
export function bars(data, summary) {
  const list = [];
  const ran = (name) => Object.keys(summary[name]).length > 0;
  const chosen = (test) => data.servers.some(test);
  for (const [name, limit] of [["one", 1.08], ["ten", 1.25], ["pairs", 1.25]]) {
    if (!ran(name)) continue;
    const ratio = ratioIn(summary, name, "parlor", "bare");
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
  list.push(...historyBars(summary), ...startBars(data), noFaults(data));
  return list;
}
