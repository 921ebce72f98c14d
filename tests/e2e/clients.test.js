// Clients as they are in the world, in other languages: what their libraries make of the protocol, and
// not what the RFCs would have them do. Tornado and Mojolicious keep their compression context whatever
// the handshake said.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { Member } from "./lib/chat.js";
import { withServer } from "./lib/server.js";
import { limit, ms, within } from "./lib/wait.js";

const TWO = ["--workers", "2", "--rate", "0"];
const MESSAGES = 30;
const words = (i) => `message ${i % 3}, which repeats what was said before `.repeat(1 + (i % 7));

/** Each sends the same messages, waits for each to come back, closes, and prints the close code. */
const TORNADO = `
import asyncio, json, sys
from tornado.websocket import websocket_connect
async def main(url, texts):
    ws = await websocket_connect(url, compression_options={})
    for text in texts:
        await ws.write_message(json.dumps({'message': text, 'username': 'tornado'}))
        got = await ws.read_message()
        if got is None: sys.exit('closed with %s %s' % (ws.close_code, ws.close_reason))
        assert json.loads(got)['message'] == text, got
    ws.close(1000)
    assert await ws.read_message() is None
    print('closed', ws.close_code)
asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))`;

const MOJOLICIOUS = `
use Mojo::Base -strict;
use Mojo::UserAgent;
use Mojo::JSON qw(decode_json encode_json);
my ($url, $texts) = ($ARGV[0], decode_json $ARGV[1]);
my $ua = Mojo::UserAgent->new;
$ua->websocket($url => {'Sec-WebSocket-Extensions' => 'permessage-deflate'} => sub {
  my ($ua, $tx) = @_;
  die "no WebSocket\\n" unless $tx->is_websocket;
  die "not compressed\\n" unless $tx->compressed;
  my @left = @$texts;
  my $say = sub { $tx->send({json => {message => $left[0], username => 'mojo'}}) };
  $tx->on(finish => sub { say "closed $_[1]"; Mojo::IOLoop->stop });
  $tx->on(message => sub {
    my $got = decode_json Mojo::Util::encode('UTF-8', $_[1]);
    die "not what was said\\n" unless $got->{message} eq shift @left;
    @left ? $say->() : $tx->finish(1000);
  });
  $say->();
});
Mojo::IOLoop->start;`;

async function run(command, args) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  child.stdout.on("data", (text) => (out += text));
  child.stderr.on("data", (text) => (out += text));
  const code = await within(ms(20000), new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  }), `end of ${command}`).finally(() => child.kill());
  return { code, out: out.trim() };
}

for (const [name, command, args] of [["Tornado", "/usr/bin/python3", ["-c", TORNADO]], // that of the system, which has its packages
  ["Mojolicious", "/usr/bin/perl", ["-e", MOJOLICIOUS]]]) {
  test(`${name}, with compression`, limit(40), withServer(TWO, async (server) => {
    const witness = await Member.join(server);
    const url = `ws://127.0.0.1:${server.port}/ws/chat/lobby/`;
    const texts = Array.from({ length: MESSAGES }, (_, i) => words(i));
    assert.deepEqual(await run(command, [...args, url, JSON.stringify(texts)]), { code: 0, out: "closed 1000" });
    for (const text of texts) assert.equal((await witness.next()).message, text);
    await witness.leave();
  }));
}
