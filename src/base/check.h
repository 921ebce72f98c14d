/* Invariant checks. CHECK stays on in every build: a broken invariant in a chat server is a lost or
 * misrouted message, and stopping is the honest answer. DCHECK costs too much for release builds.
 * Neither is ever applied to input: a peer must not be able to stop the process. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

/* Prints the failed condition with its place and aborts. Never returns. Any thread. */
_Noreturn void check_failed(const char *cond, const char *file, int line);

#define CHECK(cond) ((cond) ? (void)0 : check_failed(#cond, __FILE__, __LINE__))

#ifdef PARLOR_DEBUG
#define DCHECK(cond) CHECK(cond)
#else
#define DCHECK(cond) ((void)sizeof(!(cond)))
#endif

#endif
