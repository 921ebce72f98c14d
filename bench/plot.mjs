// The plots of the report: horizontal bars on a logarithmic axis, because the values are up to three
// powers of ten apart. A plot is { title, what, groups }, a group { title, bars }, a bar
// { label, kind, value } with the kind ours, bare or peer; without a value it has failed.
import { CASES, TALK_CASES, casesOf } from "./cases.mjs";
import { number } from "./text.mjs";

const PLOT = { width: 820, left: 190, right: 90, bar: 16, step: 22, group: 44, top: 56, bottom: 44 };

function escapeXml(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

function plotScale(groups) {
  const values = groups.flatMap((group) => group.bars.map((bar) => bar.value)).filter((v) => v > 0);
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(Math.ceil(Math.log10(Math.max(...values))), low + 1);
  const span = PLOT.width - PLOT.left - PLOT.right;
  return { low, high, x: (v) => PLOT.left + ((Math.log10(v) - low) / (high - low)) * span };
}

function plotBar(bar, y, scale) {
  const label = `<text class="name" x="${PLOT.left - 10}" y="${y + 12}">${escapeXml(bar.label)}</text>`;
  if (!(bar.value > 0))
    return `${label}<text class="value" x="${PLOT.left + 6}" y="${y + 12}">failed</text>`;
  const end = Math.max(scale.x(bar.value), PLOT.left + 1);
  const width = (end - PLOT.left).toFixed(1);
  return (
    `${label}<rect class="${bar.kind}" x="${PLOT.left}" y="${y}" width="${width}" height="${PLOT.bar}" rx="2"/>` +
    `<text class="value" x="${(end + 6).toFixed(1)}" y="${y + 12}">${number(bar.value)}</text>`
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

function draw({ title, what, groups }) {
  const scale = plotScale(groups);
  const body = [];
  let y = PLOT.top;
  for (const group of groups) {
    body.push(`<text class="case" x="${PLOT.left}" y="${y + 14}">${escapeXml(group.title)}</text>`);
    y += 24;
    for (const bar of group.bars) {
      body.push(plotBar(bar, y, scale));
      y += PLOT.step;
    }
    y += PLOT.group - PLOT.step;
  }
  const height = y + PLOT.bottom - 20;
  const grid = [];
  for (let power = scale.low; power <= scale.high; power++) {
    const x = scale.x(10 ** power).toFixed(1);
    const text = number(Number((10 ** power).toPrecision(1)));
    grid.push(`<line class="grid" x1="${x}" x2="${x}" y1="${PLOT.top - 8}" y2="${height - 36}"/>`);
    grid.push(`<text class="tick" x="${x}" y="${height - 16}">${text}</text>`);
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${PLOT.width} ${height}" width="${PLOT.width}" height="${height}" role="img" aria-labelledby="t">
<title id="t">${what}</title>
<style>${PLOT_STYLE}
</style>
<rect class="back" width="${PLOT.width}" height="${height}" rx="6"/>
<text class="title" x="20" y="30">${title}</text>
${grid.join("\n")}
${body.join("\n")}
</svg>
`;
}

function kindOf(server) {
  return server.id === "bare" ? "bare" : server.ours ? "ours" : "peer";
}

function groupOf(data, summary, name, figure, label) {
  const shown = data.servers.filter((s) => !s.shared && summary[name][s.id]);
  const bars = shown.map((server) => ({
    label: label(server),
    kind: kindOf(server),
    value: summary[name][server.id][figure],
  }));
  return { title: CASES[name].title, bars };
}

// Empty where no run has a value.
function plot(names, figure, data, summary, texts, label = (server) => server.label) {
  const groups = names
    .map((name) => groupOf(data, summary, name, figure, label))
    .filter((group) => group.bars.length);
  return groups.some((group) => group.bars.some((bar) => bar.value > 0))
    ? draw({ ...texts, groups })
    : "";
}

export function plotDeliveries(data, summary) {
  return plot(TALK_CASES, "cpu_us_per_delivery", data, summary, {
    title: "Server CPU per delivered message, us (logarithmic; less is better)",
    what: "Server CPU microseconds per delivered message; less is better",
  });
}

export function plotAcks(data, summary) {
  const texts = {
    title: "Acked messages per second, one core (logarithmic; more is better)",
    what: "Acked messages per second on one core; more is better",
  };
  const label = (server) => (server.historyOnly ? server.label : ":memory:");
  return plot(casesOf("acks"), "acks_per_s", data, summary, texts, label);
}
