// The half of make_tokens.py that jose does: public keys as JWKs, and tokens. Reads the task from
// stdin, writes the answer to stdout.
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';

const require = createRequire(`${resolve(process.argv[2])}/`);
const jose = require('jose');
const { version } = require('jose/package.json');
const task = JSON.parse(readFileSync(0, 'utf8'));
const keys = [];
const tokens = [];

async function sign(name, alg, key) {
    const header = { alg, kid: name, typ: 'at+jwt' };
    const token = await new jose.SignJWT(task.claims).setProtectedHeader(header).sign(key);
    tokens.push({ by: 'jose', key: name, alg, token });
}

for (const alg of ['HS256', 'HS384', 'HS512'])
    await sign('secret', alg, new TextEncoder().encode(task.secret));
for (const { name, algs, private: secret, public: pem } of task.keys) {
    const jwk = await jose.exportJWK(createPublicKey(pem));
    keys.push({ ...jwk, kid: name, use: 'sig' });
    for (const alg of algs) await sign(name, alg, createPrivateKey(secret));
}
process.stdout.write(JSON.stringify({ version, keys, tokens }));
