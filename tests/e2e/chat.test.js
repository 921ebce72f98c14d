// The chat itself, rungs 0 and 1 (protocol.md sections 1 to 4): who receives what, in which order and
// form; every refusal; names; limits; rooms.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Member, Rich, refusal } from "./lib/chat.js";
import { request } from "./lib/http.js";
import { Raw, TEXT, binary, cont, fragments, ping, text } from "./lib/raw.js";
import { freePort, startServer, withServer } from "./lib/server.js";
import { count, limit, ms, pause, until } from "./lib/wait.js";

const TWO = ["--workers", "2", "--rate", "0"];
const GUEST = /^guest-[a-z0-9]{4}$/i;

/** Members of one room, on one connection each. */
const crowd = (server, room, n, options) =>
  Promise.all(Array.from({ length: n }, () => Member.join(server, room, options)));

const leaveAll = (members) => Promise.all(members.map((m) => m.leave()));

test("a message reaches every member, the sender included, as exactly two keys", limit(10),
  withServer(TWO, async (server) => {
    const [ann, bob, cid] = await crowd(server, "lobby", 3);
    ann.say("hi", { username: "ann" });
    for (const member of [ann, bob, cid]) {
      assert.equal(await member.nextText(), '{"message":"hi","username":"ann"}');
    }
    const elsewhere = await Member.join(server, "other");
    bob.say("second", { username: "bob", type: "x", room: "other", id: 7, error: {} });
    for (const member of [ann, bob, cid]) await member.expectBare("bob", "second");
    await elsewhere.expectNothing("alone here");
    await leaveAll([ann, bob, cid, elsewhere]);
  }));

test("whoever has seen the handshake receives what is said after it", limit(30),
  withServer(TWO, async (server) => {
    const talker = await Member.join(server);
    for (let i = 0; i < count(200, 50); i++) {
      const late = await Member.join(server);
      talker.say(`message ${i}`, { username: "talker" });
      await late.expectBare("talker", `message ${i}`);
      late.socket.terminate();
    }
    await talker.leave();
  }));

test("many talkers on two workers: everybody reads everything in one order", limit(60),
  withServer(TWO, async (server) => {
    const each = count(400, 100);
    const members = await crowd(server, "busy", 12);
    const ids = await crowd(server, "busy", 2, { query: "?fields=full" });
    const talkers = members.slice(0, 6);
    for (let i = 0; i < each; i++)
      talkers.forEach((talker, who) => talker.say(`${who}:${i}`, { username: `t${who}` }));
    const total = each * talkers.length;
    const read = async (member) => {
      const got = [];
      for (let i = 0; i < total; i++) got.push(await member.next(ms(20000)));
      return got;
    };
    const all = await Promise.all([...members, ...ids].map(read));
    const order = all[0].map((m) => m.message);
    assert.equal(new Set(order).size, total, "a message twice");
    for (const talk of all) assert.deepEqual(talk.map((m) => m.message), order);
    const last = talkers.map(() => -1);
    for (const one of order) {
      const [who, i] = one.split(":").map(Number);
      assert.equal(i, last[who] + 1, "a talker's own order");
      last[who] = i;
    }
    const [first, second] = all.slice(-2);
    assert.deepEqual(first, second);
    for (let i = 1; i < total; i++) assert.ok(first[i].seq > first[i - 1].seq);
    assert.equal(new Set(first.map((m) => m.id)).size, total);
    await leaveAll([...members, ...ids]);
  }));

test("the full object of rung 1, and what else asks for it", limit(10),
  withServer(TWO, async (server) => {
    const bare = await Member.join(server, "caf%C3%A9");
    const full = await Member.join(server, "caf%C3%A9", { query: "?fields=full" });
    const before = Date.now();
    bare.say("hi", { username: "ann" });
    const raw = await full.nextText();
    const got = JSON.parse(raw);
    assert.deepEqual(Object.keys(got), ["type", "room", "id", "seq", "ts", "username", "message"]);
    assert.equal(got.type, "message");
    assert.equal(got.room, "café");
    assert.equal(typeof got.id, "string");
    assert.ok(Number.isSafeInteger(got.seq) && got.seq > 0);
    assert.ok(got.ts >= before - 2000 && got.ts <= Date.now() + 2000, `ts ${got.ts}`);
    assert.equal(got.username, "ann");
    assert.equal(got.message, "hi");
    await bare.expectBare("ann", "hi");
    full.say("from full");
    assert.equal((await full.next()).seq > got.seq, true);
    assert.match((await bare.next()).username, GUEST);
    full.say({ nothing: 1 });
    await full.expectRefusal("bad_message");
    await leaveAll([bare, full]);
  }));

