// A phone on the same network: the server that listens everywhere says under which address it is found.
import assert from "node:assert/strict";
import os from "node:os";
import { test } from "node:test";
import { freePort, startServer } from "./lib/server.js";
import { limit, ms, until } from "./lib/wait.js";

const outside = Object.values(os.networkInterfaces()).flat().filter((one) => !one.internal);

test("listening everywhere, the log names an address of this machine that leads to the page",
  { ...limit(30), skip: outside.length === 0 && "this machine has no network" }, async () => {
    const port = await freePort();
    const server = await startServer(["--listen", `*:${port}`]);
    try {
      const urls = () => Array.from(server.stderr.matchAll(/listening .*url=(\S+)/g), (found) => new URL(found[1]));
      await until(ms(10000), () => urls().some((url) => Number(url.port) === port), "a line for the address");
      const open = urls().filter((url) => Number(url.port) === port);
      const v4 = open.find((url) => !url.hostname.startsWith("["));
      assert.ok(outside.some((one) => one.address === v4.hostname), `${v4} is none of ${outside.map((one) => one.address)}`);
      const answer = await fetch(v4);
      assert.match(await answer.text(), /<title>Parlor/);
      // The others are as they were asked for.
      assert.ok(urls().some((url) => url.hostname === "127.0.0.1"));
    } finally {
      await server.stop();
    }
  });
