/* See client.h. */
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define SUBPROTOCOL "parlor.v1"

enum {
    READ_BYTES = 256 * 1024, /* one read; what is left is read at the next turn (level-triggered) */
    REST_MAX = 128 * 1024,   /* the longest unfinished frame; chat frames are far below */
    CONTROL_MAX = 125,
    SOURCES = 8,
};

enum { OP_TEXT = 1, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

int client_net_init(struct client_net *net, int epfd, uint16_t port, uint32_t run)
{
    uint8_t nonce[16];
    if (getrandom(nonce, sizeof nonce, 0) != (ssize_t)sizeof nonce) memset(nonce, 7, sizeof nonce);
    EVP_EncodeBlock((unsigned char *)net->key, nonce, sizeof nonce);

    char text[64];
    int n = snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", net->key);
    uint8_t digest[SHA_DIGEST_LENGTH];
    SHA1((const uint8_t *)text, (size_t)n, digest);
    EVP_EncodeBlock((unsigned char *)net->accept, digest, sizeof digest);
    net->epfd = epfd;
    net->port = port;
    net->run = run;
    net->scratch = malloc(REST_MAX + READ_BYTES);
    return net->scratch ? 0 : -1;
}

void client_net_fini(struct client_net *net)
{
    free(net->scratch);
    net->scratch = NULL;
}

void client_reset(struct client *c)
{
    if (c->state != CLIENT_FREE && c->fd >= 0) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(c->fd);
    }
    free(c->rest);
    c->rest = NULL;
    c->rest_len = c->rest_cap = 0;
    c->fd = -1;
    c->state = CLIENT_FREE;
}

void client_kill(struct client_net *net, struct client *c, const char *reason)
{
    if (c->state == CLIENT_DEAD) return;
    client_reset(c);
    c->state = CLIENT_DEAD;
    net->dead++;
    if (!net->first_death[0])
        snprintf(net->first_death, sizeof net->first_death, "room %u: %s", c->room, reason);
}

int client_connect(struct client_net *net, struct client *c, uint32_t index, uint64_t now_ns)
{
    c->state = CLIENT_CONNECTING;
    c->started_ns = now_ns;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) goto out;

    int on = 1;
    struct sockaddr_in a = {.sin_family = AF_INET};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + index % SOURCES);
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(c->fd, (struct sockaddr *)&a, sizeof a)) goto out;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.sin_port = htons(net->port);
    if (connect(c->fd, (struct sockaddr *)&a, sizeof a) && errno != EINPROGRESS) goto out;

    struct epoll_event ev = {.events = EPOLLOUT, .data.u32 = index};
    if (epoll_ctl(net->epfd, EPOLL_CTL_ADD, c->fd, &ev) == 0) return 0;
out:
    client_kill(net, c, strerror(errno));
    return -1;
}

void client_send(struct client_net *net, struct client *c, const void *bytes, size_t len)
{
    ssize_t n = send(c->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n == (ssize_t)len) return;
    client_kill(net, c, n < 0 ? strerror(errno) : "the server does not read what a talker sends");
}

size_t client_frame(uint8_t *out, unsigned opcode, const void *payload, size_t len)
{
    static const uint8_t mask[4] = {0x5a, 0xc3, 0x17, 0x9e};
    const uint8_t *in = payload;
    size_t head = len < 126 ? 2 : 4;
    out[0] = (uint8_t)(0x80 | opcode);
    out[1] = (uint8_t)(0x80 | (len < 126 ? len : 126));
    out[2] = 0; /* the length in 16 bits, of which the upper half is always 0 */
    out[3] = (uint8_t)len;
    memcpy(out + head, mask, sizeof mask);
    for (size_t i = 0; i < len; i++)
        out[head + 4 + i] = (uint8_t)(in[i] ^ mask[i & 3]);
    return head + 4 + len;
}

static void send_request(struct client_net *net, struct client *c, uint32_t index)
{
    int err = 0;
    socklen_t size = sizeof err;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &size);
    if (err) {
        client_kill(net, c, strerror(err));
        return;
    }
    const char *since = net->since ? net->since[c->room] : "";
    const char *key = since[0] ? "?since=" : net->rung == CLIENT_FULL ? "?fields=full" : "";
    char head[512];
    int n = snprintf(head, sizeof head,
                     "GET /ws/chat/b%08x-%u/%s%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
                     "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
                     "Sec-WebSocket-Version: 13\r\n%s\r\n",
                     net->run, c->room, key, since, net->port, net->key,
                     net->rung == CLIENT_RICH ? "Sec-WebSocket-Protocol: " SUBPROTOCOL "\r\n" : "");
    c->state = CLIENT_SHAKING;
    struct epoll_event ev = {.events = EPOLLIN, .data.u32 = index};
    epoll_ctl(net->epfd, EPOLL_CTL_MOD, c->fd, &ev);
    client_send(net, c, head, (size_t)n);
}

/* Keeps the bytes that do not make a whole head or frame yet. */
static void keep_rest(struct client_net *net, struct client *c, const uint8_t *data, size_t len)
{
    if (len > REST_MAX) {
        client_kill(net, c, "a response head or frame is over 128 KiB");
        return;
    }
    if (len > c->rest_cap) {
        free(c->rest);
        c->rest = malloc(len);
        c->rest_cap = c->rest ? (uint32_t)len : 0;
        if (!c->rest) {
            client_kill(net, c, "out of memory");
            return;
        }
    }
    if (len) memcpy(c->rest, data, len);
    c->rest_len = (uint32_t)len;
}

