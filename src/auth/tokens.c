/* See tokens.h. */
#include "auth/tokens.h"

#include <stdlib.h>
#include <string.h>

#include "auth/claims.h"
#include "auth/identity.h"
#include "auth/jwk.h"
#include "auth/key_source.h"
#include "base/err.h"

struct tokens {
    struct key_source *keys;
    struct jwt_rules rules; /* its texts lie behind the struct */
    char texts[];
};

static struct slice copy_text(struct slice from, char *to)
{
    if (from.len) memcpy(to, from.ptr, from.len);
    return (struct slice){to, from.len};
}

struct tokens *tokens_new(struct key_source *keys, const struct jwt_rules *rules)
{
    struct tokens *t = malloc(sizeof *t + rules->issuer.len + rules->audience.len);
    if (!t) return NULL;
    t->keys = keys;
    t->rules = *rules;
    t->rules.issuer = copy_text(rules->issuer, t->texts);
    t->rules.audience = copy_text(rules->audience, t->texts + rules->issuer.len);
    return t;
}

void tokens_free(struct tokens *t)
{
    if (!t) return;
    key_source_close(t->keys);
    free(t);
}

/* By the keys that are there now. */
static int verify(struct tokens *t, struct slice token, uint64_t now_ms, struct claims **claims,
                  const char **why)
{
    struct jwk_set *keys = key_source_keys(t->keys);
    *why = err_info(ERR_NO_KEYS)->text;
    if (!keys) return ERR_NO_KEYS;
    enum jwt_result result = jwt_verify(keys, &t->rules, token, now_ms, claims);
    jwk_set_unref(keys);
    *why = jwt_result_text(result);
    if (result == JWT_OK) return 0;
    if (result == JWT_NOMEM) return ERR_NOMEM;
    return result == JWT_UNKNOWN_KEY && key_source_renew(t->keys) ? ERR_NO_KEYS : ERR_TOKEN;
}

int tokens_identify(struct tokens *t, struct slice token, uint64_t now_ms, struct identity **out,
                    const char **why)
{
    struct claims *claims;
    *out = NULL;
    *why = "no token is believed here: give jwt-secret-file, jwt-key or jwks-url";
    int err = t ? verify(t, token, now_ms, &claims, why) : ERR_TOKEN;
    if (err) return err;
    *why = "neither \"name\" nor \"sub\" of the token is fit for a name";
    err = identity_new_token(claims, out);
    if (err) claims_free(claims);
    return err == ERR_BAD_USERNAME ? ERR_TOKEN : err;
}
