// Users of an Express app in a chat: log in, say something, log out. docs/identity.md says how to run it.
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import express from "express";
import session from "express-session";
import { SignJWT } from "jose";

const USERS = [
  { id: "1", login: "ann", name: "Ann", password: "ann-password" },
  { id: "2", login: "bob", name: "Bob", password: "bob-password" },
];

const LOGIN = `<!doctype html><title>Log in</title><link rel="icon" href="data:,">
<form method="post"><input name="username"><input name="password" type="password"><button>Log in</button></form>`;

const CHAT = `<!doctype html><title>Chat</title><link rel="icon" href="data:,">
<ul id="log"></ul>
<form id="say"><input name="message" placeholder="Message" autocomplete="off"><button>Send</button></form>
<form method="post" action="/logout"><button>Log out</button></form>
<script src="/chat.js"></script>`;

const app = express();
app.use(express.urlencoded({ extended: false }));
app.use(session({
  secret: randomBytes(32).toString("hex"),
  resave: false,
  saveUninitialized: false,
  cookie: { sameSite: "lax" },
}));

const userOf = (request) => USERS.find((user) => user.id === request.session.userId);

app.get("/", (request, response) => {
  if (userOf(request)) response.send(CHAT);
  else response.redirect("/login");
});

app.get("/login", (_, response) => response.send(LOGIN));

app.post("/login", (request, response, next) => {
  const { username, password } = request.body;
  const user = USERS.find((one) => one.login === username && one.password === password);
  if (!user) return response.status(403).send(LOGIN);
  request.session.regenerate((error) => {
    if (error) return next(error);
    request.session.userId = user.id;
    response.redirect("/");
  });
});

app.post("/logout", (request, response, next) =>
  request.session.destroy((error) => (error ? next(error) : response.redirect("/login"))));

const secret = readFileSync(process.env.CHAT_SECRET_FILE ?? "chat.secret", "utf8").replace(/\n$/, "");

const tokenFor = (user) =>
  new SignJWT({ name: user.name })
    .setProtectedHeader({ alg: "HS256" })
    .setSubject(user.id)
    .setIssuedAt()
    .setExpirationTime("5m")
    .sign(new TextEncoder().encode(secret));

/* Who is signed in here, for the chat to believe. For the page's script alone. */
app.get("/chat-token", async (request, response) => {
  const user = userOf(request);
  response.set("Cache-Control", "no-store");
  if (user) response.json({ token: await tokenFor(user) });
  else response.sendStatus(401);
});

/* The same for nginx's auth_request, which takes the token out of the header and hands it on. */
app.get("/chat-header", async (request, response) => {
  const user = userOf(request);
  if (user) response.set("X-Chat-Token", await tokenFor(user));
  response.sendStatus(user ? 204 : 401);
});

/* And for Parlor itself (--auth-url), which asks with the cookie of whoever comes. */
app.get("/chat-auth", (request, response) => {
  const user = userOf(request);
  if (user) response.json({ user: user.id, username: user.name });
  else response.sendStatus(401);
});

app.get("/chat.js", (_, response) => response.sendFile(fileURLToPath(new URL("../chat.js", import.meta.url))));

app.listen(Number(process.env.PORT ?? 3000), "127.0.0.1");
