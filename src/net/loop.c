/* See loop.h. */
#include "net/loop.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"

enum { SLOTS_MIN = 64 };
static const uint32_t NO_SLOT = UINT32_MAX;

struct loop_slot {
    struct io *owner; /* NULL: free */
    uint32_t generation;
    uint32_t next_free;
};

int loop_init(struct loop *loop)
{
    *loop = (struct loop){.free_slot = NO_SLOT};
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return loop->epoll_fd < 0 ? ERR_IO : 0;
}

void loop_fini(struct loop *loop)
{
    if (loop->epoll_fd >= 0) close(loop->epoll_fd);
    free(loop->slots);
    *loop = (struct loop){.epoll_fd = -1, .free_slot = NO_SLOT};
}

static int slot_take(struct loop *loop, uint32_t *slot)
{
    if (loop->free_slot != NO_SLOT) {
        *slot = loop->free_slot;
        loop->free_slot = loop->slots[*slot].next_free;
        return 0;
    }
    if (loop->slot_count == loop->slot_cap) {
        uint32_t cap = loop->slot_cap ? loop->slot_cap * 2 : SLOTS_MIN;
        struct loop_slot *slots = realloc(loop->slots, cap * sizeof *slots);
        if (!slots) return ERR_NOMEM;
        loop->slots = slots;
        loop->slot_cap = cap;
    }
    *slot = loop->slot_count++;
    loop->slots[*slot] = (struct loop_slot){0};
    return 0;
}

static uint64_t slot_key(const struct loop *loop, uint32_t slot)
{
    return (uint64_t)loop->slots[slot].generation << 32 | slot;
}

uint64_t loop_key(const struct loop *loop, const struct io *io)
{
    return slot_key(loop, io->slot);
}

static struct epoll_event event_for(const struct loop *loop, uint32_t slot, uint32_t events)
{
    return (struct epoll_event){.events = events, .data.u64 = slot_key(loop, slot)};
}

int loop_add(struct loop *loop, struct io *io, uint32_t events)
{
    CHECK(io->on_events);
    int err = slot_take(loop, &io->slot);
    if (err) return err;
    loop->slots[io->slot].owner = io;
    struct epoll_event ev = event_for(loop, io->slot, events);
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, io->fd, &ev) == 0) return 0;
    loop_remove(loop, io);
    return ERR_IO;
}

void loop_set(struct loop *loop, const struct io *io, uint32_t events)
{
    struct epoll_event ev = event_for(loop, io->slot, events);
    int rc = epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, io->fd, &ev);
    CHECK(rc == 0);
}

void loop_remove(struct loop *loop, const struct io *io)
{
    struct loop_slot *s = &loop->slots[io->slot];
    CHECK(s->owner == io);
    s->owner = NULL;
    s->generation++;
    s->next_free = loop->free_slot;
    loop->free_slot = io->slot;
}

int loop_wait(struct loop *loop, int timeout_ms, struct epoll_event *events, int max)
{
    int n = epoll_wait(loop->epoll_fd, events, max, timeout_ms);
    return n < 0 ? 0 : n;
}

struct io *loop_find(const struct loop *loop, uint64_t key)
{
    const struct loop_slot *s = &loop->slots[(uint32_t)key];
    return s->generation == (uint32_t)(key >> 32) ? s->owner : NULL;
}

struct io *loop_owner(const struct loop *loop, const struct epoll_event *event)
{
    return loop_find(loop, event->data.u64);
}

struct io *loop_at(const struct loop *loop, uint32_t slot)
{
    return loop->slots[slot].owner;
}
