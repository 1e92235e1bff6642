/* cmd_search.c - `swage search`: every combination of settings trained and measured, by processes of this machine or by Slurm.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base.h"
#include "cli/cli.h"
#include "swage/search.h"

static const cli_option options[] = {
    {"output", 'o', "FOLDER", "of the search: runs, search.csv, search.json, search.html (default: search)"},
    {"jobs", 'j', "N", "runs at the same time, each a process with its share of the threads (default: 1)"},
    {"part", 'p', "NAME", "what is measured: val (default), test, train or all"},
    {"slurm", 0, NULL, "train nothing; write FOLDER/slurm/*.sbatch, which do it as an array of jobs (-j: how many at once; --threads: processors of each, 4)"},
    {"only", 0, "I", "run I alone (0, 1, ...), as a job of an array does"},
    {"collect", 0, NULL, "train nothing; make the table of what is there"},
    CLI_RECIPES, CLI_THREADS, CLI_ISA, CLI_JSON,
    {NULL, 0, NULL, NULL},
};

enum { PATH_MOST = 2048, JOBS_MOST = 256 };

static const char *folder_of(const cli *c) { return cli_value(c, "output") ? cli_value(c, "output") : "search"; }

/* ---- the table ---- */

static const char *number(double value, const char *format, char out[24]) {
    if (isnan(value))
        return "n/a";
    snprintf(out, 24, format, value);
    return out;
}

static void print_table(const swg_search *search) {
    char a[24], b[24], d[24];
    printf("%9s %9s %11s %10s  %-11s %s\n", "PSNR dB", "bits", "blocks/s", "parameters", "front", "settings");
    for (int64_t i = 0; i < swg_search_count(search); i++) {
        const swg_search_run *r = swg_search_at(search, i);
        if (r->done)
            printf("%9s %9s %11s %10lld  %-11s %s\n", number(r->psnr_db, "%.2f", a), number(r->bits_per_value, "%.3f", b), number(r->encode_blocks_s, "%.0f", d),
                   (long long)r->parameters, r->front_ratio && r->front_speed ? "size, speed" : r->front_ratio ? "size" : r->front_speed ? "speed" : "", r->settings);
        else
            printf("%9s %9s %11s %10s  %-11s %s\n", "-", "-", "-", "-", "unfinished", r->settings);
    }
}

static swg_status print_json(cli *c) {
    char path[PATH_MOST];
    uint8_t *data;
    size_t bytes;
    snprintf(path, sizeof path, "%s/search.json", folder_of(c));
    SWG__TRY(swg__file_read(c->ctx, path, &data, &bytes));
    printf("%s\n", (const char *)data);
    swg__free(c->ctx, data);
    return SWG_OK;
}

static swg_status collect(cli *c, swg_search *search) {
    int64_t done;
    SWG__TRY(swg_search_collect(search, &done));
    SWG__TRY(swg_search_write(search));
    if (cli_flag(c, "json"))
        return print_json(c);
    print_table(search);
    printf("\n%lld of %lld runs finished; table and charts in %s/search.html\n", (long long)done, (long long)swg_search_count(search), folder_of(c));
    return SWG_OK;
}

/* ---- processes ---- */

/* The command line of one run. The strings live in `text`. */
typedef struct line {
    const char *words[400];
    char only[24], threads[24];
    int count;
} line;

static swg_status make_line(cli *c, const char *program, const char *only, const char *threads, line *l) {
    static const char *const passed[] = {"recipes", "isa", "part"};
    static const char *const flags[] = {"--recipes", "--isa", "--part"};
    if (c->override_count > 300)
        return cli_fail(c, SWG_EUSAGE, "too many settings");
    l->count = 0;
    const char *head[] = {program, "search", c->positional[0]};
    for (int i = 0; i < 3; i++)
        l->words[l->count++] = head[i];
    for (int i = 0; i < c->override_count; i++)
        l->words[l->count++] = c->overrides[i];
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        if (cli_value(c, passed[i])) {
            l->words[l->count++] = flags[i];
            l->words[l->count++] = cli_value(c, passed[i]);
        }
    const char *tail[] = {"--output", folder_of(c), "--only", only, "--threads", threads, NULL};
    for (int i = 0; i < 7; i++)
        l->words[l->count++] = tail[i];
    return SWG_OK;
}