test("data goes to rung 1, unread, and never to rung 0", limit(10), withServer(TWO, async (server) => {
  const bare = await Member.join(server);
  const full = await Member.join(server, "lobby", { query: "?fields=full" });
  const values = ["1.0", "1e400", "12345678901234567890123", '"text"', "true", "null", "[]", "{}", "-0",
    '{"a":{"b":[1,2.50,{"c":"\\u00e9 \\" \\\\ é"}]}}', `"${"d".repeat(4094)}"`];
  for (const value of values) {
    bare.sendText(`{"message":"m","username":"u","data":${value}}`);
    await bare.expectBare("u", "m");
    const got = await full.nextText();
    assert.ok(got.endsWith(`"data":${value}}`), `data ${value.slice(0, 60)} came as ${got.slice(0, 300)}`);
  }
  bare.sendText(`{"message":"m","username":"u","data":"${"d".repeat(4095)}"}`);
  await bare.expectRefusal("too_long");
  bare.sendText('{"message":"m","username":"u","data":}');
  await bare.expectRefusal("bad_json");
  await full.expectNothing("end");
  await leaveAll([bare, full]);
}));

const REFUSED = {
  bad_json: ["", " ", "hello", "[]", '[{"message":"a"}]', '"message"', "17", "null", "true", "{", '{"message":"a"',
    '{"message":"a"} x', '{"message":"a"}{"message":"b"}', '{"message":"a",}', "{'message':'a'}", '{message:"a"}',
    '{"message":"a"\u0001}', '{"message":"line\nbreak"}', '{"message":"tab\there"}', '{"message":"\\x41"}',
    '{"message":"\\u12"}', '{"message":"a","n":01}', '{"message":"a","n":NaN}', '{"message":"a","n":+1}',
    '{"message":"a","n":.5}', '{"message":"a","n":1.}', '{"message":"a","n":tru}', '\ufeff{"message":"a"}',
    '{"message":"a" "username":"b"}', `{"message":"a","deep":${"[".repeat(20000)}${"]".repeat(20000)}}`,
    "[".repeat(60000), `{"message":"a","x":${'{"x":'.repeat(9000)}1${"}".repeat(9000)}}`],
  bad_message: ["{}", '{"username":"ann"}', '{"message":""}', '{"message":null}', '{"message":1}',
    '{"message":true}', '{"message":["a"]}', '{"message":{"message":"a"}}', '{"Message":"a"}',
    '{"text":"a","username":"ann"}'],
  bad_username: ['""', '"   "', '"system"', '"  system "', '"\\u0073ystem"', "1", "null", "[]", "{}", "false",
    '"a\\u0000b"', '"a\\u0007"', '"line\\nbreak"', '"\\u007f"', '"\\u0085x\\u009f"', `"${"u".repeat(65)}"`,
    `"${"é".repeat(33)}"`].map((name) => `{"message":"a","username":${name}}`),
  too_long: [`{"message":"${"m".repeat(16385)}"}`, `{"message":"${"é".repeat(8193)}"}`,
    `{"message":"${"\u{1f600}".repeat(4097)}"}`, `{"message":"${"m".repeat(60000)}"}`],
};

for (const [code, inputs] of Object.entries(REFUSED)) {
  test(`refused with ${code}, to the sender alone, the socket stays`, limit(30),
    withServer(TWO, async (server) => {
      const witness = await Member.join(server);
      for (const input of inputs) {
        // A connection each, so that "over and over" is another test's matter.
        const sender = await Member.join(server);
        try {
          sender.sendText(input);
          await sender.expectRefusal(code);
          sender.say("still here", { username: "sender" });
          await sender.expectBare("sender", "still here");
          await witness.expectBare("sender", "still here");
        } catch (error) {
          error.message = `input ${JSON.stringify(input).slice(0, 120)}: ${error.message}`;
          throw error;
        }
        sender.socket.terminate();
      }
      await witness.leave();
    }));
}

