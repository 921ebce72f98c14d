// Who reacted to a message with what. Pure.

/** @import { Reaction } from "../client/types.js" */

const NAMES_MAX = 50; // of those who reacted, per message and emoji

/**
 * @param {Reaction[]} reactions
 * @param {string} emoji
 * @param {(reaction: Reaction) => Reaction} change
 */
function changed(reactions, emoji, change) {
  const known = reactions.some((r) => r.emoji === emoji);
  const all = known ? reactions : [...reactions, { emoji, count: 0, names: [] }];
  return all.map((r) => (r.emoji === emoji ? change(r) : r)).filter((r) => r.count > 0);
}

/** @typedef {{emoji: string, username: string}} By */

/** @param {Reaction[]} reactions @param {By} by */
export const withReaction = (reactions, { emoji, username }) => changed(reactions, emoji, (r) => (
  r.names.includes(username) ? r : { ...r, count: r.count + 1, names: [...r.names, username].slice(-NAMES_MAX) }));

/** @param {Reaction[]} reactions @param {By} by */
export const withoutReaction = (reactions, { emoji, username }) => changed(reactions, emoji, (r) => (
  { ...r, count: r.count - 1, names: r.names.filter((name) => name !== username) }));

/**
 * A page of history has only numbers: the names that are known already stay as long as they fit.
 * @param {Reaction[]} reactions of the page
 * @param {Reaction[]} known
 */
export const withNames = (reactions, known) => reactions.map((r) => {
  const names = known.find((k) => k.emoji === r.emoji)?.names ?? [];
  return { ...r, names: names.length <= r.count ? names : [] };
});
