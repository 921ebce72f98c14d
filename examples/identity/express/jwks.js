// Instead of a secret that both programs have: a key that only the app has, and publishes the public half of.
// In app.js, tokenFor() is this one, and `app.get("/jwks.json", (_, response) => response.json(keys))` publishes.
import { SignJWT, calculateJwkThumbprint, exportJWK, generateKeyPair } from "jose";

/* New ones at each start do: tokens live for minutes, and Parlor fetches the keys again when it meets one that it does
 * not know. An app of several processes keeps one pair for all, in a file. */
const { publicKey, privateKey } = await generateKeyPair("EdDSA");
const jwk = await exportJWK(publicKey);
const kid = await calculateJwkThumbprint(jwk);

export const keys = { keys: [{ ...jwk, kid, alg: "EdDSA", use: "sig" }] };

export const tokenFor = (user) =>
  new SignJWT({ name: user.name })
    .setProtectedHeader({ alg: "EdDSA", kid })
    .setIssuer("https://app.example.org")
    .setAudience("chat")
    .setSubject(user.id)
    .setIssuedAt()
    .setExpirationTime("5m")
    .sign(privateKey);
