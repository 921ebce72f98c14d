/* The session of the echo route, which is off unless an option turns it on. */
#ifndef SESSION_ECHO_H
#define SESSION_ECHO_H

#include "server/session.h"

extern const struct session_ops echo_session;

#endif
