/* See socket.h. */
#include "net/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/ip.h"

enum { BACKLOG = 4096, DISCARD_PORT = 9 };

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool set_option(int fd, int level, int name)
{
    int on = 1;
    return setsockopt(fd, level, name, &on, sizeof on) == 0;
}

static bool socket_listen_on(int fd, const struct addrinfo *ai, bool first)
{
    if (!set_option(fd, SOL_SOCKET, SO_REUSEADDR)) return false;
    if (ai->ai_family == AF_INET6 && !set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY)) return false;
    if (!first && !set_option(fd, SOL_SOCKET, SO_REUSEPORT)) return false;
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) != 0) return false;
    if (first && !set_option(fd, SOL_SOCKET, SO_REUSEPORT)) return false;
    return set_option(fd, IPPROTO_TCP, TCP_NODELAY) && listen(fd, BACKLOG) == 0;
}

int socket_listen(const char *host, uint16_t port, bool first)
{
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    const struct addrinfo hints = {
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
        .ai_socktype = SOCK_STREAM,
    };
    struct addrinfo *ai = NULL;
    if (getaddrinfo(host, service, &hints, &ai) != 0) {
        errno = EINVAL;
        return ERR_BAD_REQUEST;
    }

    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && !socket_listen_on(fd, ai, first)) {
        int reason = errno;
        close(fd);
        errno = reason;
        fd = -1;
    }
    freeaddrinfo(ai);
    return fd < 0 ? ERR_IO : fd;
}

uint16_t socket_port(int fd)
{
    union address address = {.v6 = {0}};
    socklen_t len = sizeof address;
    if (getsockname(fd, &address.any, &len) != 0) return 0;
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

bool socket_is_loopback(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    uint8_t ip[SOCKET_IP_BYTES];
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0) return false;
    socket_ip(&address, ip);
    return ip_is_loopback(ip);
}

/* Connecting a datagram socket only looks up the route. The peers are of the ranges for
 * documentation (RFC 5737, RFC 3849), which exist nowhere, so only the default route leads to them.
 */
bool socket_outward_address(const char *host, char out[static SOCKET_TEXT_MAX])
{
    bool v6 = strcmp(host, "::") == 0;
    if (!v6 && strcmp(host, "0.0.0.0") != 0) return false;
    union address address = {.v6 = {0}};
    if (v6) {
        address.v6.sin6_family = AF_INET6;
        address.v6.sin6_port = htons(DISCARD_PORT);
        inet_pton(AF_INET6, "2001:db8::1", &address.v6.sin6_addr);
    } else {
        address.v4.sin_family = AF_INET;
        address.v4.sin_port = htons(DISCARD_PORT);
        inet_pton(AF_INET, "198.51.100.1", &address.v4.sin_addr);
    }
    socklen_t len = v6 ? sizeof address.v6 : sizeof address.v4;
    int fd = socket(address.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    bool found =
        connect(fd, &address.any, len) == 0 && getsockname(fd, &address.any, &len) == 0 &&
        inet_ntop(address.any.sa_family,
                  v6 ? (const void *)&address.v6.sin6_addr : (const void *)&address.v4.sin_addr,
                  out, SOCKET_TEXT_MAX) != NULL;
    close(fd);
    return found;
}

void socket_ip(const struct sockaddr_storage *from, uint8_t ip[static SOCKET_IP_BYTES])
{
    memset(ip, 0, SOCKET_IP_BYTES);
    if (from->ss_family == AF_INET6) {
        memcpy(ip, &((const struct sockaddr_in6 *)from)->sin6_addr, SOCKET_IP_BYTES);
    } else if (from->ss_family == AF_INET) {
        ip[10] = 0xff;
        ip[11] = 0xff;
        memcpy(ip + 12, &((const struct sockaddr_in *)from)->sin_addr, 4);
    }
}

void socket_ip_client(uint8_t ip[static SOCKET_IP_BYTES])
{
    if (!ip_is_v4(ip) && !ip_is_loopback(ip))
        memset(ip + SOCKET_IP_BYTES / 2, 0, SOCKET_IP_BYTES / 2);
}

void socket_ip_text(const uint8_t ip[static SOCKET_IP_BYTES], char out[static SOCKET_TEXT_MAX])
{
    bool v4 = ip_is_v4(ip);
    if (!inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? ip + 12 : ip, out, SOCKET_TEXT_MAX)) out[0] = '\0';
}
