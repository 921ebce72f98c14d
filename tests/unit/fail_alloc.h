/* Makes memory run out on purpose. Tests are linked with --wrap for the four allocation functions,
 * so production code carries no hook. Allocations inside shared libraries are not counted. */
#ifndef TESTS_FAIL_ALLOC_H
#define TESTS_FAIL_ALLOC_H

/* The n-th allocation from now (0: the next) and every later one returns NULL, until
 * fail_alloc_off. */
void fail_alloc_after(long n);
void fail_alloc_off(void);

/* Blocks allocated through the wrapped functions and not freed yet. */
long fail_alloc_live(void);

#endif
