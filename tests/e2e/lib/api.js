// A client of the HTTP API that believes only the OpenAPI document: every answer, errors included, has
// to be one that the document tells of, in the form that it tells.
import assert from "node:assert/strict";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { REPO, startServer, withDirectory } from "./server.js";

export const KEY = "a-key-for-tests-0123456789";
export const AUTH = { Authorization: `Bearer ${KEY}` };
const SEARCH_WAIT_MS = 250;
export const JSON_TYPE = { "Content-Type": "application/json" };

export const document = JSON.parse(readFileSync(path.join(REPO, "web/api/v1/openapi.json"), "utf8"));

const ajv = new Ajv2020({ strict: false, allErrors: true });
ajv.addSchema(document, "parlor");

/** Operations that were called, as "get /rooms 200". */
export const seen = new Set();

const operations = Object.entries(document.paths).flatMap(([template, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({
    method,
    template,
    operation,
    pattern: new RegExp(`^${template.replace(/\{\w+\}/g, "[^/]*").replace(/\./g, "\\.")}$`),
  })));

/** All that the document promises, as "get /rooms". */
export const promised = operations.map(({ method, template }) => `${method} ${template}`);

const pointer = (...parts) =>
  parts.map((part) => part.replaceAll("~", "~0").replaceAll("/", "~1").replaceAll("{", "%7B").replaceAll("}", "%7D"))
    .join("/");

function schemaOf(found, status, type) {
  const at = pointer("paths", found.template, found.method, "responses", String(status), "content", type, "schema");
  return ajv.getSchema(`parlor#/${at}`);
}

function conforms(check, value, what) {
  assert.ok(check, `${what}: no schema`);
  assert.ok(check(value), `${what}: ${ajv.errorsText(check.errors)} in ${JSON.stringify(value).slice(0, 600)}`);
}

/** Holds an answer against the document. */
export function validate(method, target, status, type, text) {
  const at = target.split("?")[0];
  const found = operations.find((o) => o.method === method.toLowerCase() && o.pattern.test(at));
  const what = `${method} ${target} ${status}`;
  assert.ok(found, `${what}: not in the document`);
  const answer = found.operation.responses[status];
  assert.ok(answer, `${what}: this status is not in the document: ${text}`);
  seen.add(`${found.method} ${found.template} ${status}`);
  if (!answer.content) {
    assert.equal(text, "", what);
    return;
  }
  assert.ok(type in answer.content, `${what}: ${type} is not in the document`);
  const check = schemaOf(found, status, type);
  if (type === "application/x-ndjson") {
    assert.ok(text.endsWith("\n"), what);
    for (const line of text.slice(0, -1).split("\n")) conforms(check, JSON.parse(line), what);
  } else {
    conforms(check, JSON.parse(text), what);
  }
}

export class Api {
  constructor(server) {
    this.server = server;
  }

  get base() {
    return `http://127.0.0.1:${this.server.port}/api/v1`;
  }

  /** {status, json, text, headers}; body: an object is sent as JSON, a string as it is. */
  async call(method, target, body = undefined, headers = {}) {
    const send = body === undefined ? {} : JSON_TYPE;
    const answer = await fetch(this.base + target, {
      method,
      headers: { ...AUTH, ...send, ...headers },
      body: typeof body === "object" ? JSON.stringify(body) : body,
    });
    const text = await answer.text();
    const type = answer.headers.get("content-type");
    validate(method, target, answer.status, type, text);
    const json = type === "application/json" ? JSON.parse(text) : undefined;
    return { status: answer.status, headers: answer.headers, text, json };
  }

  /**
   * The JSON of an answer with this status.
   * @param {string} method
   * @param {string} target
   * @param {unknown} [body]
   * @param {{status?: number, headers?: Record<string, string>}} how
   */
  async ok(method, target, body, how = {}) {
    const { status = 200, headers } = how;
    const answer = await this.call(method, target, body, headers);
    assert.equal(answer.status, status, `${method} ${target}: ${answer.text}`);
    return answer.json ?? answer.text;
  }

  async fails(status, code, method, target, body, headers) {
    const answer = await this.call(method, target, body, headers);
    assert.equal(`${answer.status} ${answer.json?.error.code}`, `${status} ${code}`, `${method} ${target}`);
  }

  get(target) {
    return this.ok("GET", target);
  }

  post(room, message, more = {}, headers = {}) {
    const body = { message, username: "app", ...more };
    return this.ok("POST", `/rooms/${encodeURIComponent(room)}/messages`, body, { status: 201, headers });
  }

  /**
   * The answer of a search that had the time to wait for what was posted before it. After 250 ms it
   * gives what is indexed by then (decision 3), or says that it cannot if more than the newest is not: on
   * a busy machine, or after a start, one has to ask again.
   */
  async search(target) {
    for (;;) {
      const began = performance.now();
      const { status, json, text } = await this.call("GET", target);
      if (status === 200 && performance.now() - began < SEARCH_WAIT_MS) return json;
      assert.ok(status === 200 || status === 503, text);
    }
  }

  export(room) {
    return this.ok("GET", `/export?room=${encodeURIComponent(room)}`);
  }
}

export const startApi = (data, args = []) =>
  startServer(["--workers", "2", "--rate", "0", "--data", data, ...args], { env: { PARLOR_API_KEY: KEY } });

/**
 * The body of a test with a server that has the API on. The server is stopped and checked whatever the
 * body did. use(api, server, dir)
 */
export function withApi(args, use) {
  return () => withDirectory(async (dir) => {
    const server = await startApi(path.join(dir, "test.db"), args);
    let failure = null;
    try {
      await use(new Api(server), server, dir);
    } catch (error) {
      failure = error;
    }
    try {
      await server.stop();
    } catch (error) {
      if (failure) failure.message += `\n[and the server: ${error.message}]`;
      failure ??= error;
    }
    if (failure) throw failure;
  });
}

export function keyFile(dir, content = `${KEY}\n`, mode = 0o600) {
  const file = path.join(dir, "key");
  writeFileSync(file, content);
  chmodSync(file, mode);
  return file;
}
