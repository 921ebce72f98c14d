// What may be typed, and what the page offers instead: pure functions, without a browser.
import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./lib/web.js";

const { messageProblem, messageRoom } = await load("model/rules.js");
const { suggestion } = await load("model/lookup.js");

test("messages: what is left, and what has to go, for every kind of character", () => {
  const excess = (text, max) => messageRoom(text, max).excess;
  assert.deepEqual(messageRoom("", 10), { bytes: 0, left: 10, excess: 0 });
  assert.deepEqual(messageRoom("abc", 3), { bytes: 3, left: 0, excess: 0 });
  assert.deepEqual(messageRoom("x".repeat(99), 0), { bytes: 99, left: Infinity, excess: 0 });
  for (const char of ["a", "é", "€", "\u{1f600}", "\u0000"]) {
    const bytes = new TextEncoder().encode(char).length;
    for (let n = 1; n <= 5; n++) {
      const max = 3 * bytes;
      const text = char.repeat(3 + n);
      assert.equal(excess(text, max), n, `${n} of ${char}`);
      assert.equal(excess(Array.from(text).slice(0, -n).join(""), max), 0);
    }
    if (bytes > 1) assert.equal(excess(char, bytes - 1), 1);
  }
  assert.equal(excess("ab\u{1f600}", 3), 1, "a character that fits in part goes as a whole");
  assert.equal(excess("\ud800".repeat(3), 6), 1, "half a character takes three bytes, as what replaces it does");
});

test("messages: the reason is exact", () => {
  assert.equal(messageProblem("x".repeat(16384)), "");
  assert.match(messageProblem("x".repeat(16385)), /^Not sent: 1 character too long \(16,385 of at most 16,384 bytes\)/);
  assert.match(messageProblem("é".repeat(8200)), /^Not sent: 8 characters too long \(16,400 of at most 16,384 bytes\)/);
  assert.equal(messageProblem("x".repeat(99999), 0), "");
});

test("names: another one is offered iff somebody else has it, and is free", () => {
  assert.equal(suggestion("Ann", ["Ann", "Bob"]), "", "the one who asks is in the list");
  assert.equal(suggestion("Ann", ["Ann", "Ann", "Bob"]), "Ann 2");
  assert.equal(suggestion("Ann", ["Ann", "ANN"]), "Ann 2", "it looks the same");
  assert.equal(suggestion("Ann", ["Ann", "Ann", "ann 2", "Ann 3"]), "Ann 4");
  assert.equal(suggestion("\u00e9", ["\u00e9", "e\u0301"]), "\u00e9 2", "it is the same letter");
  const long = "\u{1f600}".repeat(16);
  assert.equal(suggestion(long, [long, long]), `${"\u{1f600}".repeat(15)} 2`, "never longer than a name may be");
  const crowd = Array.from({ length: 200 }, (_, i) => (i < 2 ? "Ann" : `Ann ${i}`));
  assert.equal(suggestion("Ann", crowd), "Ann 200");
});
