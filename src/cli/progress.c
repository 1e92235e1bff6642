/* progress.c - a progress line on a terminal: rewritten in place, at most ten times a second, cut to the terminal's width.
 * In: formatted text. Out: bytes on a terminal; nothing where there is none.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "cli/cli.h"
#include "base.h"

enum { INTERVAL_NS = 100000000, MOST = 400 };

/* Whole or not at all does not matter here: a line that is lost comes again. */
static void put(const cli_progress *p, const char *bytes, size_t length) {
    while (length) {
        ssize_t n = write(p->fd, bytes, length);
        if (n <= 0)
            return;
        bytes += n;
        length -= (size_t)n;
    }
}

void cli_progress_open(cli_progress *p, int fd) { *p = (cli_progress){.fd = fd, .terminal = isatty(fd) == 1}; }

void cli_progress_show(cli_progress *p, const char *format, ...) {
    int64_t now = swg__now_ns();
    if (!p->terminal || (p->shown && now - p->last_ns < INTERVAL_NS))
        return;
    char line[MOST + 16] = "\r";
    struct winsize size;
    va_list args;
    va_start(args, format);
    vsnprintf(line + 1, MOST, format, args);
    va_end(args);
    size_t length = strlen(line);
    if (ioctl(p->fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 && length > size.ws_col)
        length = size.ws_col; /* "\r" and one column less than there are, so that nothing wraps */
    memcpy(line + length, "\x1b[K", 3); /* wipe what a longer line before has left */
    put(p, line, length + 3);
    p->shown = true;
    p->last_ns = now;
}

void cli_progress_close(cli_progress *p) {
    if (p->shown)
        put(p, "\r\x1b[K", 4);
    p->shown = false;
}
