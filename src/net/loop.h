/* epoll with owners: every descriptor has a slot, every event names slot and generation, so that an
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

struct loop {
    int epoll_fd;
    struct loop_slot *slots;
    uint32_t slot_count; /* ever used; loop_owner_at walks below it */
    uint32_t slot_cap;
    uint32_t free_slot;
};

/* ERR_IO with errno. */
int loop_init(struct loop *loop);
void loop_fini(struct loop *loop);

/* Watches fd for the EPOLL* events, on behalf of owner (not NULL). ERR_NOMEM, ERR_IO with errno. */
int loop_add(struct loop *loop, int fd, uint32_t events, void *owner, uint32_t *slot);

/* Changes the events of a slot. */
void loop_set(struct loop *loop, uint32_t slot, int fd, uint32_t events);

/* Frees the slot; the caller closes fd at once, which ends the watch (fd must not be duplicated).
 */
void loop_remove(struct loop *loop, uint32_t slot);

/* Waits at most timeout_ms (-1: for ever) and fetches at most max events; their number, 0 also when
 * interrupted by a signal. */
int loop_wait(struct loop *loop, int timeout_ms, struct epoll_event *events, int max);

/* The owner an event is for; NULL if it is gone since. */
void *loop_owner(const struct loop *loop, const struct epoll_event *event);

/* A name of the slot's present owner, for loop_find, whoever has it by then. */
uint64_t loop_key(const struct loop *loop, uint32_t slot);

/* The owner a key was made for; NULL if it is gone. */
void *loop_find(const struct loop *loop, uint64_t key);

/* The owner of a slot below slot_count, or NULL. */
void *loop_owner_at(const struct loop *loop, uint32_t slot);

#endif