test("what JSON allows is understood", limit(20), withServer(TWO, async (server) => {
  const one = await Member.join(server, "lobby", { query: "?username=u" });
  const inputs = [
    ['{"message":"a"}', "a"],
    [' \t\r\n{ "message" \n: "a" } \n', "a"],
    ['{"x":[1,-2.5e+10,{"y":null}],"message":"a","z":"\\"}"}', "a"],
    ['{"\\u006dessage":"escaped key"}', "escaped key"],
    ['{"message":"first","message":"last"}', "last"],
    ['{"message":"\\"\\\\\\/\\b\\f\\n\\r\\t"}', '"\\/\b\f\n\r\t'],
    ['{"message":" "}', " "],
    ['{"message":"  kept  "}', "  kept  "],
    ['{"message":"\\u0000"}', "\0"],
    ['{"message":"a\\u0000b"}', "a\0b"],
    ['{"message":"\\u001f\\u007f\\u0080"}', "\u001f\u007f\u0080"],
    ['{"message":"\u007f\u0085"}', "\u007f\u0085"],
    ['{"message":"\\ud83d\\ude00"}', "\u{1f600}"],
    ['{"message":"\u{1f600}\u{1f468}\u200d\u{1f469}"}', "\u{1f600}\u{1f468}\u200d\u{1f469}"],
    ['{"message":"\u2028\u2029\ufeff\uffff"}', "\u2028\u2029\ufeff\uffff"],
    ['{"message":"</script><b>&amp;"}', "</script><b>&amp;"],
    ['{"message":"\\ud800"}', "\ufffd"],
    ['{"message":"\\udf38"}', "\ufffd"],
    ['{"message":"\\ud800\\ud800\\udc00x"}', "\ufffd\u{10000}x"],
    ['{"message":"\\udc00\\ud800"}', "\ufffd\ufffd"],
    ['{"message":"\\ud83dx\\ude00"}', "\ufffdx\ufffd"],
    ['{"message":"\\ud83d\\n"}', "\ufffd\n"],
  ];
  for (const [input, message] of inputs) {
    one.sendText(input);
    const got = await one.next();
    assert.deepEqual(got, { message, username: "u" }, input);
  }
  one.sendText('{"message":"m","username":"n\\ud800"}');
  await one.expectBare("n\ufffd", "m");
  await one.leave();
}));

test("the longest message, in bytes after decoding", limit(20), withServer(TWO, async (server) => {
  const one = await Member.join(server, "lobby", { query: "?username=u" });
  for (const value of ["m".repeat(16384), "é".repeat(8192), "\u{1f600}".repeat(4096), "\0".repeat(10000)]) {
    one.say(value);
    await one.expectBare("u", value);
  }
  one.sendText(`{"message":"${"\\u0041".repeat(10000)}"}`);
  await one.expectBare("u", "A".repeat(10000));
  await one.leave();
}));

test("frames: 64 KiB pass, a byte more is 1009, whole or in fragments", limit(20),
  withServer(TWO, async (server) => {
    const padded = (size) => {
      const frameText = '{"message":"x","username":"u","pad":""}';
      return `{"message":"x","username":"u","pad":"${"p".repeat(size - frameText.length)}"}`;
    };
    const one = await Raw.open(server.port, "/ws/chat/lobby/");
    await one.send(text(padded(65536)));
    await one.expectMessage(TEXT, '{"message":"x","username":"u"}');
    await one.send(...fragments(TEXT, padded(65536), 1000));
    await one.expectMessage(TEXT, '{"message":"x","username":"u"}');
    await one.send(text(padded(65537)));
    assert.notEqual((await one.expectFailure(1009)).reason, "");
    const two = await Raw.open(server.port, "/ws/chat/lobby/");
    await two.send(...fragments(TEXT, padded(65537), 1000).slice(0, -1), ping());
    await two.expectPong();
    await two.send(cont("p".repeat(1000)));
    await two.expectFailure(1009);
    const three = await Raw.open(server.port, "/ws/chat/lobby/");
    await three.send(text("", { length: 65537, lengthForm: 64 }));
    await three.expectFailure(1009);
  }));

