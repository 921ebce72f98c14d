/* What holds for every encoder of a frame: the exact bytes, behind whatever is in the buffer
 * already; at every limit below their number, and with memory short at every allocation, the error
 * that buf_reserve gives, and a buffer that is as it was. */
#ifndef TESTS_ENCODE_CHECK_H
#define TESTS_ENCODE_CHECK_H

#include "base/buf.h"

typedef int encode_check_fn(const void *frame, struct buf *out, size_t max_bytes);

/* Fails the running test unless encode(frame) appends exactly want and keeps all of the above. */
void encode_check(encode_check_fn *encode, const void *frame, struct slice want);

#endif
