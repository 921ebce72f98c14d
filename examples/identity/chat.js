// The chat in the pages of these examples: a plain WebSocket, no library, no build. The page has a list #log and a
// form #say with a field "message".
const log = document.getElementById("log");
const form = document.getElementById("say");
const byCookie = location.search === "?cookie"; // who it is does not come from the page, but from the session's cookie
let last = ""; // id of the newest message
let ws = null;

function show(text) {
  const line = document.createElement("li");
  line.textContent = text; // as text: who uses innerHTML here runs what strangers write
  log.append(line);
}

const again = () => setTimeout(connect, 500 + Math.random() * 1000);

function join(protocols) {
  ws = new WebSocket(`${location.origin.replace("http", "ws")}/ws/chat/lobby/?since=${last}`, protocols);
  ws.onmessage = (event) => {
    const { id, username, message } = JSON.parse(event.data);
    if (id) last = id;
    show(`${username}: ${message}`);
  };
  ws.onclose = ({ code }) => {
    if (code < 4000 || code > 4099) again(); // 40xx: trying again would not help, and the last line says why
  };
}

/** Each attempt asks for a token of its own: they live for minutes, and who has signed out gets none. */
async function connect() {
  if (byCookie) return join([]);
  try {
    const answer = await fetch("/chat-token");
    if (answer.status === 401) show("You have signed out.");
    else join(["parlor.bare", `bearer.${(await answer.json()).token}`]);
  } catch {
    again(); // the site is away
  }
}

form.onsubmit = (event) => {
  event.preventDefault();
  if (ws?.readyState !== WebSocket.OPEN) return;
  ws.send(JSON.stringify({ message: form.message.value }));
  form.reset();
};

connect();
