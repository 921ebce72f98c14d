#!/usr/bin/python3
"""Makes tokens.json beside it, for test_jwt.c: tokens by PyJWT and by jose, and the keys to verify
them with. Needs python3-jwt, python3-cryptography, node, and `npm install jose` in the directory given:

    tests/unit/data/make_tokens.py DIR

The keys are for tests alone. Private keys are made anew, and are gone when the script ends.
"""
import json
import pathlib
import subprocess
import sys

import cryptography
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519

HERE = pathlib.Path(__file__).parent
NOW = 1700000000
SECRET = "for tests alone: 64 bytes and more, as HS512 wants a key as long."
RSA_ALGS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]


def rsa_key(bits, e=65537):
    return rsa.generate_private_key(e, bits)


def ec_key(curve):
    return ec.generate_private_key(curve)


keys = {
    "rsa2048": (rsa_key(2048), RSA_ALGS),
    "rsa4096": (rsa_key(4096), RSA_ALGS),
    "rsa-e3": (rsa_key(2048, 3), ["RS256"]),
    "p256": (ec_key(ec.SECP256R1()), ["ES256"]),
    "p384": (ec_key(ec.SECP384R1()), ["ES384"]),
    "p521": (ec_key(ec.SECP521R1()), ["ES512"]),
    "ed25519": (ed25519.Ed25519PrivateKey.generate(), ["EdDSA"]),
}
refused = {
    "rsa1024": rsa_key(1024),
    "rsa2040": rsa_key(2040),
    "rsa4104": rsa_key(4104),
    "secp256k1": ec_key(ec.SECP256K1()),
    "p192": ec_key(ec.SECP192R1()),
    "ed448": ed448.Ed448PrivateKey.generate(),
    "x25519": x25519.X25519PrivateKey.generate(),
    "dsa": dsa.generate_private_key(2048),
}


def public_pem(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def private_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def claims(by):
    return {
        "iss": "https://issuer.example",
        "aud": ["parlor", "mail"],
        "sub": "auth0|" + by,
        "name": "Zo\u00eb \u5c71\u7530 \U0001f600",
        "iat": NOW - 10,
        "nbf": NOW - 10,
        "exp": NOW + 3600,
        "jti": "8f3c",
        "sid": "s-1",
        "parlor": {"rooms": {"lobby": "write", "team-*": "own"}},
    }


def by_pyjwt():
    def token(name, alg, key):
        text = jwt.encode(claims("PyJWT"), key, alg, headers={"kid": name})
        return {"by": "PyJWT", "key": name, "alg": alg, "token": text}

    for alg in ["HS256", "HS384", "HS512"]:
        yield token("secret", alg, SECRET)
    for name, (key, algs) in keys.items():
        for alg in algs:
            yield token(name, alg, key)


def by_jose(directory):
    task = {
        "secret": SECRET,
        "claims": claims("jose"),
        "keys": [
            {"name": n, "algs": a, "private": private_pem(k), "public": public_pem(k)}
            for n, (k, a) in keys.items()
        ],
    }
    run = subprocess.run(
        ["node", str(HERE / "make_tokens_jose.mjs"), directory],
        input=json.dumps(task),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return json.loads(run.stdout)


def pss_only():
    """A key whose own algorithm is RSASSA-PSS (RFC 4055): not what JWA means by PS256."""
    private = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"],
        capture_output=True,
        check=True,
    ).stdout
    return subprocess.run(
        ["openssl", "pkey", "-pubout"], input=private, capture_output=True, check=True
    ).stdout.decode()


jose = by_jose(sys.argv[1])
out = {
    "made_by": [
        f"PyJWT {jwt.__version__}, cryptography {cryptography.__version__}",
        f"jose {jose['version']}",
    ],
    "now": NOW,
    "secret": SECRET,
    "pem": {n: public_pem(k) for n, (k, _) in keys.items()},
    "jwks": {"keys": jose["keys"]},
    "refused": {n: public_pem(k) for n, k in refused.items()} | {"rsa-pss": pss_only()},
    "rsa1024": json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(refused["rsa1024"].public_key())),
    "tokens": list(by_pyjwt()) + jose["tokens"],
}
(HERE / "tokens.json").write_text(json.dumps(out, indent=1) + "\n")
