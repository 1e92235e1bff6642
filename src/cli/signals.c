/* signals.c - turns the first SIGINT, SIGTERM or SIGUSR1 into a flag, so that long work can stop at a good place.
 * In: signals. Out: one flag. A handler can only reach a global: this is the one variable of the program that is not constant.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "cli/cli.h"

static volatile sig_atomic_t caught;

static void on_signal(int number) { caught = number; }

void cli_signals_catch(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGUSR1};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = (int)(SA_RESETHAND | SA_RESTART); /* whoever asks twice does not want to wait */
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaction(numbers[i], &action, NULL);
}

const volatile sig_atomic_t *cli_signal_flag(void) { return &caught; }
