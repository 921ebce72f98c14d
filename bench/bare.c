/* The kernel's limit: the least a single-threaded epoll server can do and still be the chat of the
 * benchmark. It exists to be compared with, so it is as lean as it can honestly be:
 *
 * - Nothing is parsed but the request line, the key and the frame header. The received text is sent
 *   on as it is: no JSON, no names, no UTF-8 check, no limits, no timers.
 * - Texts are unmasked straight into the room's buffer, behind a frame header. At the end of a turn
 *   of the loop each room with news makes one send() for each member, however many texts came in.
 * - No allocation for a message or a connection: tables are indexed by descriptor, a room's buffer
 *   and member list only grow. One read buffer for all. Level-triggered, one recv for each event.
 *   TCP_NODELAY is inherited from the listener, which saves a system call for each connection.
 * - It gives up where a real server must not: a socket that takes only part of a send, and a
 * request or frame that arrives in pieces, are closed (the generator counts every closed
 * connection).
 *
 *   bare PORT     serves ws://127.0.0.1:PORT/ws/chat/<room>/ until killed */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    FDS_MAX = 20000,
    ROOMS_MAX = 4096, /* a power of two; rooms stay until the end */
    NAME_MAX_LEN = 64,
    EVENTS_MAX = 1024,
    READ_BYTES = 64 * 1024,
    ACCEPTS_MAX = 256, /* in one turn */
    HEADER_MAX = 4,    /* of a frame of less than 64 KiB */
};

struct room {
    char name[NAME_MAX_LEN];
    int *members;
    uint32_t count, cap;
    uint8_t *news; /* frames to send at the end of the turn */
    size_t news_len, news_cap;
};

struct conn {
    uint16_t room;  /* index + 1; 0 before the handshake */
    uint32_t place; /* in the room's members */
};

struct server {
    int epfd;
    int listener;
    struct conn conns[FDS_MAX];
    struct room rooms[ROOMS_MAX]; /* open addressing by name */
    uint16_t dirty[ROOMS_MAX];
    unsigned dirty_count;
    uint8_t input[READ_BYTES];
};

static void close_conn(struct server *s, int fd)
{
    struct conn *c = &s->conns[fd];
    if (c->room) {
        struct room *r = &s->rooms[c->room - 1];
        int last = r->members[--r->count];
        r->members[c->place] = last;
        s->conns[last].place = c->place;
        c->room = 0;
    }
    close(fd);
}

static void *grow(void *ptr, size_t bytes)
{
    void *grown = realloc(ptr, bytes);
    if (!grown) abort();
    return grown;
}

/* The room of that name, made on first use. */
static unsigned room_index(struct server *s, const char *name, size_t len)
{
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)name[i]) * 16777619U;
    unsigned i = hash & (ROOMS_MAX - 1);
    for (unsigned tries = 0; tries < ROOMS_MAX; tries++, i = (i + 1) & (ROOMS_MAX - 1)) {
        struct room *r = &s->rooms[i];
        if (!r->name[0]) memcpy(r->name, name, len);
        if (strncmp(r->name, name, len) == 0 && !r->name[len]) return i;
    }
    abort();
}

static void join(struct server *s, int fd, unsigned index)
{
    struct room *r = &s->rooms[index];
    if (r->count == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 4;
        r->members = grow(r->members, r->cap * sizeof *r->members);
    }
    s->conns[fd] = (struct conn){.room = (uint16_t)(index + 1), .place = r->count};
    r->members[r->count++] = fd;
}

