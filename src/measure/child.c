/* child.c - work in a process of its own: its memory is measured from zero, and what it breaks is not ours.
 * In: a function. Out: the bytes it answers.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>
#include "measure/measure.h"

/* All bytes or nothing. */
static bool transfer(int fd, void *data, size_t bytes, bool sends) {
    for (size_t done = 0; done < bytes;) {
        ssize_t n = sends ? write(fd, (char *)data + done, bytes - done) : read(fd, (char *)data + done, bytes - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

swg_status swg__child_run(swg_context *ctx, const cpu_set_t *cpus, void (*fn)(const void *arg, void *answer), const void *arg, void *answer,
                          size_t bytes, bool *heard) {
    int ends[2];
    *heard = false;
    if (pipe(ends) != 0)
        return swg__fail(ctx, SWG_EIO, "bench: no pipe to a child process");
    pid_t child = fork();
    if (child == 0) {
        sched_setaffinity(0, sizeof *cpus, cpus);
        fn(arg, answer);
        _exit(transfer(ends[1], answer, bytes, true) ? 0 : 1);
    }
    close(ends[1]);
    *heard = child > 0 && transfer(ends[0], answer, bytes, false);
    close(ends[0]);
    if (child > 0)
        waitpid(child, NULL, 0);
    return child > 0 ? SWG_OK : swg__fail(ctx, SWG_EIO, "bench: cannot start a child process");
}
