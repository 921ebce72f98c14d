/* Whether who was signed in at the site still is: asked again for a living WebSocket whose sign-in
 * has no end of its own (auth/site.h). Worker's thread. */
#ifndef SERVER_RECHECK_H
#define SERVER_RECHECK_H

struct conn;

/* Asks the site about it. In the end it is closed with 4009, if the site
 * knows its user no more; or it has what the site says of the user now; or, where the site fails,
 * it is left as it is, to be asked about again in SITE_AGAIN_MS. Its identity says when the next
 * time is. The connection may be gone afterwards. */
void recheck_start(struct conn *c);

#endif