static bool header_is(const char *head, size_t len, const char *name, const char *value)
{
    size_t name_len = strlen(name), value_len = strlen(value);
    for (const char *p = head, *end = head + len; p < end;) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        if (!eol) return false;
        const char *v = p + name_len;
        if (v < eol && strncasecmp(p, name, name_len) == 0 && *v == ':') {
            v++;
            while (*v == ' ')
                v++;
            return (size_t)(eol - v) >= value_len && memcmp(v, value, value_len) == 0 &&
                   (v[value_len] == '\r' || v[value_len] == '\n');
        }
        p = eol + 1;
    }
    return false;
}

/* Returns how many bytes were used: the head, or none while it is unfinished. */
static size_t take_response(struct client_net *net, struct client *c, const uint8_t *data,
                            size_t len)
{
    const uint8_t *end = memmem(data, len, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t head_len = (size_t)(end - data) + 4;
    if (len < 12 || memcmp(data, "HTTP/1.1 101", 12) != 0) {
        char line[64];
        snprintf(line, sizeof line, "handshake refused: %.*s", 24, (const char *)data);
        line[strcspn(line, "\r\n")] = 0;
        client_kill(net, c, line);
    } else if (!header_is((const char *)data, head_len, "Sec-WebSocket-Accept", net->accept)) {
        client_kill(net, c, "Sec-WebSocket-Accept is missing or wrong");
    } else if (net->rung == CLIENT_RICH &&
               !header_is((const char *)data, head_len, "Sec-WebSocket-Protocol", SUBPROTOCOL)) {
        client_kill(net, c, "the server does not speak " SUBPROTOCOL);
    } else {
        c->state = CLIENT_OPEN;
    }
    return head_len;
}

static void on_control(struct client_net *net, struct client *c, unsigned opcode,
                       const uint8_t *payload, size_t len)
{
    if (opcode == OP_PING && len <= CONTROL_MAX) {
        uint8_t pong[6 + CONTROL_MAX];
        client_send(net, c, pong, client_frame(pong, OP_PONG, payload, len));
    } else if (opcode == OP_CLOSE) {
        char text[64];
        unsigned code = len >= 2 ? (unsigned)payload[0] << 8 | payload[1] : 1005;
        snprintf(text, sizeof text, "closed by the server with %u", code);
        client_kill(net, c, text);
    } else if (opcode != OP_PONG) {
        client_kill(net, c, "a frame that is neither text nor control, or not whole");
    }
}

/* Length of the frame at data, header included; 0 while not even the header is whole. */
static uint64_t frame_size(const uint8_t *data, size_t len, size_t *header)
{
    if (len < 2) return 0;
    uint64_t payload = data[1] & 127;
    *header = payload < 126 ? 2 : payload == 126 ? 4 : 10;
    if (len < *header) return 0;
    if (*header > 2) {
        payload = 0;
        for (size_t i = 2; i < *header; i++)
            payload = payload << 8 | data[i];
    }
    return payload > REST_MAX ? UINT64_MAX : payload + *header;
}

/* Returns how many bytes of whole frames were used. */
static size_t take_frames(struct client_net *net, struct client *c, const uint8_t *data, size_t len)
{
    size_t used = 0;
    while (c->state == CLIENT_OPEN) {
        size_t header = 0;
        const uint8_t *frame = data + used;
        uint64_t size = frame_size(frame, len - used, &header);
        if (size == UINT64_MAX) client_kill(net, c, "a frame is over 128 KiB");
        if (size == 0 || size > len - used) break;
        used += size;
        if (frame[0] == (0x80 | OP_TEXT) && !(frame[1] & 0x80))
            net->on_text(net->arg, c, (const char *)frame + header, size - header);
        else
            on_control(net, c, frame[0] ^ 0x80U, frame + header, size - header);
    }
    return used;
}

static void take_bytes(struct client_net *net, struct client *c, const uint8_t *data, size_t len)
{
    size_t used = 0;
    if (c->state == CLIENT_SHAKING) used = take_response(net, c, data, len);
    if (c->state == CLIENT_OPEN) used += take_frames(net, c, data + used, len - used);
    if (c->state == CLIENT_OPEN || c->state == CLIENT_SHAKING)
        keep_rest(net, c, data + used, len - used);
}

static void on_readable(struct client_net *net, struct client *c)
{
    size_t kept = c->rest_len;
    ssize_t n = recv(c->fd, net->scratch + kept, READ_BYTES, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        client_kill(net, c, n == 0 ? "the server closed the connection" : strerror(errno));
        return;
    }
    if (kept) memcpy(net->scratch, c->rest, kept);
    take_bytes(net, c, net->scratch, kept + (size_t)n);
}

void client_on_event(struct client_net *net, struct client *c, uint32_t index)
{
    if (c->state == CLIENT_CONNECTING)
        send_request(net, c, index);
    else if (c->state == CLIENT_SHAKING || c->state == CLIENT_OPEN)
        on_readable(net, c);
}