static swg_status start(cli *c, const char *program, const swg_search_run *run, int64_t index, int64_t threads, pid_t *pid) {
    line l;
    char log[PATH_MOST];
    snprintf(l.only, sizeof l.only, "%lld", (long long)index);
    snprintf(l.threads, sizeof l.threads, "%lld", (long long)threads);
    SWG__TRY(make_line(c, program, l.only, l.threads, &l));
    snprintf(log, sizeof log, "%s/runs/%s.log", folder_of(c), run->name);
    sigset_t interrupt, before; /* held back until the child no longer has the handler of this process, whose flag its exec would lose */
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    sigprocmask(SIG_BLOCK, &interrupt, &before);
    *pid = fork();
    if (*pid != 0)
        sigprocmask(SIG_SETMASK, &before, NULL);
    if (*pid < 0)
        return cli_fail(c, SWG_EIO, "cannot start a process: %s", strerror(errno));
    /* A group of its own: a Ctrl-C of the terminal reaches a run once, by way of wait_one. Both sides set it, because either may be the first to need it. */
    setpgid(*pid, *pid);
    if (*pid > 0)
        return SWG_OK;
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* the hangup of a terminal ends this process only: its runs save, too */
    signal(SIGINT, SIG_DFL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (fd >= 0) {
        dup2(fd, 1);
        dup2(fd, 2);
    }
    execv(program, (char *const *)(uintptr_t)l.words);
    _exit(127);
}

typedef struct slot {
    pid_t pid;
    int64_t run;
} slot;

/* Waits until one of the processes has ended. A signal that came meanwhile is told to all of them, once: a second one would end them before they save. */
static void wait_one(slot *slots, int64_t jobs, bool *told, int *result, int64_t *which) {
    for (;;) {
        if (*cli_signal_flag() && !*told) {
            for (int64_t i = 0; i < jobs; i++)
                if (slots[i].pid > 0)
                    kill(slots[i].pid, SIGINT);
            *told = true;
        }
        for (int64_t i = 0; i < jobs; i++) {
            int state;
            if (slots[i].pid > 0 && waitpid(slots[i].pid, &state, WNOHANG) == slots[i].pid) {
                *result = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
                *which = i;
                return;
            }
        }
        usleep(20000);
    }
}

static swg_status run_processes(cli *c, swg_search *search, int64_t jobs) {
    slot slots[JOBS_MOST] = {{0}};
    char program[PATH_MAX], path[PATH_MOST];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n < 0)
        return cli_fail(c, SWG_EIO, "cannot find this program to start it again: %s", strerror(errno));
    program[n] = 0;
    snprintf(path, sizeof path, "%s/runs", folder_of(c));
    SWG__TRY(swg__make_folders(c->ctx, path));
    int64_t threads = swg_context_threads(c->ctx) / jobs, next = 0, busy = 0, failed = 0, first_failed = -1, done = 0;
    cli_progress progress;
    cli_progress_open(&progress, 2);
    cli_signals_catch();
    bool told = false;
    swg_status status = SWG_OK;
    for (;;) {
        while (next < swg_search_count(search) && swg_search_at(search, next)->done) {
            next++;
            done++;
        }
        if (next < swg_search_count(search) && busy < jobs && !*cli_signal_flag() && status == SWG_OK) {
            int64_t free_slot = 0;
            while (slots[free_slot].pid > 0)
                free_slot++;
            slots[free_slot].run = next;
            status = start(c, program, swg_search_at(search, next), next, threads > 0 ? threads : 1, &slots[free_slot].pid);
            busy += status == SWG_OK;
            next++;
            continue;
        }
        if (!busy)
            break;
        int result = 0;
        int64_t which = 0;
        wait_one(slots, jobs, &told, &result, &which);
        slots[which].pid = 0;
        busy--;
        done += result == 0;
        if (result != 0 && !*cli_signal_flag()) {
            failed++;
            first_failed = first_failed < 0 ? slots[which].run : first_failed;
        }
        cli_progress_show(&progress, "%lld of %lld runs finished, %lld at work, %lld failed", (long long)done, (long long)swg_search_count(search),
                          (long long)busy, (long long)failed);
    }
    cli_progress_close(&progress);
    if (*cli_signal_flag())
        return cli_fail(c, SWG_EINTERRUPTED, "interrupted; the same command goes on where it stopped");
    if (status == SWG_OK && failed)
        status = cli_fail(c, SWG_EINVAL, "%lld of %lld runs failed; the first one says why in %s/%s.log", (long long)failed, (long long)swg_search_count(search), path,
                          swg_search_at(search, first_failed)->name);
    return status;
}

