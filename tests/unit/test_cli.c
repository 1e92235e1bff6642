/* test_cli.c - proves: arguments are sorted into options, positional arguments and overrides; the progress line stays one line,
 * comes at most ten times a second and only on a terminal; the first signal raises the flag, the second ends the program.
 * The command's files are not in the library: they are compiled into this test.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include <fcntl.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cli/args.c"
#include "cli/progress.c"
#include "cli/signals.c"

void cli_say(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

static const cli_option options[] = {
    {"bound", 'e', "BOUND", "error bound"}, {"json", 0, NULL, "JSON"}, {"threads", 0, "N", "threads"}, {NULL, 0, NULL, NULL}};
static const cli_command with_overrides = {.name = "x", .usage = "A", .help = "h", .options = options, .least = 1, .most = 2, .overrides = true};
static const cli_command without = {.name = "y", .usage = "A", .help = "h", .options = options, .least = 0, .most = -1};
static const cli_command bare = {.name = "z", .usage = "", .help = "h"};

/* argv from words; a copy, because parsing reorders it. */
static cli_parsed parse(cli *c, const cli_command *command, int count, const char *const *words) {
    static char *argv[16];
    *c = (cli){.command = command};
    for (int i = 0; i < count; i++)
        argv[i] = (char *)(uintptr_t)words[i];
    return cli_parse(c, count, argv);
}

#define PARSE(c, command, ...) \
    parse(c, command, (int)(sizeof(const char *[]){__VA_ARGS__} / sizeof(char *)), (const char *const[]){__VA_ARGS__})

static void arguments(void **state) {
    (void)state;
    cli c;
    assert_int_equal(PARSE(&c, &with_overrides, "a.b=1", "one", "-e", "abs:1", "+c=2", "two", "--threads=3", "~d", "++e.f=4", "--json"), CLI_RUN);
    assert_int_equal(c.positional_count, 2);
    assert_string_equal(c.positional[0], "one");
    assert_string_equal(c.positional[1], "two");
    assert_int_equal(c.override_count, 4);
    assert_string_equal(c.overrides[0], "a.b=1");
    assert_string_equal(c.overrides[1], "+c=2");
    assert_string_equal(c.overrides[2], "~d");
    assert_string_equal(c.overrides[3], "++e.f=4");
    assert_string_equal(cli_value(&c, "bound"), "abs:1");
    assert_true(cli_flag(&c, "json"));
    assert_null(cli_value(&c, "no-such-option"));
    int64_t threads = 7;
    assert_int_equal(cli_integer(&c, "threads", 1, 4, &threads), SWG_OK);
    assert_int_equal(threads, 3);
    assert_int_equal(cli_integer(&c, "threads", 1, 2, &threads), SWG_EUSAGE);
    assert_string_equal(c.message, "--threads 3: not an integer from 1 to 2");
    assert_int_equal(cli_integer(&c, "bound", 1, 2, &threads), SWG_EUSAGE);
    assert_int_equal(PARSE(&c, &with_overrides, "one", "-eabs:2"), CLI_RUN);
    assert_string_equal(cli_value(&c, "bound"), "abs:2");
    assert_false(cli_flag(&c, "json"));
    assert_int_equal(cli_integer(&c, "threads", 1, 2, &threads), SWG_OK);
    assert_int_equal(threads, 3); /* not given: left as it was */
    assert_int_equal(PARSE(&c, &with_overrides, "./a=b", "--", "--json"), CLI_RUN); /* a path with =, a file named --json */
    assert_int_equal(c.positional_count, 2);
    assert_string_equal(c.positional[1], "--json");
    assert_int_equal(PARSE(&c, &without, "a=b", "-", "~x"), CLI_RUN); /* no overrides here: all are names */
    assert_int_equal(c.positional_count, 3);
    assert_int_equal(PARSE(&c, &with_overrides, "one", "--help"), CLI_HELP);
    assert_int_equal(PARSE(&c, &bare, "-h"), CLI_HELP);
    assert_int_equal(PARSE(&c, &with_overrides, "a=1"), CLI_WRONG);              /* nothing but overrides */
    assert_int_equal(PARSE(&c, &with_overrides, "1", "2", "3"), CLI_WRONG);
    assert_int_equal(PARSE(&c, &with_overrides, "1", "--jsn"), CLI_WRONG);
    assert_int_equal(PARSE(&c, &with_overrides, "1", "--json=1"), CLI_WRONG);
    assert_int_equal(PARSE(&c, &with_overrides, "1", "--json", "--json"), CLI_WRONG);
    assert_int_equal(PARSE(&c, &with_overrides, "1", "--threads"), CLI_WRONG);
    assert_int_equal(PARSE(&c, &with_overrides, "1", "-q"), CLI_WRONG);
    assert_int_equal(PARSE(&c, &bare, "--json"), CLI_WRONG);
}

/* What has come out of the terminal so far. */
static size_t drain(int fd, char *out, size_t capacity) {
    ssize_t n = read(fd, out, capacity - 1);
    out[n > 0 ? n : 0] = 0;
    return n > 0 ? (size_t)n : 0;
}

static void progress(void **state) {
    (void)state;
    int master, slave;
    char seen[4096];
    struct winsize size = {.ws_row = 24, .ws_col = 20};
    assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
    assert_int_equal(fcntl(master, F_SETFL, O_NONBLOCK), 0);
    cli_progress p;
    cli_progress_open(&p, slave);
    for (int i = 0; i < 1000; i++)
        cli_progress_show(&p, "epoch %d of many, and on and on beyond the edge", i);
    drain(master, seen, sizeof seen);
    assert_string_equal(seen, "\repoch 0 of many, an\x1b[K"); /* once, and one column less than the terminal has */
    usleep(110000);
    cli_progress_show(&p, "short");
    drain(master, seen, sizeof seen);
    assert_string_equal(seen, "\rshort\x1b[K");
    cli_progress_close(&p);
    drain(master, seen, sizeof seen);
    assert_string_equal(seen, "\r\x1b[K");
    cli_progress_close(&p);
    assert_int_equal(drain(master, seen, sizeof seen), 0);
    close(master);
    close(slave);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    cli_progress_open(&p, ends[1]);
    cli_progress_show(&p, "nobody sees this");
    cli_progress_close(&p);
    assert_int_equal(drain(ends[0], seen, sizeof seen), 0);
    close(ends[0]);
    close(ends[1]);
}

static void signals(void **state) {
    (void)state;
    static const int numbers[] = {SIGINT, SIGTERM, SIGUSR1};
    for (int i = 0; i < 3; i++) {
        fflush(NULL);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            cli_signals_catch();
            raise(numbers[i]);
            if (*cli_signal_flag() != numbers[i])
                _exit(1);
            raise(numbers[i]); /* the second one is not caught */
            _exit(2);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), numbers[i]);
    }
    assert_int_equal(*cli_signal_flag(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments),
        cmocka_unit_test(progress),
        cmocka_unit_test(signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
