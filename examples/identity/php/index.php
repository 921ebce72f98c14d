<?php
// Users of a PHP site in a chat: log in, say something, log out. docs/identity.md says how to run it.
declare(strict_types=1);

const USERS = [
    ['id' => '1', 'login' => 'ann', 'name' => 'Ann', 'password' => 'ann-password'],
    ['id' => '2', 'login' => 'bob', 'name' => 'Bob', 'password' => 'bob-password'],
];

const LOGIN = <<<'HTML'
    <!doctype html><title>Log in</title><link rel="icon" href="data:,">
    <form method="post"><input name="username"><input name="password" type="password"><button>Log in</button></form>
    HTML;

const CHAT = <<<'HTML'
    <!doctype html><title>Chat</title><link rel="icon" href="data:,">
    <ul id="log"></ul>
    <form id="say"><input name="message" placeholder="Message" autocomplete="off"><button>Send</button></form>
    <form method="post" action="/logout"><button>Log out</button></form>
    <script src="/chat.js"></script>
    HTML;

function find_user(string $key, mixed $value): ?array
{
    foreach (USERS as $user)
        if ($user[$key] === $value) return $user;
    return null;
}

function current_user(): ?array
{
    return find_user('id', $_SESSION['user_id'] ?? null);
}

function go(string $path): void
{
    header("Location: $path", true, 303);
}

function log_in(): void
{
    $user = find_user('login', $_POST['username'] ?? null);
    if (!$user || $user['password'] !== ($_POST['password'] ?? null)) {
        http_response_code(403);
        echo LOGIN;
        return;
    }
    session_regenerate_id(true);
    $_SESSION['user_id'] = $user['id'];
    go('/');
}

function log_out(): void
{
    $_SESSION = [];
    session_destroy();
    go('/login');
}

/* A JWT (RFC 7519) with HS256. With Composer: firebase/php-jwt. */
function sign_token(array $claims, string $secret): string
{
    $part = fn(string $bytes) => rtrim(strtr(base64_encode($bytes), '+/', '-_'), '=');
    $input = $part('{"alg":"HS256","typ":"JWT"}') . '.' . $part(json_encode($claims, JSON_THROW_ON_ERROR));
    return $input . '.' . $part(hash_hmac('sha256', $input, $secret, true));
}

/* Who is signed in here, for the chat to believe. For the page's script alone. */
function chat_token(): void
{
    header('Cache-Control: no-store');
    $user = current_user();
    if (!$user) {
        http_response_code(401);
        return;
    }
    $secret = rtrim(file_get_contents(getenv('CHAT_SECRET_FILE') ?: 'chat.secret'), "\n");
    header('Content-Type: application/json');
    echo json_encode(['token' => sign_token(
        ['sub' => $user['id'], 'name' => $user['name'], 'iat' => time(), 'exp' => time() + 300], $secret)]);
}

/* The same for Parlor itself (--auth-url), which asks with the cookie of whoever comes. */
function chat_auth(): void
{
    $user = current_user();
    if (!$user) {
        http_response_code(401);
        return;
    }
    header('Content-Type: application/json');
    echo json_encode(['user' => $user['id'], 'username' => $user['name']]);
}

function chat_script(): void
{
    header('Content-Type: text/javascript');
    readfile(__DIR__ . '/../chat.js');
}

session_start(['cookie_httponly' => true, 'cookie_samesite' => 'Lax', 'use_strict_mode' => true]);

match ($_SERVER['REQUEST_METHOD'] . ' ' . parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    'GET /' => current_user() ? print(CHAT) : go('/login'),
    'GET /login' => print(LOGIN),
    'POST /login' => log_in(),
    'POST /logout' => log_out(),
    'GET /chat-token' => chat_token(),
    'GET /chat-auth' => chat_auth(),
    'GET /chat.js' => chat_script(),
    default => http_response_code(404),
};