test("limits set on the command line, and none with 0", limit(20), async (t) => {
  await t.test("small", withServer([...TWO, "--max-message-bytes", "100", "--max-frame-bytes", "1000"],
    async (server) => {
      const one = await Member.join(server, "lobby", { query: "?username=u" });
      one.say("m".repeat(100));
      await one.expectBare("u", "m".repeat(100));
      one.say("m".repeat(101));
      await one.expectRefusal("too_long");
      one.sendText(`{"message":"${"m".repeat(1000)}"}`);
      await one.closesWith(1009);
    }));
  await t.test("none", withServer([...TWO, "--max-message-bytes", "0", "--max-frame-bytes", "0"],
    async (server) => {
      const one = await Member.join(server, "lobby", { query: "?username=u" });
      const value = "m".repeat(300000);
      one.say(value);
      await one.expectBare("u", value);
      await one.leave();
    }));
});

test("invalid UTF-8 is 1007, a binary frame 1003, a protocol violation 1002, each with a reason",
  limit(10), withServer(TWO, async (server) => {
    const witness = await Member.join(server);
    const cases = [
      [text(Buffer.from('{"message":"\xff"}', "latin1")), 1007],
      [text(Buffer.from('{"message":"\xed\xa0\x80"}', "latin1")), 1007],
      [binary('{"message":"x"}'), 1003],
      [binary(""), 1003],
      [binary('{"mess', { fin: false }), 1003],
      [text("x", { rsv: 1 }), 1002],
      [text('{"message":"x"}', { mask: false }), 1002],
      [cont("x"), 1002],
    ];
    for (const [bytes, code] of cases) {
      const raw = await Raw.open(server.port, "/ws/chat/lobby/");
      await raw.send(bytes);
      const { reason } = await raw.expectFailure(code);
      assert.notEqual(reason, "", `reason of ${code}`);
    }
    await witness.expectNothing("nobody heard of it");
    await witness.leave();
  }));

test("whose name it is: the frame, else the URL, else a guest for the whole connection", limit(20),
  withServer(TWO, async (server) => {
    const guest = await Member.join(server);
    const names = new Set();
    for (let i = 0; i < 3; i++) {
      guest.say(`${i}`);
      names.add((await guest.next()).username);
    }
    assert.equal(names.size, 1, "a guest keeps its name");
    assert.match([...names][0], GUEST);
    guest.say("as ann", { username: "ann" });
    await guest.expectBare("ann", "as ann");
    guest.say("as guest again");
    await guest.expectBare([...names][0], "as guest again");
    guest.say("trimmed", { username: " \t ann b \n" });
    await guest.expectBare("ann b", "trimmed");
    for (const name of ["u".repeat(64), "é".repeat(32), "\u{1f600}", "a", "0", "undefined", "Systems"]) {
      guest.say("x", { username: name });
      await guest.expectBare(name, "x");
    }
    await guest.leave();
    const others = new Set();
    for (let i = 0; i < 20; i++) {
      const one = await Member.join(server, "guests");
      one.say("x");
      others.add((await one.next()).username);
      one.socket.terminate();
    }
    assert.ok(others.size > 10, "guests have different names");
    const query = { J: "J%C3%BCrgen", "a b": "a%20b", "a  b": "%20a%20%20b%20", "100%": "100%25" };
    for (const [name, encoded] of Object.entries(query)) {
      const one = await Member.join(server, "q", { query: `?x=1&username=${encoded}` });
      one.say("x");
      await one.expectBare(name === "J" ? "Jürgen" : name, "x");
      one.say("y", { username: "frame" });
      await one.expectBare("frame", "y");
      one.socket.terminate();
    }
  }));

test("a name in the URL that nobody may have is refused before it can be used", limit(10),
  withServer(TWO, async (server) => {
    for (const encoded of ["system", "%20system%20", "a%00b", "%FF", "u".repeat(65), "%0A", "System", "%E3%85%A4",
      "%D1%95%D1%83%D1%95%D1%82%D0%B5%D0%BC", "system%E2%80%8B"]) {
      const raw = await Raw.connect(server.port);
      const { rest } = await raw.upgrade(`/ws/chat/lobby/?username=${encoded}`, { expect: 400 });
      assert.equal(JSON.parse(rest.toString()).error.code, "bad_username");
      raw.destroy();
    }
  }));

