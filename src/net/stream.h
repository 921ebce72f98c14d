/* The bytes of a connection, in and out, as its protocol has them: its socket, and what lies
 * between the two. Nothing lies there yet. Nobody else calls recv, send or shutdown on it. Never
 * blocks; its worker's thread. */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "net/loop.h"

struct stream {
    struct io io; /* of the socket, which is owned */
};

/* Bytes read into data; 0: the peer has ended its side. ERR_AGAIN: there is nothing yet; ERR_IO: it
 * is broken. */
ssize_t stream_recv(struct stream *s, void *data, size_t len);

/* How many bytes it took, 0 if none fits now; ERR_IO: it is broken. */
ssize_t stream_send(struct stream *s, const void *data, size_t len);
ssize_t stream_sendv(struct stream *s, const struct iovec *iov, int n);

/* Our side is done: the peer will read the end behind what was sent. */
void stream_shut(struct stream *s);

void stream_close(struct stream *s);

/* The EPOLL* events to watch io for, so that one can go on to read, or to write. */
uint32_t stream_wants(const struct stream *s, bool to_read, bool to_write);

/* True if bytes from the peer wait to be read. */
bool stream_has_input(const struct stream *s);

#endif
