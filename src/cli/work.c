/* work.c - the context a recipe asks for: threads and instruction set are settings, too.
 * In: a command's arguments. Out: an open configuration, and the context it belongs to.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "base.h"

/* A context with what the recipe asks for; *out is NULL where the frame's will do. */
static swg_status own_context(cli *c, swg_config *config, swg_context **out) {
    bool threads = !cli_value(c, "threads") && !swg_config_is(config, "trainer.threads", "auto");
    bool isa = !cli_value(c, "isa") && !swg_config_is(config, "performance.isa", "auto");
    *out = NULL;
    if (!threads && !isa)
        return SWG_OK;
    swg_context_opts opts = {.threads = threads ? (int)swg_config_int(config, "trainer.threads") : swg_context_threads(c->ctx),
                             .isa = isa ? swg_config_string(config, "performance.isa") : swg_context_isa(c->ctx), .log = cli_log};
    swg_status status = swg_context_open(&opts, out);
    return status == SWG_EINVAL ? cli_fail(c, SWG_EUSAGE, "performance.isa=%s: this machine does not offer it", opts.isa) : status;
}

swg_status cli_open_work(cli *c, int index, swg_config **config, swg_context **own) {
    *own = NULL;
    SWG__TRY(cli_open_config(c, index, config));
    swg_status status = own_context(c, *config, own);
    if (status == SWG_OK && *own) { /* the configuration must belong to the context that works */
        swg_config_close(*config);
        *config = NULL;
        c->ctx = *own;
        status = cli_open_config(c, index, config);
    }
    return status;
}
