// RFC 6455 through /ws/echo/: framing, control frames, fragmentation, UTF-8 as it arrives, the close
// handshake, limits. The same ground as the well-known conformance suites, and in places stricter:
// what such suites call "non-strict" fails here.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  BINARY, Raw, TEXT, acceptFor, binary, close, cont, fragments, frame, ping, pong, sameBytes, text,
} from "./lib/raw.js";
import { withServer } from "./lib/server.js";
import { count, limit, ms, within } from "./lib/wait.js";

const ECHO = ["--echo", "--workers", "1"];
const MIB = 1024 * 1024;

/** One connection per case, several at once, the case named in a failure. */
async function eachOnItsOwn(server, cases, run) {
  const rest = [...cases];
  const worker = async () => {
    for (let one = rest.shift(); one !== undefined; one = rest.shift()) {
      const raw = await Raw.open(server.port);
      try {
        await run(raw, one);
      } catch (error) {
        error.message = `case ${Buffer.isBuffer(one) ? one.toString("hex") : JSON.stringify(one)}: ${error.message}`;
        throw error;
      } finally {
        raw.destroy();
      }
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}

const filled = (length, seed = 7) => {
  const out = Buffer.allocUnsafe(length);
  for (let i = 0, x = seed; i < length; i++) out[i] = x = (x * 1103515245 + 12345) & 255;
  return out;
};

/** UTF-8 of exactly this many bytes, with characters of every length. */
const words = (length) => {
  const pattern = Buffer.from("every length: κόσμε \u20ac \u{1f600}, ");
  const out = Buffer.alloc(length, "~");
  for (let at = 0; at + pattern.length <= length; at += pattern.length) pattern.copy(out, at);
  return out;
};

const SIZES = [0, 1, 2, 3, 124, 125, 126, 127, 128, 129, 255, 256, 1000, 4095, 4096, 4097, 16383, 16384,
  65534, 65535, 65536, 65537];

test("every length form comes back, text and binary", limit(20), withServer(ECHO, async (server) => {
  const raw = await Raw.open(server.port);
  for (const size of SIZES) {
    await raw.send(text("*".repeat(size)));
    await raw.expectMessage(TEXT, "*".repeat(size));
    await raw.send(binary(filled(size)));
    await raw.expectMessage(BINARY, filled(size));
  }
  await raw.closeClean();
}));

test("a length in a longer form than needed is the sender's to answer for, not a crash", limit(20),
  withServer(ECHO, async (server) => {
    // RFC 6455 5.2 obliges the sender to the shortest form and leaves the receiver free.
    await eachOnItsOwn(server, [[5, 16], [5, 64], [300, 64]], async (raw, [size, lengthForm]) => {
      await raw.send(text("x".repeat(size), { lengthForm }), ping("after"));
      const got = await raw.next();
      if (got.opcode === TEXT) sameBytes(got.payload, Buffer.from("x".repeat(size)));
      else assert.equal(got.payload.readUInt16BE(), 1002);
    });
  }));

test("masks: every key, and frames split at every byte", limit(20), withServer(ECHO, async (server) => {
  const raw = await Raw.open(server.port);
  const keys = ["00000000", "ffffffff", "80000001", "00ff00ff", "12345678"].map((k) => Buffer.from(k, "hex"));
  for (const mask of keys) {
    for (let size = 0; size < 40; size++) {
      await raw.send(binary(filled(size), { mask }));
      await raw.expectMessage(BINARY, filled(size));
    }
  }
  const message = "split κόσμε \u{1f600} anywhere";
  const bytes = text(message);
  for (let at = 1; at < bytes.length; at++) {
    await raw.send(bytes.subarray(0, at));
    await raw.send(bytes.subarray(at));
    await raw.expectMessage(TEXT, message);
  }
  await raw.sendChopped(text("y".repeat(300)), 1);
  await raw.expectMessage(TEXT, "y".repeat(300));
  await raw.closeClean();
}));

test("a frame sent together with the handshake is not lost", limit(10), withServer(ECHO, async (server) => {
  const raw = await Raw.connect(server.port);
  await raw.upgrade("/ws/echo/", { first: Buffer.concat([text("early"), ping("bird")]) });
  await raw.expectMessage(TEXT, "early");
  await raw.expectPong("bird");
  await raw.closeClean();
}));

test("unmasked frames are refused", limit(10), withServer(ECHO, async (server) => {
  await eachOnItsOwn(server, [1, 2, 9, 10, 8], async (raw, opcode) => {
    await raw.send(frame(opcode, opcode === 8 ? Buffer.from([3, 232]) : "bare", { mask: false }));
    await raw.expectFailure(1002);
  });
}));

test("pings: payloads 0 to 125, by themselves and chopped; 126 refused", limit(20),
  withServer(ECHO, async (server) => {
    const raw = await Raw.open(server.port);
    for (const size of [0, 1, 7, 124, 125]) {
      await raw.send(ping(filled(size)));
      await raw.expectPong(filled(size));
    }
    const odd = Buffer.from("00fffefdfcfb00ff", "hex");
    await raw.send(ping(odd));
    await raw.expectPong(odd);
    await raw.sendChopped(ping(filled(125)), 1);
    await raw.expectPong(filled(125));
    await raw.closeClean();
    await eachOnItsOwn(server, [9, 10, 8], async (one, opcode) => {
      await one.send(frame(opcode, Buffer.alloc(126, 3)));
      await one.expectFailure(1002);
    });
  }));

test("ten pings get ten pongs in order, sent at once or byte by byte", limit(20),
  withServer(ECHO, async (server) => {
    const raw = await Raw.open(server.port);
    const flood = Array.from({ length: 10 }, (_, i) => ping(`payload-${i}`));
    await raw.send(...flood);
    for (let i = 0; i < 10; i++) await raw.expectPong(`payload-${i}`);
    await raw.sendChopped(Buffer.concat(flood), 1);
    for (let i = 0; i < 10; i++) await raw.expectPong(`payload-${i}`);
    await raw.closeClean();
  }));

test("pongs nobody asked for are ignored", limit(10), withServer(ECHO, async (server) => {
  const raw = await Raw.open(server.port);
  await raw.send(pong(), pong("unasked"), ping("asked"), pong("again"), text("still here"));
  await raw.expectPong("asked");
  await raw.expectMessage(TEXT, "still here");
  await raw.closeClean();
}));

test("reserved bits: the message before is answered, then 1002, and nothing after", limit(30),
  withServer(ECHO, async (server) => {
    const cases = [];
    for (const rsv of [1, 2, 3, 4, 5, 6, 7])
      for (const opcode of [1, 2, 9, 10]) for (const chop of [0, 1]) cases.push([rsv, opcode, chop]);
    await eachOnItsOwn(server, cases, async (raw, [rsv, opcode, chop]) => {
      const bytes = Buffer.concat([text("before"), frame(opcode, "bad", { rsv }), ping("after")]);
      if (chop) await raw.sendChopped(bytes, 1);
      else await raw.send(bytes);
      await raw.expectMessage(TEXT, "before");
      await raw.expectFailure(1002);
    });
    await eachOnItsOwn(server, [1, 2, 4, 7], async (raw, rsv) => {
      await raw.send(frame(8, Buffer.from([3, 232]), { rsv }));
      await raw.expectFailure(1002);
    });
  }));

test("reserved opcodes: the message before is answered, then 1002", limit(30),
  withServer(ECHO, async (server) => {
    const cases = [];
    for (const opcode of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
      for (const payload of ["", "with payload"]) cases.push([opcode, payload]);
    await eachOnItsOwn(server, cases, async (raw, [opcode, payload]) => {
      await raw.send(text("before"), frame(opcode, payload), ping("after"));
      await raw.expectMessage(TEXT, "before");
      await raw.expectFailure(1002);
    });
  }));

test("control frames must not be fragmented", limit(10), withServer(ECHO, async (server) => {
  await eachOnItsOwn(server, [9, 10, 8], async (raw, opcode) => {
    await raw.send(frame(opcode, Buffer.from([3, 232]), { fin: false }), cont("x"));
    await raw.expectFailure(1002);
  });
}));

test("fragments, with control frames between them", limit(20), withServer(ECHO, async (server) => {
  const raw = await Raw.open(server.port);
  const open = { fin: false };
  await raw.send(text("one ", open), cont("two"));
  await raw.expectMessage(TEXT, "one two");
  await raw.sendChopped(Buffer.concat([text("one ", open), cont("two")]), 1);
  await raw.expectMessage(TEXT, "one two");
  await raw.send(text("one ", open), ping("mid"), cont("two"));
  await raw.expectPong("mid");
  await raw.expectMessage(TEXT, "one two");
  for (const last of ["", "e"]) {
    await raw.send(text("", open), cont("", open), pong("x"), cont("a", open), cont(last));
    await raw.expectMessage(TEXT, `a${last}`);
  }
  await raw.send(text("", open), cont("", open), cont(""));
  await raw.expectMessage(TEXT, "");
  const five = [text("f1,", open), cont("f2,", open), ping("p1"), cont("f3,", open), cont("f4,", open),
    ping("p2"), cont("f5")];
  await raw.send(...five);
  await raw.expectPong("p1");
  await raw.expectPong("p2");
  await raw.expectMessage(TEXT, "f1,f2,f3,f4,f5");
  // The pong must not wait for the rest of the message.
  await raw.send(...five.slice(0, 3));
  await raw.expectPong("p1");
  await raw.send(...five.slice(3));
  await raw.expectPong("p2");
  await raw.expectMessage(TEXT, "f1,f2,f3,f4,f5");
  await raw.send(binary(filled(70), open), cont(filled(70, 8), open), cont(filled(70, 9)));
  await raw.expectMessage(BINARY, Buffer.concat([filled(70), filled(70, 8), filled(70, 9)]));
  await raw.closeClean();
}));

test("continuations without a message, messages within a message", limit(20),
  withServer(ECHO, async (server) => {
    const open = { fin: false };
    const bad = {
      "continuation first": [cont("x")],
      "open continuation first": [cont("x", open)],
      "text in text": [text("a", open), text("b")],
      "binary in text": [text("a", open), binary("b")],
      "open text in text": [text("a", open), text("b", open)],
      "text in binary": [binary("a", open), text("b")],
    };
    await eachOnItsOwn(server, Object.keys(bad), async (raw, name) => {
      await raw.send(...bad[name], text("after"));
      await raw.expectFailure(1002);
    });
    await eachOnItsOwn(server, [true, false], async (raw, fin) => {
      await raw.send(text("a", open), cont("b"), cont("c", { fin }), text("after"));
      await raw.expectMessage(TEXT, "ab");
      await raw.expectFailure(1002);
    });
  }));

const VALID_UTF8 = [
  "Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\0", "\u007f", "\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000",
  "\ufffd", "\uffff", "\ufffe", "\ufdd0", "\u{10000}", "\u{1fffe}", "\u{1ffff}", "\u{5ffff}",
  "\u{10fffe}", "\u{10ffff}", "\u{1f468}\u200d\u{1f469}\u200d\u{1f467}", "\ufeffwith a BOM", "e\u0301",
];

test("valid UTF-8 comes back, whole, per byte in fragments, per byte in chops", limit(30),
  withServer(ECHO, async (server) => {
    const raw = await Raw.open(server.port);
    for (const value of VALID_UTF8) {
      await raw.send(text(value));
      await raw.expectMessage(TEXT, value);
      await raw.send(...fragments(TEXT, value, 1));
      await raw.expectMessage(TEXT, value);
      await raw.sendChopped(text(value), 1);
      await raw.expectMessage(TEXT, value);
    }
    await raw.closeClean();
  }));

// [what stays possible, the octet that makes it invalid]; the failure is due at that octet.
const INVALID_UTF8 = [
  ["", "80"], ["", "bf"], ["", "c0"], ["", "c1"], ["", "f5"], ["", "f6"], ["", "f7"], ["", "f8"],
  ["", "fb"], ["", "fc"], ["", "fd"], ["", "fe"], ["", "ff"],
  ["c2", "20"], ["c2", "c2"], ["c2", "ff"], ["df", "7f"],
  ["e0", "80"], ["e0", "9f"], ["e0", "20"], ["e1", "c0"], ["e1 80", "20"], ["e1 80", "e1"], ["ef bf", "c0"],
  ["ed", "a0"], ["ed", "ad"], ["ed", "ae"], ["ed", "b0"], ["ed", "bf"],
  ["f0", "80"], ["f0", "8f"], ["f0", "20"], ["f0 90", "20"], ["f0 90 80", "20"], ["f1 80 80", "f1"],
  ["f4", "90"], ["f4", "bf"], ["f4 8f", "c0"], ["f3 a0 80", "7f"],
  ["c2 80", "80"], ["e2 82 ac", "82"], ["f0 9f 98 80", "80"],
  ["ce ba e1 bd b9 cf 83 ce bc ce b5", "ff"], ["ce ba e1 bd b9 cf 83 ce bc ce b5 ed", "a0"],
].map(([good, bad]) => ({ good: Buffer.from(good.replace(/ /g, ""), "hex"), bad: Buffer.from(bad, "hex") }));

const named = (c) => `${c.good.toString("hex")}|${c.bad.toString("hex")}`;
const INVALID_BY_NAME = new Map(INVALID_UTF8.map((c) => [named(c), c]));

test("invalid UTF-8 in one frame: 1007", limit(30), withServer(ECHO, async (server) => {
  await eachOnItsOwn(server, INVALID_BY_NAME.keys(), async (raw, name) => {
    const { good, bad } = INVALID_BY_NAME.get(name);
    await raw.send(text(Buffer.concat([Buffer.from("x"), good, bad, Buffer.from("tail")])));
    await raw.expectFailure(1007);
  });
}));

test("invalid UTF-8 fails at the octet, before the frame is whole", limit(30),
  withServer(ECHO, async (server) => {
    for (const padding of [0, 5, 200]) {
      await eachOnItsOwn(server, INVALID_BY_NAME.keys(), async (raw, name) => {
        const { good, bad } = INVALID_BY_NAME.get(name);
        const pad = Buffer.alloc(padding, "p");
        const whole = text(Buffer.concat([pad, good, bad, Buffer.alloc(300, "z")]));
        const head = whole.length - (pad.length + good.length + bad.length + 300);
        const upTo = head + pad.length + good.length;
        await raw.send(whole.subarray(0, upTo));
        await raw.send(whole.subarray(upTo, upTo + 1));
        await raw.expectFailure(1007); // nothing more was sent
      });
    }
  }));

test("invalid UTF-8 fails at the octet, in the middle of a fragmented message", limit(30),
  withServer(ECHO, async (server) => {
    const open = { fin: false };
    await eachOnItsOwn(server, INVALID_BY_NAME.keys(), async (raw, name) => {
      const { good, bad } = INVALID_BY_NAME.get(name);
      await raw.send(text("κόσμε", open), cont(good, open), ping("so far so good"));
      await raw.expectPong("so far so good"); // not failed too early
      await raw.send(cont(bad, open));
      await raw.expectFailure(1007);
    });
  }));

test("a message that ends inside a character: 1007, not before its end", limit(30),
  withServer(ECHO, async (server) => {
    const stumps = ["c2", "df", "e0a0", "e1", "e180", "ed9f", "efbf", "f0", "f090", "f09080", "f48f", "f48fbf"];
    await eachOnItsOwn(server, stumps, async (raw, stump) => {
      await raw.send(text(Buffer.from(stump, "hex")));
      await raw.expectFailure(1007);
    });
    await eachOnItsOwn(server, stumps, async (raw, stump) => {
      await raw.send(text(Buffer.from(stump, "hex"), { fin: false }), ping("open"));
      await raw.expectPong("open");
      await raw.send(cont(""));
      await raw.expectFailure(1007);
    });
  }));

test("binary messages hold any octets", limit(10), withServer(ECHO, async (server) => {
  const raw = await Raw.open(server.port);
  for (const { good, bad } of INVALID_UTF8) {
    const octets = Buffer.concat([good, bad]);
    await raw.send(...fragments(BINARY, octets, 1));
    await raw.expectMessage(BINARY, octets);
  }
  await raw.closeClean();
}));

const CODES_GOOD = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];
const CODES_BAD = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 10000, 65535];

test("close codes: valid ones are echoed, TCP is closed by the server", limit(20),
  withServer(ECHO, async (server) => {
    await eachOnItsOwn(server, CODES_GOOD, async (raw, code) => {
      await raw.send(close(code, "because"));
      await raw.expectClose(code);
      await raw.expectEnd();
    });
  }));

test("close codes: invalid ones get 1002", limit(20), withServer(ECHO, async (server) => {
  for (const reason of ["", "reason"])
    await eachOnItsOwn(server, CODES_BAD, async (raw, code) => {
      await raw.send(close(code, reason));
      await raw.expectClose(1002);
      await raw.expectEnd();
    });
}));

test("close payloads: none, one byte, 123 and 124 bytes of reason, bad UTF-8", limit(20),
  withServer(ECHO, async (server) => {
    const cases = {
      none: [close(), [undefined, 1000]],
      "one byte": [frame(8, Buffer.from([3])), [1002]],
      "no reason": [close(1000), [1000]],
      "reason of 123": [close(1000, "r".repeat(123)), [1000]],
      "reason of 124": [close(1000, "r".repeat(124)), [1002]],
      "reason in UTF-8": [close(1000, "κόσμε \u{1f600}"), [1000]],
      "reason not UTF-8": [close(1000, Buffer.from("cebae1bdb9ceedbfff", "hex")), [1007]],
      "reason cut inside a character": [close(1000, Buffer.from("e282", "hex")), [1007]],
      "reason with a surrogate": [close(1000, Buffer.from("eda080", "hex")), [1007]],
    };
    await eachOnItsOwn(server, Object.keys(cases), async (raw, name) => {
      const [bytes, codes] = cases[name];
      await raw.send(bytes);
      const said = await raw.expectClose();
      assert.ok(codes.includes(said.code), `${said.code} is not among ${codes}`);
      await raw.expectEnd();
    });
  }));

test("what comes after a close is ignored", limit(20), withServer(ECHO, async (server) => {
  const after = {
    "second close": [close(1000)],
    ping: [ping("late")],
    text: [text("late")],
    "bad frame": [frame(3, "late")],
    "invalid UTF-8": [text(Buffer.from([0xff]))],
    "much data": Array.from({ length: 20 }, () => binary(filled(60000))),
  };
  await eachOnItsOwn(server, Object.keys(after), async (raw, name) => {
    await raw.send(text("before"), close(1000), ...after[name]);
    await raw.expectMessage(TEXT, "before");
    await raw.expectClose(1000);
    await raw.expectEnd();
  });
}));

test("a close inside a fragmented message, and behind a big one", limit(20),
  withServer(ECHO, async (server) => {
    const raw = await Raw.open(server.port);
    await raw.send(text("never finished", { fin: false }), close(1000));
    await raw.expectClose(1000);
    await raw.expectEnd();
    const other = await Raw.open(server.port);
    const big = "BAsd7&jh23".repeat(26215);
    await other.send(text(big), text("Hello World!"), close(1000), ping());
    await other.expectMessage(TEXT, big);
    await other.expectMessage(TEXT, "Hello World!");
    await other.expectClose(1000);
    await other.expectEnd();
  }));

test("TCP ended by the client, orderly or not, in any state", limit(20), withServer(ECHO, async (server) => {
  const states = [[], [text("half").subarray(0, 3)], [text("open", { fin: false })], [ping("x")], [close(1000)],
    [binary(filled(60000)).subarray(0, 30000)]];
  for (const bytes of states) {
    for (const end of ["end", "reset"]) {
      const raw = await Raw.open(server.port);
      if (bytes.length) await raw.send(...bytes);
      if (end === "end") {
        raw.socket.end();
        await within(ms(10000), raw.over, "end of TCP after ours");
      }
      raw.reset();
    }
  }
  const raw = await Raw.open(server.port);
  await raw.send(text("alive"));
  await raw.expectMessage(TEXT, "alive");
  await raw.closeClean();
}));

test("messages up to 16 MiB, whole; one byte more is 1009", limit(60), withServer(ECHO, async (server) => {
  const raw = await Raw.open(server.port);
  for (const size of [MIB / 16, MIB / 4, MIB, 4 * MIB, 8 * MIB, 16 * MIB]) {
    const value = words(size);
    await raw.send(text(value));
    await raw.expectMessage(TEXT, value, ms(30000));
    const octets = filled(size);
    await raw.send(binary(octets));
    await raw.expectMessage(BINARY, octets, ms(30000));
  }
  // The claim alone is enough to refuse: nothing is kept for it.
  await raw.send(binary("", { length: 16 * MIB + 1, lengthForm: 64 }));
  await raw.expectFailure(1009);
  const most = await Raw.open(server.port);
  await most.send(frame(BINARY, "", { lengthForm: 64, length: Number.MAX_SAFE_INTEGER }));
  await most.expectFailure(1009);
}));

test("a length with its top bit set is refused", limit(10), withServer(ECHO, async (server) => {
  const raw = await Raw.open(server.port);
  await raw.send(Buffer.from("82ffffffffffffffffff00000000", "hex"));
  const { code } = await raw.expectClose();
  assert.ok(code === 1002 || code === 1009, `1002 or 1009, not ${code}`);
  await raw.expectEnd();
}));

test("16 MiB in 65,537 fragments, text and binary", limit(60), withServer(ECHO, async (server) => {
  const raw = await Raw.open(server.port);
  const size = count(16, 4) * MIB;
  for (const opcode of [TEXT, BINARY]) {
    const value = opcode === TEXT ? words(size) : filled(size);
    const parts = fragments(opcode, value, size / 65536);
    parts[parts.length - 1] = cont(value.subarray(-size / 65536), { fin: false });
    parts.push(cont(""));
    assert.equal(parts.length, 65537);
    const reading = raw.expectMessage(opcode, value, ms(45000));
    const whole = Buffer.concat(parts);
    for (let at = 0; at < whole.length; at += 65536) await raw.send(whole.subarray(at, at + 65536));
    await reading;
  }
  await raw.closeClean();
}));

test("too much in fragments is 1009 too", limit(60), withServer(ECHO, async (server) => {
  const raw = await Raw.open(server.port);
  const piece = filled(MIB);
  await raw.send(binary(piece, { fin: false }));
  for (let i = 1; i < 16; i++) await raw.send(cont(piece, { fin: false }));
  await raw.send(ping("sixteen are fine"));
  await raw.expectPong("sixteen are fine");
  await raw.send(cont("x", { fin: false }));
  await raw.expectFailure(1009);
}));

test("fragment sizes from 64 bytes to 4 MiB", limit(60), withServer(ECHO, async (server) => {
  const raw = await Raw.open(server.port);
  const size = count(4, 1) * MIB;
  const value = words(size);
  for (const piece of [64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, size]) {
    for (const opcode of [TEXT, BINARY]) {
      const reading = raw.expectMessage(opcode, value, ms(30000));
      await raw.send(...fragments(opcode, value, piece));
      await reading;
    }
  }
  await raw.closeClean();
}));

test("chops from 64 to 2048 bytes", limit(60), withServer(ECHO, async (server) => {
  const raw = await Raw.open(server.port);
  const value = words(count(1, 0.25) * MIB);
  for (const chop of [64, 128, 256, 512, 1024, 2048]) {
    for (const opcode of [TEXT, BINARY]) {
      const reading = raw.expectMessage(opcode, value, ms(30000));
      await raw.sendChopped(frame(opcode, value), chop);
      await reading;
    }
  }
  const big = filled(count(16, 4) * MIB);
  const reading = raw.expectMessage(BINARY, big, ms(45000));
  await raw.sendChopped(binary(big), 2048);
  await reading;
  await raw.closeClean();
}));

test("a thousand round trips, and a thousand messages at once, in order", limit(60),
  withServer(ECHO, async (server) => {
    const raw = await Raw.open(server.port);
    for (const size of [0, 16, 64, 256, 1024, 4096, 16384]) {
      for (const opcode of [TEXT, BINARY]) {
        const bytes = frame(opcode, "r".repeat(size));
        for (let i = 0; i < count(500, 150); i++) {
          raw.send(bytes);
          const got = await raw.message();
          assert.equal(got.payload.length, size);
        }
      }
    }
    const many = Array.from({ length: 1000 }, (_, i) => text(`message ${i}`));
    await raw.send(...many);
    for (let i = 0; i < 1000; i++) await raw.expectMessage(TEXT, `message ${i}`);
    await raw.closeClean();
  }));

test("pongs reach a client that reads slowly, at frame boundaries", limit(60),
  withServer(ECHO, async (server) => {
    const raw = await Raw.open(server.port);
    const value = filled(12 * MIB);
    raw.socket.pause();
    // More than the socket buffers of both sides hold: the server is stuck inside its frame.
    await within(ms(30000), raw.send(binary(value)), "room for the message");
    const rest = raw.send(ping("under pressure"), text("and on"));
    raw.socket.resume();
    await rest;
    await raw.expectMessage(BINARY, value, ms(30000));
    await raw.expectPong("under pressure");
    await raw.expectMessage(TEXT, "and on");
    await raw.closeClean();
  }));

test("handshake: what must be there, and what may vary", limit(20), withServer(ECHO, async (server) => {
  const open = async (headers, expect, path = "/ws/echo/") => {
    const raw = await Raw.connect(server.port);
    const response = await raw.upgrade(path, { headers, expect });
    if (expect === 101) {
      await raw.send(text("works"));
      await raw.expectMessage(TEXT, "works");
      await raw.closeClean();
    }
    raw.destroy();
    return response;
  };
  await open({}, 101);
  await open({ Upgrade: "WebSocket" }, 101);
  await open({ Connection: "keep-alive, Upgrade" }, 101);
  await open({ Connection: "upgrade" }, 101);
  await open({ "X-Other": "y".repeat(2000), Cookie: "a=b" }, 101);
  await open({ Upgrade: "h2c" }, 426);
  await open({ Connection: "keep-alive" }, 400); // asked for in half
  const old = await open({ "Sec-WebSocket-Version": "8" }, 426);
  assert.equal(old.headers["sec-websocket-version"], "13", "RFC 6455 4.2.2");
  await open({ "Sec-WebSocket-Version": null }, 426);
  await open({ "Sec-WebSocket-Key": null }, 400);
  await open({ "Sec-WebSocket-Key": "tooshort" }, 400);
  await open({ "Sec-WebSocket-Key": "not!base64!but!24!chars!!" }, 400);
  await open({ Host: null }, 400);
  const proto = await open({ "Sec-WebSocket-Protocol": "unknown.v9, other" }, 101);
  assert.equal(proto.headers["sec-websocket-protocol"], undefined, "a protocol nobody agreed on");
  // The example of RFC 6455 section 1.3.
  assert.equal(acceptFor("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}));

test("without --echo there is no echo", limit(10), withServer(["--workers", "1"], async (server) => {
  const raw = await Raw.connect(server.port);
  const { rest } = await raw.upgrade("/ws/echo/", { expect: 404 });
  assert.equal(JSON.parse(rest.toString()).error.code, "not_found");
  raw.destroy();
}));