test("names are what they look like", limit(20), withServer(TWO, async (server) => {
  const bare = await Member.join(server);
  const rich = await Rich.join(server, "lobby", { query: "?username=%E2%80%AEann%E2%80%8B" });
  assert.equal(rich.welcome.username, "ann");
  for (const name of ["system\u200b", "System", "SYSTEM", "ѕуѕтем", "ЅУЅТЕМ", "systеm", "ｓｙｓｔｅｍ", "\u3164", "\u202e",
    "\u200b\u2060", "\u202esystem", "s\u00adystem", "systern"]) {
    bare.say("x", { username: name });
    await bare.expectRefusal("bad_username");
    await rich.refused("bad_username", { message: "x", username: name });
  }
  const cleaned = { "ann\u200b": "ann", "\u202eann": "ann", "a\u2066n\u2069n": "ann", "\ufeffann ": "ann", "an\u3164n": "ann",
    "علی\u200cرضا": "علی\u200cرضا", "👩\u200d💻": "👩\u200d💻", "Jose\u0301": "Jose\u0301", "Анна": "Анна" };
  for (const [name, seen] of Object.entries(cleaned)) {
    bare.say("x", { username: name });
    await bare.expectBare(seen, "x");
    await rich.say("y", { username: name });
    await bare.expectBare(seen, "y");
  }
  await rich.leave();
  await bare.leave();
}));

test("the rate: a burst of 20, the rest refused, the room untouched by it", limit(20),
  withServer(["--workers", "2"], async (server) => {
    const [one, witness] = await crowd(server, "lobby", 2, { query: "?username=u" });
    const began = Date.now();
    for (let i = 0; i < 22; i++) one.say(`${i}`);
    const got = [];
    for (let i = 0; i < 22; i++) got.push(await one.next());
    const spare = Math.ceil((Date.now() - began) / 500); // 2 a second come back meanwhile
    const passed = got.filter((m) => m.username === "u");
    assert.ok(passed.length >= 20 && passed.length <= 20 + spare, `${passed.length} passed`);
    got.filter((m) => m.username !== "u").forEach((m) => refusal(m, "rate_limited"));
    assert.deepEqual(passed.slice(0, 20).map((m) => m.message), Array.from({ length: 20 }, (_, i) => `${i}`));
    for (const { message } of passed) await witness.expectBare("u", message);
    witness.say("not my rate");
    await witness.expectBare("u", "not my rate");
    await leaveAll([one, witness]);
  }));

test("the rate fills up again", limit(20), withServer(["--workers", "1", "--rate", "10"], async (server) => {
  const one = await Member.join(server, "lobby", { query: "?username=u" });
  for (let i = 0; i < 10; i++) one.say("x");
  for (let i = 0; i < 10; i++) await one.expectBare("u", "x");
  await pause(1100); // one a second
  one.say("again");
  await one.expectBare("u", "again");
  await one.leave();
}));

test("--rate 0 limits nothing", limit(20), withServer(TWO, async (server) => {
  const one = await Member.join(server, "lobby", { query: "?username=u" });
  for (let i = 0; i < 1000; i++) one.say(`${i}`);
  for (let i = 0; i < 1000; i++) await one.expectBare("u", `${i}`);
  await one.leave();
}));

test("refused input over and over closes with 1008", limit(30), async (t) => {
  await t.test("bad JSON", withServer(TWO, async (server) => {
    const one = await Member.join(server);
    for (let i = 0; i < 1000; i++) one.sendText("nonsense");
    let refusals = 0;
    const drained = (async () => {
      for (;;) refusal(await one.next(), "bad_json"), refusals++;
    })().catch((error) => assert.match(error.message, /^closed with/));
    await one.closesWith(1008);
    await drained;
    assert.ok(refusals >= 2, "not at the first offence");
    assert.ok(refusals < 1000, "and not never");
  }));
  await t.test("a flood", withServer(["--workers", "2"], async (server) => {
    const witness = await Member.join(server);
    const one = await Member.join(server);
    for (let i = 0; i < 1000; i++) one.say(`${i}`);
    await one.closesWith(1008);
    for (let i = 0; i < 20; i++) assert.equal((await witness.next()).message, `${i}`);
    await witness.leave();
  }));
});

