/* test_folder.c - proves: a folder job keeps every block of every file in order; what it writes is decoded to the same bytes from the file
 * alone; shells and rare blocks are exact; a failing allocation anywhere leaves no file and no memory; a stop leaves nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "testing.h"
#include "training.h"
#include "swage/folder.h"

typedef struct place {
    char folder[64], data[128], run[128], out[128];
} place;

static void make_place(swg_context *ctx, place *p, const octants *o, const char *const *more) {
    strcpy(p->folder, "/tmp/swage-folder-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    snprintf(p->data, sizeof p->data, "%s/data", p->folder);
    snprintf(p->run, sizeof p->run, "%s/run", p->folder);
    snprintf(p->out, sizeof p->out, "%s/out", p->folder);
    assert_ok(ctx, swg__make_folders(ctx, p->data));
    char file[200];
    for (int f = 0; f < 2; f++) {
        snprintf(file, sizeof file, "%s/%d.h5", p->data, f);
        octants here = *o;
        here.count = o->count - 7 * f;
        here.element = f ? SWG_ELEMENT_F64 : SWG_ELEMENT_F32;
        write_octants(ctx, file, &here);
    }
    assert_ok(ctx, train(ctx, p->folder, "run", p->data, more, NULL, NULL));
}

static void one_odd(double *values, int variable, int octant) {
    if (variable == 1 && octant == 3)
        values[171] = INFINITY;
}

static const octants rare = {.count = 40, .variables = 2, .constant_every = 10, .change = one_odd};

static swg_status job(swg_context *ctx, const place *p, const char *name, const swg_folder_opts *opts, const swg_folder_hooks *hooks,
                      swg_folder_report **report) {
    swg_model *model;
    swg_folder_opts here = opts ? *opts : (swg_folder_opts){0};
    here.stamp = name;
    *report = NULL;
    SWG__TRY(swg_model_open(ctx, p->run, &model));
    swg_status status = swg_folder_encode(ctx, model, NULL, p->data, p->out, &here, hooks, report);
    swg_model_close(model);
    return status;
}

static swg_status back(swg_context *ctx, const place *p, const char *encoded, const char *out, swg_folder_report **report) {
    swg_model *model;
    SWG__TRY(swg_model_open(ctx, p->run, &model));
    swg_status status = swg_folder_reconstruct(ctx, model, encoded, out, &(swg_folder_opts){.batch = 1000}, NULL, report);
    swg_model_close(model);
    return status;
}

static double *read_all(swg_context *ctx, const char *path, int64_t row, int64_t *items) {
    swg_source *source;
    assert_ok(ctx, swg_source_open(ctx, path, NULL, &source));
    const swg_array *array = swg_source_array(source, row);
    double *values = malloc((size_t)array->count * sizeof *values);
    float *narrow = malloc((size_t)array->count * sizeof *narrow);
    assert_ok(ctx, swg_source_read(source, row, array->element == SWG_ELEMENT_F64 ? (void *)values : (void *)narrow));
    for (int64_t i = 0; array->element == SWG_ELEMENT_F32 && i < array->count; i++)
        values[i] = (double)narrow[i];
    *items = array->dims[0];
    free(narrow);
    swg_source_close(source);
    return values;
}

static void test_round(void **state) {
    swg_context *ctx = *state;
    static const char *const shells[] = {"tile", "keep", "none"};
    place p;
    make_place(ctx, &p, &rare, MORE("data.nonfinite=raw", "trainer.epochs=1"));
    for (int s = 0; s < 3; s++) {
        swg_folder_report *a, *b;
        char out[200];
        assert_ok(ctx, job(ctx, &p, shells[s], &(swg_folder_opts){.shell = shells[s], .batch = 33}, NULL, &a));
        const swg_folder_row *all = &a->rows[a->count - 1];
        int64_t per = s == 0 ? 8 : 1;
        assert_int_equal(a->count, 3);
        assert_int_equal(all->blocks, (40 + 33) * 2 * per);
        assert_int_equal(all->constant_blocks, (4 + 4) * 2 * per);
        /* The value lies in the middle; 171 is (3, 3, 3), in one block of eight. */
        assert_int_equal(all->raw_blocks, 2);
        assert_int_equal(a->files, 2);
        assert_int_equal(all->bytes_in, (40 * 4 + 33 * 8) * 343 * 2);
        assert_true(isfinite(all->metrics.value[SWG_METRIC_MSE]) && all->metrics.has[SWG_METRIC_PSNR_DB]);
        snprintf(out, sizeof out, "%s/back-%s", p.folder, shells[s]);
        assert_ok(ctx, back(ctx, &p, a->encoded, out, &b));
        uint8_t *x, *y;
        size_t x_bytes, y_bytes;
        assert_ok(ctx, swg__file_read(ctx, a->reconstructed, &x, &x_bytes));
        assert_ok(ctx, swg__file_read(ctx, b->reconstructed, &y, &y_bytes));
        assert_int_equal(x_bytes, y_bytes);
        assert_memory_equal(x, y, x_bytes);
        swg__free(ctx, x);
        swg__free(ctx, y);
        /* Order: file 0, then file 1. Constant octants are exact, so is the shell where it is kept. */
        int64_t items, edge = s == 2 ? 5 : 7;
        int64_t k_row = strcmp(a->rows[0].variable, "U_K") == 0 ? 0 : 1;
        double *values = read_all(ctx, a->reconstructed, k_row, &items), gap = 0;
        assert_int_equal(items, 73);
        for (int64_t k = 0; k < 73; k++) {
            int octant = (int)(k < 40 ? k : k - 40);
            for (int64_t i = 0; i < edge * edge * edge; i++) {
                int64_t shift = edge == 5, z = i / (edge * edge) + shift, y2 = i / edge % edge + shift, x2 = i % edge + shift;
                bool outer = z == 0 || y2 == 0 || x2 == 0 || z == 6 || y2 == 6 || x2 == 6;
                double want = octant % 10 == 0 ? .25 * octant : octant_value(1, octant, (int)(z * 49 + y2 * 7 + x2)), got = values[k * edge * edge * edge + i];
                if (k < 40)
                    want = (double)(float)want;
                if (octant == 3 && z == 3 && y2 == 3 && x2 == 3)
                    assert_true(isinf(got));
                else if (octant % 10 == 0 || (s == 1 && outer) || (octant == 3 && s > 0))
                    assert_close(got, want, 0, 0);
                else
                    gap += fabs(got - want);
            }
        }
        assert_true(gap > 0); /* the network was asked */
        free(values);
        swg_folder_report_free(ctx, a);
        swg_folder_report_free(ctx, b);
    }
    remove_tree(p.folder);
}

