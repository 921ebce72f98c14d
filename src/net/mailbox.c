/* See mailbox.h. */
#include "net/mailbox.h"

#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/err.h"

static void mailbox_on_events(struct io *io, uint32_t events)
{
    struct mailbox *mb = container_of(io, struct mailbox, io);
    uint64_t count;
    (void)events;
    ssize_t n = read(mb->io.fd, &count, sizeof count);
    (void)n;
    mb->wakeups++;
}

int mailbox_init(struct mailbox *mb)
{
    atomic_init(&mb->head, NULL);
    atomic_init(&mb->asleep, false);
    mb->io.on_events = mailbox_on_events;
    mb->wakeups = 0;
    mb->io.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return mb->io.fd < 0 ? ERR_IO : 0;
}

void mailbox_fini(struct mailbox *mb)
{
    if (mb->io.fd >= 0) close(mb->io.fd);
    mb->io.fd = -1;
}

void mailbox_post(struct mailbox *mb, struct slink *link)
{
    struct slink *head = atomic_load_explicit(&mb->head, memory_order_relaxed);
    do {
        link->next = head;
    } while (!atomic_compare_exchange_weak(&mb->head, &head, link));
    if (atomic_load(&mb->asleep) && atomic_exchange(&mb->asleep, false)) mailbox_wake(mb);
}

void mailbox_wake(struct mailbox *mb)
{
    uint64_t one = 1;
    /* Fails only when the counter is full, and then the owner is woken anyway. */
    ssize_t n = write(mb->io.fd, &one, sizeof one);
    (void)n;
}

struct slink *mailbox_take(struct mailbox *mb)
{
    if (!atomic_load_explicit(&mb->head, memory_order_relaxed)) return NULL;
    struct slink *newest = atomic_exchange(&mb->head, NULL);
    struct slink *oldest = NULL;
    while (newest) {
        struct slink *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

bool mailbox_sleep(struct mailbox *mb)
{
    atomic_store(&mb->asleep, true);
    if (!atomic_load(&mb->head)) return true;
    mailbox_awake(mb);
    return false;
}

void mailbox_awake(struct mailbox *mb)
{
    atomic_store(&mb->asleep, false);
}
