/* pytorch.c - runs bench/peers/pytorch/bench_mlp.py and puts its times beside the rows of the same name.
 * In: $SWAGE_PEER_PYTHON, or bench/peers/.venv of the source tree. Out: peers of rows; "absent" or the error where there is none.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench/bench.h"

#define SCRIPT "bench/peers/pytorch/bench_mlp.py"
#define PYTHON "bench/peers/.venv/bin/python3"

/* Standard output of `python SCRIPT --threads N`; its messages go where ours go. */
static swg_status run_script(swg__bench *b, const char *python, int threads, swg__text *out) {
    char count[16], buffer[4096];
    int ends[2];
    snprintf(count, sizeof count, "%d", threads);
    if (pipe(ends) != 0)
        return swg__fail(b->ctx, SWG_EIO, "bench: no pipe to a child process");
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execlp(python, python, SCRIPT, "--threads", count, b->opts.quick ? "--quick" : (char *)NULL, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    for (ssize_t n; child > 0 && (n = read(ends[0], buffer, sizeof buffer)) > 0;)
        swg__text_add(out, buffer, (size_t)n);
    close(ends[0]);
    int status = -1;
    if (child > 0)
        waitpid(child, &status, 0);
    if (out->failed)
        return swg__fail_memory(b->ctx, out->length, "a peer's output");
    return SWG_OK;
}

static double number(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static const char *string(const cJSON *object, const char *key) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
    return text ? text : "";
}

/* Of several variants the fastest is quoted. */
static void add_row(swg__bench *b, const cJSON *found) {
    for (int i = 0; i < b->row_count; i++) {
        swg__row *row = &b->rows[i];
        if (strcmp(row->work.id, string(found, "workload")) != 0 || row->threads != (int)number(found, "threads") || *row->failure)
            continue;
        int at = 0;
        while (at < row->peer_count && strcmp(row->peers[at].name, "PyTorch") != 0)
            at++;
        if (at == SWG__PEERS || (at < row->peer_count && row->peers[at].times.median_ns <= number(found, "median_ns")))
            continue;
        swg__peer_times *peer = &row->peers[at];
        *peer = (swg__peer_times){.name = "PyTorch",
                                  .times = {.min_ns = number(found, "min_ns"), .median_ns = number(found, "median_ns"),
                                            .p95_ns = number(found, "p95_ns"), .spread = number(found, "spread"),
                                            .reps = (int64_t)number(found, "reps"), .loops = (int64_t)number(found, "loops"),
                                            .cold_ns = number(found, "cold_ms") * 1e6}};
        snprintf(peer->variant, sizeof peer->variant, "%s", string(found, "variant"));
        double ratio = peer->times.median_ns / row->times.median_ns;
        peer->ratio = (swg__ratio){ratio, ratio, ratio};
        row->peer_count = at == row->peer_count ? at + 1 : row->peer_count;
    }
}

swg_status swg__bench_pytorch(swg__bench *b, int threads) {
    swg__peer *peer = &b->peers[1];
    const char *python = getenv("SWAGE_PEER_PYTHON");
    if (!python || !*python)
        python = PYTHON;
    if (!swg__exists(SCRIPT) || (strchr(python, '/') && !swg__exists(python))) {
        snprintf(peer->version, sizeof peer->version, "absent");
        snprintf(peer->options, sizeof peer->options, "needs " SCRIPT " and %s, or SWAGE_PEER_PYTHON (`make bench-peers`)", PYTHON);
        return SWG_OK;
    }
    swg__text out;
    swg__text_init(&out, b->ctx);
    swg_status status = run_script(b, python, threads, &out);
    cJSON *root = status == SWG_OK && out.data ? cJSON_Parse(out.data) : NULL;
    if (status == SWG_OK && !root) {
        snprintf(peer->version, sizeof peer->version, "failed");
        snprintf(peer->options, sizeof peer->options, "%.80s " SCRIPT " gave no JSON; see its message", python);
    } else if (root) {
        snprintf(peer->version, sizeof peer->version, "%s", string(root, "version"));
        snprintf(peer->options, sizeof peer->options, "run after our rows; pinned; %s",
                 string(cJSON_GetObjectItemCaseSensitive(root, "options"), "cpu_capability"));
        const cJSON *row;
        cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(root, "rows")) add_row(b, row);
    }
    cJSON_Delete(root);
    swg__text_free(&out);
    return status;
}
