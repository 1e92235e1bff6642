/* kan_peer.c - PyTorch beside the KAN rows: one process that is timed call by call, another whose children measure memory.
 * In: $SWAGE_PEER_PYTHON, or bench/peers/.venv of the source tree, and bench/peers/pytorch/kan_bench.py. SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>
#include "bench/kan.h"

#define SCRIPT SWG__PEERS_FOLDER "pytorch/kan_bench.py"

bool swg__kan_peer_there(const swg__kan_bench *b) { return b->talk.fd >= 0; }

static double number(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static const char *string(const cJSON *object, const char *key) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
    return text ? text : "";
}

static bool start(swg__kan_bench *b, swg__talk *talk, const char *python, const char *how) {
    char threads[16];
    snprintf(threads, sizeof threads, "%d", b->team.threads);
    const char *arguments[] = {python, SCRIPT, how, "--threads", threads, NULL};
    cJSON *about = swg__talk_start(talk, arguments, &b->cpus) ? swg__talk_hear(talk, b->opts.stop) : NULL;
    snprintf(b->peer_version, sizeof b->peer_version, "%s", about ? string(about, "version") : "failed");
    snprintf(b->peer_options, sizeof b->peer_options, "%s", about ? string(about, "options") : SCRIPT " did not start; see its message");
    cJSON_Delete(about);
    if (!about)
        swg__talk_end(talk);
    return about != NULL;
}

swg_status swg__kan_peer_open(swg__kan_bench *b) {
    const char *python = swg__talk_python(SCRIPT);
    if (!python) {
        snprintf(b->peer_version, sizeof b->peer_version, "absent");
        snprintf(b->peer_options, sizeof b->peer_options, "needs " SCRIPT " and " SWG__PEERS_PYTHON ", or SWAGE_PEER_PYTHON (`make bench-peers`)");
    } else if (!start(b, &b->memory, python, "--memory") || !start(b, &b->talk, python, "--serve")) {
        swg__kan_peer_close(b);
    }
    return SWG_OK;
}

void swg__kan_peer_close(swg__kan_bench *b) {
    swg__talk_end(&b->talk);
    swg__talk_end(&b->memory);
}

/* A request about `side` (may be NULL); NULL: the peer ended, or says why it cannot. */
static cJSON *ask(swg__kan_bench *b, swg__talk *talk, const char *what, int id, swg__kan_side *side, bool describe) {
    swg__text line;
    const swg__kan_task *t = &side->task;
    swg__text_init(&line, b->ctx);
    swg__text_printf(&line, "{\"do\":\"%s\",\"id\":%d", what, id);
    if (describe)
        swg__text_printf(&line, ",\"work\":\"%s\",\"form\":\"%s\",\"training\":%s,\"bf16\":%s,\"batch\":%lld,\"channels\":%lld,\"size\":%lld,\"grid\":%lld,"
                         "\"order\":%lld", swg__kan_work_name((int)t->work), side->form, t->training ? "true" : "false", t->bf16 ? "true" : "false",
                         (long long)t->batch, (long long)t->channels, (long long)t->size, (long long)t->grid, (long long)t->order);
    swg__text_puts(&line, "}\n");
    cJSON *answer = !line.failed && swg__talk_say(talk, line.data) ? swg__talk_hear(talk, b->opts.stop) : NULL;
    swg__text_free(&line);
    if (answer && !*string(answer, "error"))
        return answer;
    if (!answer)
        swg__talk_end(talk);
    snprintf(side->failure, sizeof side->failure, "%s", answer ? string(answer, "error") : "its process ended; out of memory?");
    cJSON_Delete(answer);
    return NULL;
}

void swg__kan_peer_prepare(swg__kan_bench *b, int id, swg__kan_side *side) {
    cJSON *memory = ask(b, &b->memory, "memory", id, side, true);
    side->measured_bytes = (int64_t)number(memory, "bytes");
    cJSON_Delete(memory);
    cJSON *ready = memory ? ask(b, &b->talk, "open", id, side, true) : NULL;
    side->times.cold_ns = number(ready, "cold_ns");
    side->parameters = number(ready, "parameters");
    side->error = number(ready, "error_found");
    cJSON_Delete(ready);
}

double swg__kan_peer_call(swg__kan_bench *b, int id, swg__kan_side *side) {
    cJSON *answer = ask(b, &b->talk, "run", id, side, false);
    double ns = number(answer, "ns");
    cJSON_Delete(answer);
    return ns;
}

void swg__kan_peer_release(swg__kan_bench *b, int id) {
    swg__kan_side none = {.failure = ""};
    cJSON_Delete(ask(b, &b->talk, "close", id, &none, false));
}
