/* See store_arena.h. */
#include "store/store_arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

enum { BLOCK_BYTES = 16 << 10, ALIGN = 8 };

void *store_arena_alloc(struct store_arena *a, size_t size)
{
    if (size > SIZE_MAX / 2) return NULL;
    size = (size + ALIGN - 1) / ALIGN * ALIGN;
    if (size > a->left) {
        size_t bytes = size > BLOCK_BYTES ? size : BLOCK_BYTES;
        struct slink *block = malloc(sizeof *block + bytes);
        if (!block) return NULL;
        block->next = a->blocks;
        a->blocks = block;
        a->at = (char *)(block + 1);
        a->left = bytes;
    }
    void *out = a->at;
    a->at += size;
    a->left -= size;
    return out;
}

int store_arena_copy(struct store_arena *a, struct slice *text)
{
    if (!text->ptr) return 0;
    char *copy = store_arena_alloc(a, text->len ? text->len : 1);
    if (!copy) return ERR_NOMEM;
    if (text->len) memcpy(copy, text->ptr, text->len);
    text->ptr = copy;
    return 0;
}

void store_arena_fini(struct store_arena *a)
{
    while (a->blocks) {
        struct slink *block = a->blocks;
        a->blocks = block->next;
        free(block);
    }
    *a = (struct store_arena){NULL, NULL, 0};
}