static void raise_stop(void *user, int64_t done, int64_t total) {
    assert_true(done <= total);
    *(volatile sig_atomic_t *)user = 1;
}

static void test_stop(void **state) {
    swg_context *ctx = *state;
    place p;
    volatile sig_atomic_t stop = 0;
    swg_folder_report *report;
    make_place(ctx, &p, &usual, MORE("trainer.epochs=1"));
    const swg_folder_hooks hooks = {.progress = raise_stop, .stop = &stop, .user = (void *)(uintptr_t)&stop};
    assert_int_equal(job(ctx, &p, "a", &(swg_folder_opts){.batch = 50}, &hooks, &report), SWG_EINTERRUPTED);
    char **names;
    size_t count;
    assert_ok(ctx, swg__list_folder(ctx, p.out, &names, &count));
    assert_int_equal(count, 0);
    swg__list_free(ctx, names, count);
    assert_int_equal(job(ctx, &p, "a", &(swg_folder_opts){.shell = "half"}, NULL, &report), SWG_EUSAGE);
    remove_tree(p.folder);
}

/* A network trained otherwise, or another file, is refused. */
static void test_refuse(void **state) {
    swg_context *ctx = *state;
    place p;
    swg_folder_report *report, *other;
    char file[200];
    make_place(ctx, &p, &usual, MORE("trainer.epochs=1"));
    assert_ok(ctx, job(ctx, &p, "a", NULL, NULL, &report));
    assert_ok(ctx, train(ctx, p.folder, "second", p.data, MORE("trainer.epochs=1", "trainer.seed=7"), NULL, NULL));
    snprintf(p.run, sizeof p.run, "%s/second", p.folder);
    assert_int_equal(back(ctx, &p, report->encoded, p.out, &other), SWG_EINVAL);
    assert_message(ctx, "encoded by another network");
    snprintf(p.run, sizeof p.run, "%s/run", p.folder);
    assert_int_equal(back(ctx, &p, report->reconstructed, p.out, &other), SWG_EFORMAT);
    snprintf(file, sizeof file, "%s/0.h5", p.data);
    assert_int_equal(back(ctx, &p, file, p.out, &other), SWG_EFORMAT);
    assert_int_equal(back(ctx, &p, p.data, p.out, &other), SWG_ENOTFOUND);
    swg_folder_report_free(ctx, report);
    remove_tree(p.folder);
}

static void test_allocations(void **state) {
    swg_context *ctx = *state;
    place p;
    make_place(ctx, &p, &rare, MORE("data.nonfinite=raw", "trainer.epochs=1"));
    swg_folder_report *report;
    assert_ok(ctx, job(ctx, &p, "good", NULL, NULL, &report));
    bool done = false;
    for (int64_t fail_at = 0; !done; fail_at += 1 + fail_at / 40) {
        testing_allocator t = {.fail_at = fail_at};
        swg_context *own;
        swg_folder_report *a = NULL, *b = NULL;
        if (swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &t}}, &own) != SWG_OK)
            continue;
        char out[200];
        snprintf(out, sizeof out, "%s/b", p.folder);
        swg_status status = job(own, &p, "x", &(swg_folder_opts){.shell = "keep"}, NULL, &a);
        if (status == SWG_OK)
            status = back(own, &p, report->encoded, out, &b);
        done = status == SWG_OK;
        if (!done)
            assert_int_equal(status, SWG_ENOMEM);
        swg_folder_report_free(own, a);
        swg_folder_report_free(own, b);
        assert_int_equal(swg_context_bytes(own), 0);
        swg_context_close(own);
        assert_int_equal(t.live, 0);
        snprintf(out, sizeof out, "%s/x", p.out);
        if (!a)
            assert_false(swg__exists(out));
        remove_tree(out);
    }
    swg_folder_report_free(ctx, report);
    remove_tree(p.folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_round, testing_open, testing_close),
                                       cmocka_unit_test_setup_teardown(test_stop, testing_open, testing_close),
                                       cmocka_unit_test_setup_teardown(test_refuse, testing_open, testing_close),
                                       cmocka_unit_test_setup_teardown(test_allocations, testing_open, testing_close)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
