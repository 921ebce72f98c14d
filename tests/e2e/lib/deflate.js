// permessage-deflate (RFC 7692) on node's zlib, outside any WebSocket library, so that a test decides
// about windows, flushes and blocks, and reads with exactly the window that was agreed on.
import assert from "node:assert/strict";
import zlib from "node:zlib";

const TAIL = Buffer.from([0x00, 0x00, 0xff, 0xff]);

/** One message, compressed without context (7.2.1). */
export function deflate(payload, { bits = 15, level = 6, memLevel = 8 } = {}) {
  const out = zlib.deflateRawSync(Buffer.from(payload), {
    windowBits: bits,
    level,
    memLevel,
    finishFlush: zlib.constants.Z_SYNC_FLUSH,
  });
  assert.deepEqual(out.subarray(-4), TAIL);
  return out.subarray(0, -4);
}

/** One message, read with a window of exactly these bits: a reference further back is an error. */
export function inflate(payload, bits = 15) {
  return zlib.inflateRawSync(Buffer.concat([payload, TAIL]), {
    windowBits: bits,
    finishFlush: zlib.constants.Z_SYNC_FLUSH,
  });
}

/** The extensions of a response: [{name, params: Map}]. */
export function parseExtensions(header) {
  if (!header) return [];
  return header.split(",").map((one) => {
    const [name, ...params] = one.split(";").map((s) => s.trim());
    return {
      name,
      params: new Map(params.map((p) => {
        const [key, value] = p.split("=").map((s) => s.trim());
        return [key, value === undefined ? true : value.replace(/^"(.*)"$/, "$1")];
      })),
    };
  });
}

/** Text that compresses like prose, of exactly this many bytes, with far repeats of `distance`. */
export function prose(bytes, seed = 1, distance = 3000) {
  const words = ["room", "log", "cursor", "member", "chunk", "order", "tail", "frame", "worker", "turn"];
  let state = seed >>> 0 || 1;
  const random = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  let block = "";
  while (block.length < distance) block += `${words[random() % words.length]}${random() % 997} `;
  block = block.slice(0, distance);
  let out = "";
  while (out.length < bytes) out += block;
  return out.slice(0, bytes);
}