test("now and then a mistake is forgiven", limit(20), withServer(TWO, async (server) => {
  const one = await Member.join(server, "lobby", { query: "?username=u" });
  one.sendText("nonsense");
  await one.expectRefusal("bad_json");
  for (let i = 0; i < 200; i++) one.say(`${i}`);
  for (let i = 0; i < 200; i++) await one.expectBare("u", `${i}`);
  one.sendText("{}");
  await one.expectRefusal("bad_message");
  await one.expectNothing("fine");
  await one.leave();
}));

test("rooms are equal iff their bytes are, however they are written", limit(20),
  withServer(TWO, async (server) => {
    const same = [
      ["lobby/", "lobby", "%6Cobby/", "%6c%6F%62by"],
      ["caf%C3%A9/", "caf%c3%a9"],
      ["a+b/", "a%2Bb/"],
      ["%F0%9F%98%80/", "%f0%9f%98%80"],
      ["a%20b/", "a%20b"],
      ["%25/", "%25"],
      [".../", "%2E%2E%2E"],
      ["a:@!$&'()*,;=~-._/", "a%3A%40%21%24%26%27%28%29%2A%2C%3B%3D%7E%2D%2E%5F"],
      [`${"r".repeat(128)}/`, "r".repeat(128)],
    ];
    const apart = ["Lobby/", "cafe%CC%81/", "a%20b/", "a/", "ab/", "%2520/"];
    for (const segments of same) {
      const members = await Promise.all(segments.map((s) => Raw.open(server.port, `/ws/chat/${s}`)));
      await members[0].send(text('{"message":"here","username":"u"}'));
      for (const member of members)
        await member.expectMessage(TEXT, '{"message":"here","username":"u"}')
          .catch((e) => assert.fail(`${segments}: ${e.message}`));
      for (const member of members) member.destroy();
    }
    const strangers = await Promise.all([...apart, "lobby", "caf%C3%A9", "a+b"].map(
      (s) => Raw.open(server.port, `/ws/chat/${s}`)));
    for (const [i, stranger] of strangers.entries())
      await stranger.send(text(`{"message":"${i}","username":"u"}`));
    for (const [i, stranger] of strangers.entries()) {
      await stranger.expectMessage(TEXT, `{"message":"${i}","username":"u"}`);
      assert.deepEqual(stranger.frames(), []);
      stranger.destroy();
    }
  }));

test("room names that cannot be: 400 and bad_room", limit(20), withServer(TWO, async (server) => {
  const bad = [".", "..", "%2E", "%2e%2e", "%2F", "a%2Fb", "%00", "a%00", "%1F", "%0A", "%7F", "%C2%80", "%C2%9F",
    "%FF", "%C0%AF", "%ED%A0%80", "%F4%90%80%80", "%C3", "r".repeat(129), "%C3%A9".repeat(65), "%", "%4", "%zz",
    "a%2", "%F0%9F%98"];
  for (const segment of bad) {
    for (const slash of ["", "/"]) {
      const raw = await Raw.connect(server.port);
      const { headers, rest } = await raw.upgrade(`/ws/chat/${segment}${slash}`, { expect: 400 });
      assert.match(headers["content-type"], /^application\/json/);
      const { error } = JSON.parse(rest.toString());
      assert.equal(error.code, "bad_room", segment);
      assert.ok(error.detail.length > 10);
      raw.destroy();
    }
  }
  for (const path of ["/ws/chat/", "/ws/chat//"]) {
    const raw = await Raw.connect(server.port);
    const { rest } = await raw.upgrade(path, { expect: 400 });
    assert.equal(JSON.parse(rest.toString()).error.code, "bad_room", path);
    raw.destroy();
  }
  for (const path of ["/ws/chat/a/b/", "/ws/chat/a//", "/ws/", "/ws/chatter/a/", "/WS/chat/a/"]) {
    const raw = await Raw.connect(server.port);
    const { rest, status } = await raw.upgrade(path, { expect: path.startsWith("/ws/chat/") ? 400 : 404 })
      .catch((e) => assert.fail(`${path}: ${e.message}`));
    assert.equal(JSON.parse(rest.toString()).error.code, status === 400 ? "bad_room" : "not_found");
    raw.destroy();
  }
}));

