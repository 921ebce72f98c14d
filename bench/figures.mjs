// From single runs to figures: medians and spreads over the repetitions, and ratios. Pure functions of
// results.json.
import { CASES } from "./cases.mjs";

export const FAULTS = [
  "lost", "duplicated", "out_of_order", "misrouted", "foreign", "dead", "unacked",
];

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

export function faultsOf(runs) {
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
  const main = runs.map((run) => run[CASES[name].figure]);
  return { ...medians, spread: [Math.min(...main), Math.max(...main)], faults: faultsOf(runs), runs };
}

// summary[case][server]
export function summarize(data) {
  const summary = {};
  for (const name of Object.keys(CASES)) {
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
  const key = CASES[name].figure;
  const ratios = [];
  for (const run of a.runs) {
    const other = b.runs.find((candidate) => candidate.rep === run.rep);
    if (other && other[key] > 0) ratios.push(run[key] / other[key]);
  }
  return ratios.length ? median(ratios) : undefined;
}
