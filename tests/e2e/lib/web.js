// The page's modules in Node, for what needs no browser. They are loaded from a copy in a directory that
// says "type": "module", which web/ must not, since everything in it is embedded into the binary.
import { webcrypto } from "node:crypto";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after } from "node:test";
import { pathToFileURL } from "node:url";
import { REPO } from "./server.js";

globalThis.crypto ??= /** @type {Crypto} */ (webcrypto); // Node 18
const copy = mkdtempSync(path.join(tmpdir(), "parlor-web-"));
after(() => rmSync(copy, { recursive: true }));
cpSync(path.join(REPO, "web"), copy, { recursive: true, dereference: true });
writeFileSync(path.join(copy, "package.json"), '{"type":"module"}');

export const load = (name) => import(pathToFileURL(path.join(copy, name)).href);