test("origins: any without --origins, else only those; the others are told so by 4003", limit(10), async (t) => {
  const knock = (server, origin) =>
    Raw.open(server.port, "/ws/chat/lobby/", { headers: origin === null ? {} : { Origin: origin } });
  const welcome = async (server, origin) => {
    const raw = await knock(server, origin);
    await raw.send(text('{"message":"in","username":"u"}'));
    await raw.expectMessage(TEXT, '{"message":"in","username":"u"}');
    await raw.closeClean();
  };
  await t.test("any", withServer(TWO, async (server) => {
    for (const origin of [null, "null", "http://localhost:3000", "https://example.org"])
      await welcome(server, origin);
  }));
  await t.test("a list", withServer([...TWO, "--origins", "https://chat.example,http://localhost:3000"],
    async (server) => {
      await welcome(server, "https://chat.example");
      await welcome(server, "http://localhost:3000");
      await welcome(server, null); // not a browser
      const witness = await Member.join(server);
      for (const origin of ["https://evil.example", "http://chat.example", "https://chat.example.evil.example",
        "https://chat.example:444", "http://localhost", "null"]) {
        // A browser sees no status of a refused handshake, so it is let in to be told (protocol.md 8).
        const raw = await knock(server, origin);
        raw.send(text('{"message":"intruder"}'));
        assert.equal(JSON.parse((await raw.message()).payload).error.code, "forbidden", origin);
        const { reason } = await raw.expectFailure(4003);
        assert.notEqual(reason, "", origin);
      }
      await witness.expectNothing("heard nobody");
      await witness.leave();
    }));
});

test("an id is never used again, not even after a restart", limit(20), async () => {
  const port = await freePort();
  const seen = new Set();
  for (let life = 0; life < 3; life++) {
    const server = await startServer(TWO, { port });
    try {
      const one = await Member.join(server, "lobby", { query: "?fields=full" });
      for (let i = 0; i < 50; i++) one.say("x");
      for (let i = 0; i < 50; i++) {
        const { id } = await one.next();
        assert.ok(!seen.has(id), `id ${id} twice`);
        seen.add(id);
      }
      await one.leave();
    } finally {
      await server.stop();
    }
  }
});

test("a room that everybody left goes on counting or starts anew, never repeats an id", limit(20),
  withServer(TWO, async (server) => {
    const ids = new Set();
    for (let i = 0; i < count(50, 20); i++) {
      const one = await Member.join(server, "again", { query: "?fields=full" });
      one.say("x");
      const { id } = await one.next();
      assert.ok(!ids.has(id), `id ${id} twice`);
      ids.add(id);
      await one.leave();
    }
    await until(ms(5000), async () => (await server.metric(/^parlor_rooms$/)) === 0, "no room without members");
  }));

test("metrics count what was said", limit(10), withServer(TWO, async (server) => {
  const members = await crowd(server, "counted", 5);
  for (let i = 0; i < 10; i++) members[0].say(`${i}`, { username: "u" });
  members[1].sendText("nonsense");
  while (!(await members[1].next()).error); // what was said may come before it
  for (const member of members.slice(2)) for (let i = 0; i < 10; i++) await member.next();
  const settled = async () => (await server.metric(/^parlor_deliveries_total$/)) === 50;
  await until(ms(5000), settled, "50 deliveries in /metrics");
  assert.equal(await server.metric(/^parlor_messages_received_total$/), 10);
  assert.equal(await server.metric(/^parlor_websockets$/), 5);
  assert.equal(await server.metric(/^parlor_rooms$/), 1);
  assert.equal(await server.metric(/^parlor_refusals_total\{.*bad_json.*\}$/), 1);
  const page = await request(server.port, "GET", "/metrics");
  assert.match(page.headers["content-type"], /^text\/plain; version=0\.0\.4/);
  await leaveAll(members);
}));