/* ---- Slurm ---- */

/* 'it'\''s' */
static void quote(swg__text *out, const char *word) {
    swg__text_puts(out, " '");
    for (; *word; word++)
        swg__text_add(out, *word == '\'' ? "'\\''" : word, *word == '\'' ? 4 : 1);
    swg__text_puts(out, "'");
}

/* Where Slurm writes a log: %% is a % to it, and what its double quotes cannot hold is refused before. */
static void put_output(cli *c, swg__text *out, const char *file) {
    swg__text_puts(out, "#SBATCH --output=\"");
    for (const char *p = folder_of(c); *p; p++)
        swg__text_add(out, *p == '%' ? "%%" : p, *p == '%' ? 2 : 1);
    swg__text_printf(out, "/slurm/%s\"\nexec ", file);
}

static swg_status write_script(cli *c, const char *name, const swg__text *text) {
    char path[PATH_MOST];
    snprintf(path, sizeof path, "%s/slurm/%s", folder_of(c), name);
    return text->failed ? cli_fail(c, SWG_ENOMEM, "out of memory") : swg__file_write(c->ctx, path, text->data, text->length);
}

static void add_settings(cli *c, swg__text *out) {
    line l;
    if (make_line(c, "swage", "0", "0", &l) != SWG_OK)
        return;
    swg__text_puts(out, "\"${SWAGE:-swage}\" search");
    for (int i = 2; i < l.count - 5; i++) /* without --only, --threads and their values */
        quote(out, l.words[i]);
}

static swg_status write_slurm(cli *c, const swg_search *search, int64_t jobs) {
    char path[PATH_MOST];
    int64_t processors = 4; /* of a job */
    SWG__TRY(cli_integer(c, "threads", 1, 4096, &processors));
    if (strpbrk(folder_of(c), "\r\n\"'\\"))
        return cli_fail(c, SWG_EUSAGE, "--output %s: Slurm takes no folder with a quote, a backslash or a newline", folder_of(c));
    snprintf(path, sizeof path, "%s/slurm", folder_of(c));
    SWG__TRY(swg__make_folders(c->ctx, path));
    swg__text array, gather, submit;
    swg__text *all[] = {&array, &gather, &submit};
    for (int i = 0; i < 3; i++)
        swg__text_init(all[i], c->ctx);
    swg__text_printf(&array, "#!/bin/sh\n# One run of the search per job of the array. Submit it again to go on: a finished run ends at once.\n"
                     "#SBATCH --job-name=swage-search\n#SBATCH --array=0-%lld%%%lld\n#SBATCH --cpus-per-task=%lld\n#SBATCH --time=04:00:00\n"
                     "#SBATCH --signal=B:USR1@120\n#SBATCH --requeue\n", (long long)swg_search_count(search) - 1, (long long)jobs,
                     (long long)processors);
    put_output(c, &array, "%A_%a.log");
    add_settings(c, &array);
    swg__text_puts(&array, " --only \"$SLURM_ARRAY_TASK_ID\" --threads \"${SLURM_CPUS_PER_TASK:-1}\"\n");
    swg__text_puts(&gather, "#!/bin/sh\n# The table of all runs: search.csv, search.json, search.html.\n#SBATCH --job-name=swage-collect\n#SBATCH --time=00:10:00\n");
    put_output(c, &gather, "collect.log");
    add_settings(c, &gather);
    swg__text_puts(&gather, " --collect\n");
    swg__text_printf(&submit, "#!/bin/sh\n# Submits the runs, and the table for when they have ended.\nset -e\n");
    swg__text_puts(&submit, "runs=$(sbatch --parsable");
    snprintf(path, sizeof path, "%s/slurm/search.sbatch", folder_of(c));
    quote(&submit, path);
    swg__text_puts(&submit, ")\nsbatch --dependency=afterany:\"$runs\"");
    snprintf(path, sizeof path, "%s/slurm/collect.sbatch", folder_of(c));
    quote(&submit, path);
    swg__text_puts(&submit, "\n");
    swg_status status = write_script(c, "search.sbatch", &array);
    if (status == SWG_OK)
        status = write_script(c, "collect.sbatch", &gather);
    if (status == SWG_OK)
        status = write_script(c, "submit.sh", &submit);
    for (int i = 0; i < 3; i++)
        swg__text_free(all[i]);
    if (status == SWG_OK)
        printf("%lld runs; sh %s/slurm/submit.sh\n", (long long)swg_search_count(search), folder_of(c));
    return status;
}

