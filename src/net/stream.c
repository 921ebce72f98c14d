/* See stream.h. */
#include "net/stream.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"

static ssize_t sent(ssize_t n)
{
    if (n >= 0) return n;
    return errno == EAGAIN || errno == EINTR ? 0 : ERR_IO;
}

ssize_t stream_recv(struct stream *s, void *data, size_t len)
{
    ssize_t n = recv(s->io.fd, data, len, MSG_DONTWAIT);
    if (n >= 0) return n;
    return errno == EAGAIN || errno == EINTR ? ERR_AGAIN : ERR_IO;
}

ssize_t stream_send(struct stream *s, const void *data, size_t len)
{
    return sent(send(s->io.fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT));
}

/* Of one piece send is cheaper. */
ssize_t stream_sendv(struct stream *s, const struct iovec *iov, int n)
{
    if (n == 1) return stream_send(s, iov->iov_base, iov->iov_len);
    struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
    return sent(sendmsg(s->io.fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT));
}

void stream_shut(struct stream *s)
{
    shutdown(s->io.fd, SHUT_WR);
}

void stream_close(struct stream *s)
{
    close(s->io.fd);
    s->io.fd = -1;
}

uint32_t stream_wants(const struct stream *s, bool to_read, bool to_write)
{
    (void)s;
    return (to_read ? EPOLLIN : 0U) | (to_write ? EPOLLOUT : 0U);
}

bool stream_has_input(const struct stream *s)
{
    char byte;
    return recv(s->io.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}
