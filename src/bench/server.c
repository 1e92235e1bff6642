/* server.c - one process of a peer that is timed call by call, another whose children measure memory.
 * In: $SWAGE_PEER_PYTHON, or bench/peers/.venv of the source tree, and a script there. SPDX-License-Identifier: Apache-2.0 */
#include "bench/server.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

bool swg__server_there(const swg__server *s) { return s->talk.fd >= 0; }

static double number_of(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static const char *string_of(const cJSON *object, const char *key) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
    return text ? text : "";
}

static bool start(swg__server *s, swg__talk *talk, const char *python, const char *script, const char *how, const cpu_set_t *cpus, int threads) {
    char count[16];
    snprintf(count, sizeof count, "%d", threads);
    const char *arguments[] = {python, script, how, "--threads", count, NULL};
    cJSON *about = swg__talk_start(talk, arguments, cpus) ? swg__talk_hear(talk, s->stop) : NULL;
    snprintf(s->version, sizeof s->version, "%s", about ? string_of(about, "version") : "failed");
    if (about)
        snprintf(s->options, sizeof s->options, "%s", string_of(about, "options"));
    else
        snprintf(s->options, sizeof s->options, "%s did not start; see its message", script);
    cJSON_Delete(about);
    if (!about)
        swg__talk_end(talk);
    return about != NULL;
}

void swg__server_open(swg__server *s, swg_context *ctx, const char *script, const cpu_set_t *cpus, int threads, const volatile sig_atomic_t *stop) {
    *s = (swg__server){.ctx = ctx, .stop = stop};
    swg__talk_init(&s->talk, ctx);
    swg__talk_init(&s->memory, ctx);
    const char *python = swg__talk_python(script);
    if (!python) {
        snprintf(s->version, sizeof s->version, "absent");
        snprintf(s->options, sizeof s->options, "needs %s and " SWG__PEERS_PYTHON ", or SWAGE_PEER_PYTHON (`make bench-peers`)", script);
    } else if (!start(s, &s->memory, python, script, "--memory", cpus, threads) || !start(s, &s->talk, python, script, "--serve", cpus, threads)) {
        swg__talk_end(&s->memory);
        swg__talk_end(&s->talk);
    }
}

void swg__server_close(swg__server *s) {
    swg__talk_end(&s->talk);
    swg__talk_end(&s->memory);
    swg__talk_free(&s->talk);
    swg__talk_free(&s->memory);
}

/* NULL: the peer ended, or says why it cannot. */
static cJSON *ask(swg__server *s, swg__talk *talk, const char *what, int number, const char *fields, char failure[SWG__SERVER_MESSAGE]) {
    swg__text line;
    swg__text_init(&line, s->ctx);
    swg__text_printf(&line, "{\"do\":\"%s\",\"id\":%d%s%s}\n", what, number, fields ? "," : "", fields ? fields : "");
    cJSON *answer = !line.failed && swg__talk_say(talk, line.data) ? swg__talk_hear(talk, s->stop) : NULL;
    swg__text_free(&line);
    if (answer && !*string_of(answer, "error"))
        return answer;
    if (!answer)
        swg__talk_end(talk);
    snprintf(failure, SWG__SERVER_MESSAGE, "%s", answer ? string_of(answer, "error") : "its process ended; out of memory?");
    cJSON_Delete(answer);
    return NULL;
}

void swg__server_prepare(swg__server *s, int number, const char *fields, swg__served *out, char failure[SWG__SERVER_MESSAGE]) {
    cJSON *memory = ask(s, &s->memory, "memory", number, fields, failure);
    cJSON *ready = memory ? ask(s, &s->talk, "open", number, fields, failure) : NULL;
    *out = (swg__served){.cold_ns = number_of(ready, "cold_ns"), .parameters = number_of(ready, "parameters"), .error = number_of(ready, "error_found"),
                         .measured_bytes = (int64_t)number_of(memory, "bytes")};
    cJSON_Delete(memory);
    cJSON_Delete(ready);
}

double swg__server_call(swg__server *s, int number, char failure[SWG__SERVER_MESSAGE]) {
    cJSON *answer = ask(s, &s->talk, "run", number, NULL, failure);
    double ns = number_of(answer, "ns");
    cJSON_Delete(answer);
    return ns;
}

void swg__server_release(swg__server *s, int number) {
    char ignored[SWG__SERVER_MESSAGE];
    if (swg__server_there(s))
        cJSON_Delete(ask(s, &s->talk, "close", number, NULL, ignored));
}
