/* Intrusive doubly linked list with a sentinel: linking and unlinking never allocate and never
 * fail, which is what closing a connection needs. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *prev;
    struct list *next;
};

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Makes an empty list, or an unlinked node. */
static inline void list_init(struct list *l)
{
    l->prev = l;
    l->next = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

/* Links an unlinked node at the end. */
static inline void list_push(struct list *l, struct list *node)
{
    node->prev = l->prev;
    node->next = l;
    l->prev->next = node;
    l->prev = node;
}

/* Unlinks; harmless on a node that is not linked. */
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* A link of a singly linked chain that ends with NULL. */
struct slink {
    struct slink *next;
};

#endif
