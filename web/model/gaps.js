// Ranges of seqs of which it is not known what they hold, sorted, and none touching another. Pure.

/** @import { Gap } from "../client/types.js" */

/**
 * `gap` takes the place of what it overlaps.
 * @param {Gap[]} gaps
 * @param {Gap} gap
 */
export function withGap(gaps, gap) {
  const others = gaps.filter(({ from, to }) => to < gap.from || from > gap.to);
  return [...others, gap].sort((a, b) => a.from - b.from);
}

/**
 * low..high is known.
 * @param {Gap[]} gaps
 * @param {{low: number, high: number, next?: string | null}} known history after `next` goes on from high
 */
export function withoutRange(gaps, { low, high, next }) {
  return gaps.flatMap((gap) => {
    if (gap.to < low || gap.from > high) return [gap];
    const before = gap.from < low ? [{ ...gap, to: low - 1 }] : [];
    const after = gap.to > high ? [{ from: high + 1, to: gap.to, next: next ?? gap.next }] : [];
    return [...before, ...after];
  });
}