/* ---- the command ---- */

static swg_status run_one(swg_search *search, int64_t index) {
    const swg_search_run *run = swg_search_at(search, index);
    cli_signals_catch();
    printf("run %lld of %lld: %s\n", (long long)index, (long long)swg_search_count(search), *run->settings ? run->settings : run->name);
    fflush(stdout);
    SWG__TRY(swg_search_execute(search, index, &(swg_train_hooks){.stop = cli_signal_flag()}));
    printf("PSNR %.3f dB, %.4f bits per value, %.0f blocks/s\n", run->psnr_db, run->bits_per_value, run->encode_blocks_s);
    return SWG_OK;
}

static swg_status work(cli *c, swg_search *search) {
    int64_t jobs = 1, only = -1;
    SWG__TRY(cli_integer(c, "jobs", 1, JOBS_MOST, &jobs));
    SWG__TRY(cli_integer(c, "only", 0, swg_search_count(search) - 1, &only));
    if (cli_flag(c, "slurm"))
        return write_slurm(c, search, jobs);
    if (only >= 0)
        return run_one(search, only);
    swg_status status = swg_search_collect(search, NULL);
    if (status == SWG_OK && !cli_flag(c, "collect"))
        status = run_processes(c, search, jobs);
    if (status == SWG_EINTERRUPTED)
        return status;
    swg_status told = collect(c, search); /* what has been found counts even if a run failed */
    return status == SWG_OK ? told : status;
}

static swg_status run(cli *c) {
    static const char *const parts[] = {"val", "test", "train", "all"};
    const char *part = cli_value(c, "part");
    bool known = !part;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        known = known || strcmp(part, parts[i]) == 0;
    if (!known)
        return cli_fail(c, SWG_EUSAGE, "--part %s: expected val, test, train or all", part);
    swg_search *search;
    SWG__TRY(swg_search_open(c->ctx, c->positional[0], &(swg_search_opts){.folder = folder_of(c), .recipes = cli_value(c, "recipes"), .part = part,
                             .settings = (const char *const *)c->overrides, .count = c->override_count}, &search));
    swg_status status = work(c, search);
    swg_search_close(search);
    return status;
}

const cli_command cli_cmd_search = {
    .name = "search",
    .usage = "RECIPE key=a,b,c [key=value ...] [-o FOLDER] [-j N]",
    .help = "train and compare every combination of settings",
    .details = "A setting with commas is varied. Short names: latent, lr, batch, lambda, epochs, depth (1, 2, ... or shallow, baseline, deep), width.\n"
               "Finished runs are not repeated: the same command goes on after an interrupt, and a wider grid only adds what is new.\n"
               "  swage search swae/mlp latent=4,8,16,32 lr=1e-4,2e-4 depth=1,2 data.path=samples/bssn epochs=20 -o search -j 2",
    .options = options,
    .least = 1,
    .most = 1,
    .overrides = true,
    .run = run,
};