/* True if the request was whole and is answered. */
static bool shake_hands(struct server *s, int fd, const char *head, size_t len)
{
    static const char path[] = "GET /ws/chat/", key_name[] = "Sec-WebSocket-Key: ";
    const char *name = head + sizeof path - 1;
    if (len < 64 || memcmp(head + len - 4, "\r\n\r\n", 4) != 0) return false;
    if (memcmp(head, path, sizeof path - 1) != 0) return false;
    const char *slash =
        memchr(name, '/', NAME_MAX_LEN - 1 < len - 13 ? NAME_MAX_LEN - 1 : len - 13);
    const char *key = memmem(head, len, key_name, sizeof key_name - 1);
    if (!slash || slash == name || !key) return false;
    key += sizeof key_name - 1;
    if ((size_t)(head + len - key) < 24) return false;

    char text[24 + 36];
    uint8_t digest[SHA_DIGEST_LENGTH], accept[29];
    memcpy(text, key, 24);
    memcpy(text + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    SHA1((const uint8_t *)text, sizeof text, digest);
    EVP_EncodeBlock(accept, digest, sizeof digest);

    char reply[160];
    int n = snprintf(reply, sizeof reply,
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                     accept);
    if (send(fd, reply, (size_t)n, MSG_NOSIGNAL) != n) return false;
    join(s, fd, room_index(s, name, (size_t)(slash - name)));
    return true;
}

/* Appends one text frame to the room's news, unmasked on the way. */
static void publish(struct server *s, unsigned index, const uint8_t *in, size_t len,
                    const uint8_t *mask)
{
    struct room *r = &s->rooms[index];
    if (r->news_len == 0) s->dirty[s->dirty_count++] = (uint16_t)index;
    if (r->news_len + HEADER_MAX + len > r->news_cap) {
        r->news_cap = (r->news_len + HEADER_MAX + len) * 2;
        r->news = grow(r->news, r->news_cap);
    }
    uint8_t *out = r->news + r->news_len;
    *out++ = 0x81;
    if (len < 126) {
        *out++ = (uint8_t)len;
    } else {
        *out++ = 126;
        *out++ = (uint8_t)(len >> 8);
        *out++ = (uint8_t)len;
    }
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(in[i] ^ mask[i & 3]);
    r->news_len = (size_t)(out + len - r->news);
}

/* True if the bytes were whole masked text or pong frames. */
static bool take_frames(struct server *s, int fd, const uint8_t *in, size_t len)
{
    while (len) {
        if (len < 6 || !(in[1] & 0x80)) return false;
        size_t size = in[1] & 127, header = 6;
        if (size == 126 && len >= 8) {
            size = (size_t)in[2] << 8 | in[3];
            header = 8;
        }
        if (size >= 126 && header == 6) return false;
        if (len < header + size) return false;
        if (in[0] == 0x81)
            publish(s, s->conns[fd].room - 1U, in + header, size, in + header - 4);
        else if (in[0] != 0x8a)
            return false;
        in += header + size;
        len -= header + size;
    }
    return true;
}

static void on_readable(struct server *s, int fd)
{
    ssize_t n = recv(fd, s->input, READ_BYTES, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    bool good = n > 0 && (s->conns[fd].room ? take_frames(s, fd, s->input, (size_t)n)
                                            : shake_hands(s, fd, (char *)s->input, (size_t)n));
    if (!good) close_conn(s, fd);
}

static void on_listener(struct server *s)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
        if (fd >= FDS_MAX || epoll_ctl(s->epfd, EPOLL_CTL_ADD, fd, &ev)) close(fd);
    }
}

static void flush_room(struct server *s, struct room *r)
{
    for (uint32_t i = 0; i < r->count;) {
        int fd = r->members[i];
        if (send(fd, r->news, r->news_len, MSG_NOSIGNAL) == (ssize_t)r->news_len)
            i++;
        else
            close_conn(s, fd); /* the last member takes its place */
    }
    r->news_len = 0;
}

static void loop(struct server *s)
{
    struct epoll_event events[EVENTS_MAX];
    for (;;) {
        int n = epoll_wait(s->epfd, events, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == s->listener)
                on_listener(s);
            else
                on_readable(s, events[i].data.fd);
        }
        for (unsigned i = 0; i < s->dirty_count; i++)
            flush_room(s, &s->rooms[s->dirty[i]]);
        s->dirty_count = 0;
    }
}

static int listen_on(uint16_t port)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, SOMAXCONN)) return -1;
    return fd;
}

/* Prepares to serve; -1 with errno set. */
static int server_init(struct server *s, uint16_t port)
{
    s->epfd = epoll_create1(EPOLL_CLOEXEC);
    s->listener = listen_on(port);
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = s->listener};
    if (s->epfd < 0 || s->listener < 0) return -1;
    return epoll_ctl(s->epfd, EPOLL_CTL_ADD, s->listener, &ev);
}

int main(int argc, char **argv)
{
    long port = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
    if (port < 1 || port > 65535) {
        fprintf(stderr, "usage: bare PORT\n");
        return 2;
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    struct server *s = calloc(1, sizeof *s);
    if (s && server_init(s, (uint16_t)port) == 0) loop(s);
    perror("bare");
    free(s);
    return 1;
}
