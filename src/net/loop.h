/* epoll: every watched descriptor has a slot, every event names slot and generation, so that an
 * event that was already fetched can never reach the next owner of a reused slot.
 *
 * One thread. Level-triggered: what is not read today is reported tomorrow, so a turn may stop
 * early at any cap without losing an event. */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop_slot;

/* A descriptor that is watched: embedded in whatever it is of. */
struct io {
    void (*on_events)(struct io *io, uint32_t events); /* EPOLL*; set before loop_add, as is fd */
    int fd;
    uint32_t slot; /* the loop's */
};

struct loop {
    int epoll_fd;
    struct loop_slot *slots;
    uint32_t slot_count; /* ever used; loop_at walks below it */
    uint32_t slot_cap;
    uint32_t free_slot;
};

/* ERR_IO with errno. */
int loop_init(struct loop *loop);
void loop_fini(struct loop *loop);

/* Watches io's fd for the EPOLL* events. Borrows io. ERR_NOMEM, ERR_IO with errno. */
int loop_add(struct loop *loop, struct io *io, uint32_t events);

/* Changes the events. */
void loop_set(struct loop *loop, const struct io *io, uint32_t events);

/* Frees the slot; the caller closes fd at once, which ends the watch (fd must not be duplicated).
 */
void loop_remove(struct loop *loop, const struct io *io);

/* Waits at most timeout_ms (-1: for ever) and fetches at most max events; their number, 0 also when
 * interrupted by a signal. */
int loop_wait(struct loop *loop, int timeout_ms, struct epoll_event *events, int max);

/* Whom an event is for; NULL if it is gone since. */
struct io *loop_owner(const struct loop *loop, const struct epoll_event *event);

/* A name of io, for loop_find, while and after it is watched. */
uint64_t loop_key(const struct loop *loop, const struct io *io);

/* The one a key was made for; NULL if it is gone. */
struct io *loop_find(const struct loop *loop, uint64_t key);

/* Who has a slot below slot_count, or NULL. */
struct io *loop_at(const struct loop *loop, uint32_t slot);

#endif
