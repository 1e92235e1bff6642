/* peers.c - other systems beside our rows: a process per peer and number of threads, asked row by row right after ours.
 * In: $SWAGE_PEER_PYTHON, or bench/peers/.venv of the source tree, and the scripts of bench/peers. Out: peers of rows; "absent" or the error
 * where there is none. SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>
#include "bench/talk.h"

/* The peers that can be asked for; oneDNN runs inside our own process. */
static const struct { const char *key, *name, *script, *option; } table[] = {
    {"pytorch", "PyTorch", SWG__PEERS_FOLDER "pytorch/bench.py", NULL},
    {"pytorch-compile", "PyTorch compiled", SWG__PEERS_FOLDER "pytorch/bench.py", "--compile"},
    {"onnxruntime", "ONNX Runtime", SWG__PEERS_FOLDER "onnxruntime/bench.py", NULL},
};
_Static_assert(sizeof table / sizeof *table == SWG__PEER_PROCESSES, "a row per process");

const char *swg__peer_key(int i) { return i >= 0 && i < SWG__PEER_PROCESSES ? table[i].key : NULL; }

static bool start_process(const swg__bench *b, swg__talk *t, const char *python, int which, int threads) {
    char count[16];
    snprintf(count, sizeof count, "%d", threads);
    const char *arguments[8] = {python, table[which].script, "--serve", "--threads", count};
    int at = 5;
    if (table[which].option)
        arguments[at++] = table[which].option;
    if (b->opts.quick)
        arguments[at++] = "--quick";
    return swg__talk_start(t, arguments, &b->cpus);
}

/* ---- rows ---- */

static double number(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static const char *string(const cJSON *object, const char *key) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
    return text ? text : "";
}

static void add_times(swg__row *row, int which, const cJSON *found) {
    if (row->peer_count == SWG__PEERS)
        return;
    swg__peer_times *peer = &row->peers[row->peer_count++];
    const char *form = string(found, "form"), *error = string(found, "error");
    *peer = (swg__peer_times){.times = {.min_ns = number(found, "min_ns"), .median_ns = number(found, "median_ns"),
                                        .p95_ns = number(found, "p95_ns"), .spread = number(found, "spread"),
                                        .reps = (int64_t)number(found, "reps"), .loops = (int64_t)number(found, "loops"),
                                        .cold_ns = number(found, "cold_ms") * 1e6}};
    snprintf(peer->name, sizeof peer->name, "%s%s%.12s", table[which].name, *form ? " " : "", form);
    snprintf(peer->variant, sizeof peer->variant, "%s", string(found, "variant"));
    snprintf(peer->failure, sizeof peer->failure, "%s", *error ? error : peer->times.median_ns > 0 ? "" : "gave no time");
    double ratio = peer->times.median_ns / row->times.median_ns;
    peer->ratio = (swg__ratio){ratio, ratio, ratio};
}

static void ask(swg__bench *b, int which, swg__talk *t, swg__row *row) {
    static const char suffix[] = "-bf16"; /* of the row's name; a peer has the work's name and the type apart */
    char line[96];
    size_t length = strlen(row->work.id), tail = strlen(suffix);
    bool bf16 = length > tail && strcmp(row->work.id + length - tail, suffix) == 0;
    snprintf(line, sizeof line, "%.*s %s\n", (int)(bf16 ? length - tail : length), row->work.id, bf16 ? "bf16" : "f32");
    cJSON *root = swg__talk_say(t, line) ? swg__talk_hear(t, b->opts.stop) : NULL;
    const cJSON *found;
    cJSON_ArrayForEach(found, cJSON_GetObjectItemCaseSensitive(root, "rows")) add_times(row, which, found);
    if (!root && !(b->opts.stop && *b->opts.stop)) {
        swg__talk_end(t);
        snprintf(b->peers[1 + which].options, sizeof b->peers[1 + which].options, "ended at %.60s; see its message", row->work.id);
    }
    cJSON_Delete(root);
}

void swg__peers_row(swg__bench *b, int team, swg__row *row) {
    for (int which = 0; b->processes && which < SWG__PEER_PROCESSES; which++) {
        swg__talk *t = &b->processes[team * SWG__PEER_PROCESSES + which];
        if (t->fd >= 0 && !*row->failure)
            ask(b, which, t, row);
    }
}

/* ---- opening and closing ---- */

static void greet(swg__bench *b, swg__talk *t, int which) {
    swg__peer *peer = &b->peers[1 + which];
    cJSON *root = t->fd >= 0 ? swg__talk_hear(t, b->opts.stop) : NULL;
    if (root) {
        snprintf(peer->version, sizeof peer->version, "%s", string(root, "version"));
        snprintf(peer->options, sizeof peer->options, "right after each of our rows; %.120s", string(root, "options"));
    } else {
        snprintf(peer->version, sizeof peer->version, "failed");
        snprintf(peer->options, sizeof peer->options, "%s did not start; see its message", table[which].script);
        swg__talk_end(t);
    }
    cJSON_Delete(root);
}

swg_status swg__peers_open(swg__bench *b) {
    for (int which = 0; which < SWG__PEER_PROCESSES; which++)
        b->peers[1 + which] = (swg__peer){.name = table[which].name, .version = "not asked"};
    b->processes = swg__calloc(b->ctx, SWG__PEER_PROCESSES * 2, sizeof *b->processes);
    if (!b->processes)
        return swg__fail_memory(b->ctx, sizeof *b->processes, "peers");
    for (int i = 0; i < SWG__PEER_PROCESSES * 2; i++)
        swg__talk_init(&b->processes[i], b->ctx);
    for (int which = 0; which < SWG__PEER_PROCESSES; which++) {
        swg__peer *peer = &b->peers[1 + which];
        if (!(b->opts.against & 1u << which))
            continue;
        const char *python = swg__talk_python(table[which].script);
        if (!python) {
            snprintf(peer->version, sizeof peer->version, "absent");
            snprintf(peer->options, sizeof peer->options, "needs %s and " SWG__PEERS_PYTHON ", or SWAGE_PEER_PYTHON (`make bench-peers`)", table[which].script);
            continue;
        }
        for (int t = 0; t < b->team_count; t++) /* all load at the same time */
            start_process(b, &b->processes[t * SWG__PEER_PROCESSES + which], python, which, b->teams[t].threads);
    }
    for (int i = 0; i < b->team_count * SWG__PEER_PROCESSES; i++)
        if (b->opts.against & 1u << i % SWG__PEER_PROCESSES && strcmp(b->peers[1 + i % SWG__PEER_PROCESSES].version, "absent") != 0)
            greet(b, &b->processes[i], i % SWG__PEER_PROCESSES);
    return SWG_OK;
}

void swg__peers_close(swg__bench *b) {
    for (int i = 0; b->processes && i < SWG__PEER_PROCESSES * 2; i++)
        swg__talk_free(&b->processes[i]);
    swg__free(b->ctx, b->processes);
    b->processes = NULL;
}
