/* See sign_in.h. */
#include "session/sign_in.h"

#include "auth/identity.h"
#include "auth/policy.h"
#include "auth/tokens.h"
#include "base/err.h"
#include "net/socket.h"
#include "ops/log.h"
#include "server/conn.h"
#include "server/worker.h"

static int new_identity(const struct conn *c, const struct guest_key_holder *holder,
                        struct identity **out)
{
    const struct identity *i = c->identity;
    bool guest = identity_is_guest(i); /* else its names are not its own choice */
    const struct slice none = {NULL, 0};
    const struct slice user = {holder->user, sizeof holder->user};
    *out = identity_new_guest(user, guest ? identity_given(i) : none,
                              guest ? identity_spoken(i) : none);
    return *out ? 0 : ERR_NOMEM;
}

static int identify_guest(const struct conn *c, struct slice key, struct identity **out,
                          const char **why)
{
    struct guest_key_holder holder;
    *out = NULL;
    *why = err_info(ERR_GUEST_KEY)->text;
    int err = guest_key_verify(c->worker->server->options.guest_keys, key, &holder);
    return err ? err : new_identity(c, &holder, out);
}

static int identify(const struct conn *c, const struct credential *from, struct identity **out,
                    const char **why)
{
    const struct worker *w = c->worker;
    const struct server_options *o = &w->server->options;
    int err = from->guest ? identify_guest(c, from->text, out, why)
                          : tokens_identify(o->tokens, from->text, (uint64_t)w->wall_ms, out, why);
    if (err || !policy_is_revoked(o->policy, *out)) return err;
    identity_unref(*out);
    *out = NULL;
    *why = "the sign-in was revoked";
    return ERR_TOKEN;
}

int sign_in_identify(const struct conn *c, const struct credential *from, struct identity **out,
                     const char **why)
{
    char peer[SOCKET_TEXT_MAX];
    int err = identify(c, from, out, why);
    if (!err || err == ERR_NOMEM) return err;
    socket_ip_text(c->ip, peer);
    LOG(c->worker->server->options.log, LOG_INFO, "token_refused",
        "who came with this token, or guest's key, was not let in", LOG_STR("peer", peer),
        LOG_STR("reason", *why));
    return err;
}

int sign_in_new_guest(struct conn *c, char key[static GUEST_KEY_LEN])
{
    const struct worker *w = c->worker;
    struct guest_key_holder holder;
    struct identity *guest;
    int err =
        guest_key_make(w->server->options.guest_keys, (uint64_t)w->wall_ms / 1000, key, &holder);
    if (!err) err = new_identity(c, &holder, &guest);
    if (!err) sign_in_become(c, guest);
    return err;
}

void sign_in_become(struct conn *c, struct identity *now)
{
    identity_unref(c->identity);
    c->identity = now;
}
