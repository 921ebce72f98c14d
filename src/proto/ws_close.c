/* See ws_close.h. */
#include "proto/ws_close.h"

bool ws_close_code_valid(uint16_t code)
{
    if (code < 1000 || code >= 5000) return false;
    if (code >= 3000) return true;
    /* 1004 is reserved without a meaning; 1005 and 1006 say that no code was received */
    return code <= 1003 || (code >= 1007 && code <= 1014);
}
