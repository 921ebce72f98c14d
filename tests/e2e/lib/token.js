// Tokens signed by hand, so that anything can be wrong with one.
import { createHmac } from "node:crypto";
import { writeFileSync } from "node:fs";
import path from "node:path";

export const SECRET = "0123456789abcdef0123456789abcdef-a-secret";
export const base64 = (object) => Buffer.from(JSON.stringify(object)).toString("base64url");
export const soon = (s = 600) => Math.floor(Date.now() / 1000) + s;

/**
 * @param {object} claims
 * @param {{secret?: string, header?: object}} how
 */
export function token(claims, how = {}) {
  const { secret = SECRET, header = { alg: "HS256", typ: "JWT" } } = how;
  const input = `${base64(header)}.${base64({ exp: soon(), ...claims })}`;
  return `${input}.${createHmac("sha256", secret).update(input).digest("base64url")}`;
}

/** What to offer as subprotocols with a token. */
export const bearer = (given, first = "parlor.v1") => ({ protocols: [first, `bearer.${given}`] });

/** The options of a server that believes tokens of SECRET. */
export function secretArgs(directory) {
  const file = path.join(directory, "secret");
  writeFileSync(file, `${SECRET}\n`, { mode: 0o600 });
  return ["--jwt-secret-file", file];
}
