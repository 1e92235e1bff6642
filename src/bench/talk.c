/* talk.c - a peer's process: a line to it, a line of JSON back.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench/talk.h"

enum { PATIENCE_MS = 900000, SLICE_MS = 200 }; /* compiling takes its time */

void swg__talk_init(swg__talk *t, swg_context *ctx) {
    *t = (swg__talk){.fd = -1};
    swg__text_init(&t->line, ctx);
}

bool swg__talk_start(swg__talk *t, const char *const *arguments, const cpu_set_t *cpus) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return false;
    t->pid = fork();
    if (t->pid == 0) {
        sched_setaffinity(0, sizeof *cpus, cpus);
        dup2(ends[1], STDIN_FILENO);
        dup2(ends[1], STDOUT_FILENO);
        execvp(arguments[0], (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    close(ends[1]);
    t->fd = ends[0];
    if (t->pid < 0)
        swg__talk_end(t);
    return t->fd >= 0;
}

bool swg__talk_say(const swg__talk *t, const char *line) {
    size_t length = strlen(line);
    return t->fd >= 0 && send(t->fd, line, length, MSG_NOSIGNAL) == (ssize_t)length;
}

/* The next line without its end, which stays valid until the next call; NULL: the peer ended, or said nothing for too long. */
static char *next_line(swg__talk *t, const volatile sig_atomic_t *stop, size_t *used) {
    char buffer[4096];
    for (int waited = 0; t->fd >= 0; waited += SLICE_MS) {
        char *end = t->line.data ? memchr(t->line.data, '\n', t->line.length) : NULL;
        if (end) {
            *end = 0;
            *used = (size_t)(end - t->line.data) + 1;
            return t->line.data;
        }
        if ((stop && *stop) || waited > PATIENCE_MS)
            break;
        struct pollfd ready = {.fd = t->fd, .events = POLLIN};
        if (poll(&ready, 1, SLICE_MS) <= 0)
            continue;
        ssize_t n = read(t->fd, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        swg__text_add(&t->line, buffer, (size_t)n);
        waited = 0;
        if (t->line.failed)
            break;
    }
    return NULL;
}

cJSON *swg__talk_hear(swg__talk *t, const volatile sig_atomic_t *stop) {
    size_t used = 0;
    char *line = next_line(t, stop, &used);
    cJSON *root = line ? cJSON_Parse(line) : NULL;
    if (line) {
        memmove(t->line.data, t->line.data + used, t->line.length - used);
        t->line.length -= used;
    }
    return root;
}

void swg__talk_end(swg__talk *t) {
    if (t->fd >= 0)
        close(t->fd);
    if (t->pid > 0) { /* it has nothing to lose */
        kill(t->pid, SIGTERM);
        waitpid(t->pid, NULL, 0);
    }
    t->fd = -1;
    t->pid = 0;
    t->line.length = 0;
}

void swg__talk_free(swg__talk *t) {
    swg__talk_end(t);
    swg__text_free(&t->line);
}

const char *swg__talk_python(const char *script) {
    const char *python = getenv("SWAGE_PEER_PYTHON");
    if (!python || !*python)
        python = SWG__PEERS_PYTHON;
    return swg__exists(script) && (!strchr(python, '/') || swg__exists(python)) ? python : NULL;
}
