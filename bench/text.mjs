// Numbers and tables as the report writes them.

export function number(value) {
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en-US");
  return Number(value.toPrecision(3)).toString();
}

// "value (ratio x)", the ratio being to Parlor's value.
export function cell(value, ours, ratio = ours ? value / ours : undefined) {
  return ratio === undefined ? number(value) : `${number(value)} (${ratio.toFixed(2)} x)`;
}

function row(cells) {
  return `| ${cells.join(" | ")} |`;
}

export function table(head, rows) {
  return [row(head), row(head.map((_, i) => (i ? "--:" : "---"))), ...rows.map(row)].join("\n");
}

export function faultText(faults) {
  return faults.length ? faults.map(([key, count]) => `${count} ${key}`).join(", ") : "0";
}

export function spreadText([low, high]) {
  return `${number(low)} .. ${number(high)}`;
}
