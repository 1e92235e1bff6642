/* test_search.c - proves: settings expand to every combination in order, brackets and quotes keep their commas, a run has the same name in any
 * grid; a finished run is not trained again; fronts hold exactly the runs no other beats; no allocation that fails leaks or crashes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "testing.h"
#include "training.h"
#include "swage/search.h"

static swg_search *open_grid(swg_context *ctx, const char *folder, const char *const *settings) {
    swg_search *s;
    int64_t count = 0;
    while (settings[count])
        count++;
    assert_ok(ctx, swg_search_open(ctx, "swae/mlp", &(swg_search_opts){.folder = folder, .settings = settings, .count = count}, &s));
    return s;
}

static void test_grid(void **state) {
    swg_context *ctx = *state;
    swg_search *s = open_grid(ctx, "/nowhere", MORE("model.hidden=[64, 32],[16]", "latent=2,4,8", "data.vars=['U_A,b', U_K]", "lr=1e-3"));
    static const char *const want[] = {"model.hidden=[64, 32] model.latent=2", "model.hidden=[64, 32] model.latent=4", "model.hidden=[64, 32] model.latent=8",
                                       "model.hidden=[16] model.latent=2",     "model.hidden=[16] model.latent=4",     "model.hidden=[16] model.latent=8"};
    assert_int_equal(swg_search_count(s), 6);
    for (int i = 0; i < 6; i++) {
        assert_string_equal(swg_search_at(s, i)->settings, want[i]);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(swg_search_at(s, i)->name, swg_search_at(s, k)->name);
    }
    assert_null(swg_search_at(s, 6));
    assert_null(swg_search_at(s, -1));
    swg_search *other = open_grid(ctx, "/elsewhere", MORE("lr=1e-3", "data.vars=['U_A,b', U_K]", "model.latent=8", "model.hidden=[16]"));
    assert_int_equal(swg_search_count(other), 1);
    assert_string_equal(swg_search_at(other, 0)->name, swg_search_at(s, 5)->name);
    assert_string_equal(swg_search_at(other, 0)->settings, "");
    swg_search_close(other);
    swg_search_close(s);
    /* The recipe has one hidden layer: three combinations of each latent size are two runs, and the second 4 adds nothing. */
    s = open_grid(ctx, "/nowhere", MORE("latent=4,4,8", "depth=1,baseline,2"));
    static const char *const once[] = {"model.latent=4 depth=1", "model.latent=4 depth=2", "model.latent=8 depth=1", "model.latent=8 depth=2"};
    assert_int_equal(swg_search_count(s), 4);
    for (int i = 0; i < 4; i++)
        assert_string_equal(swg_search_at(s, i)->settings, once[i]);
    assert_null(swg_search_at(s, 4));
    swg_search_close(s);
    const struct { const char *const *settings; const char *message; } wrong[] = {
        {MORE("latent=1,0"), "model.latent"}, {MORE("latent=,1"), "an empty value"}, {MORE("depth=0"), "depth=0"}, {MORE("width=x"), "width=x"},
        {MORE("latnet=1,2"), "unknown key"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(swg_search_open(ctx, "swae/mlp", &(swg_search_opts){.folder = "x", .settings = wrong[i].settings, .count = 1}, &s), SWG_EUSAGE);
        assert_message(ctx, wrong[i].message);
        assert_null(s);
    }
    /* What is too long is refused, not cut off: by itself, before depth is made out, and all that vary together. */
    char a[1200], b[1200];
    memset(a, 'a', sizeof a);
    memcpy(a, "data.path=", 10);
    a[1100] = 0;
    const char *both[] = {a, "depth=1"};
    for (int64_t count = 1; count <= 2; count++) {
        assert_int_equal(swg_search_open(ctx, "swae/mlp", &(swg_search_opts){.folder = "x", .settings = both, .count = count}, &s), SWG_EUSAGE);
        assert_message(ctx, "longer than 1023 bytes");
    }
    a[600] = 0;
    memcpy(a + 600, ",x", 3);
    memcpy(b, a, sizeof b);
    memcpy(b, "run.name=a", 10);
    assert_int_equal(swg_search_open(ctx, "swae/mlp", &(swg_search_opts){.folder = "x", .settings = MORE(a, b), .count = 2}, &s), SWG_EUSAGE);
    assert_message(ctx, "the settings that vary are longer");
}

/* What depth and width make of each kind of network. */
static void test_shapes(void **state) {
    swg_context *ctx = *state;
    static const struct { const char *recipe, *depth, *width; int64_t hidden[5]; } cases[] = {
        {"swae/mlp-deep", "depth=deep", "width=64", {64, 32, 16}},    {"swae/mlp-deep", "depth=4", NULL, {512, 256, 128, 64}},
        {"swae/mlp-deep", "depth=shallow", NULL, {512}},               {"swae/gmlp", "depth=3", NULL, {256, 256, 256}},
        {"swae/gmlp", "depth=1", "width=64", {64}},                    {"swae/conv", NULL, "width=8", {8, 16, 32, 64}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        swg_search *s;
        const char *settings[3] = {"lr=1e-3"};
        int64_t count = 1;
        if (cases[i].depth)
            settings[count++] = cases[i].depth;
        if (cases[i].width)
            settings[count++] = cases[i].width;
        assert_ok(ctx, swg_search_open(ctx, cases[i].recipe, &(swg_search_opts){.folder = "x", .settings = settings, .count = count}, &s));
        char hidden[100] = "model.hidden=[";
        for (int k = 0; k < 5 && cases[i].hidden[k]; k++)
            snprintf(hidden + strlen(hidden), 16, "%s%lld", k ? ", " : "", (long long)cases[i].hidden[k]);
        strcat(hidden, "]");
        swg_search *plain;
        const char *same[2] = {"lr=1e-3", hidden};
        assert_ok(ctx, swg_search_open(ctx, cases[i].recipe, &(swg_search_opts){.folder = "x", .settings = same, .count = 2}, &plain));
        assert_string_equal(swg_search_at(s, 0)->name, swg_search_at(plain, 0)->name);
        swg_search_close(plain);
        swg_search_close(s);
    }
}

static void test_run(void **state) {
    swg_context *ctx = *state;
    char folder[] = "/tmp/swage-search-XXXXXX", data[64], path[96], batch[] = "batch=16";
    assert_non_null(mkdtemp(folder));
    snprintf(data, sizeof data, "%s/a.h5", folder);
    snprintf(path, sizeof path, "data.path=%s", data);
    write_octants(ctx, data, &usual);
    swg_search *s = open_grid(ctx, folder, MORE(path, "latent=2,4", "width=8,32", batch, "epochs=2"));
    int64_t done;
    assert_ok(ctx, swg_search_collect(s, &done));
    assert_int_equal(done, 0);
    for (int64_t i = 0; i < 4; i++)
        assert_ok(ctx, swg_search_execute(s, i, NULL));
    swg_train_hooks refuse = {.stop = &(volatile sig_atomic_t){1}};
    assert_ok(ctx, swg_search_execute(s, 2, &refuse)); /* it does not get as far as to be stopped */
    assert_ok(ctx, swg_search_collect(s, &done));
    assert_int_equal(done, 4);
    for (int64_t i = 0; i < 4; i++) {
        const swg_search_run *r = swg_search_at(s, i);
        int64_t width = i % 2 ? 32 : 8, latent = i / 2 ? 4 : 2;
        assert_int_equal(r->parameters, 125 * width + width + width * latent + latent + latent * width + width + width * 125 + 125);
        assert_int_equal(r->macs, 2 * (125 * width + width * latent));
        assert_int_equal(r->epochs, 2);
        assert_close(r->bits_per_value, (double)(latent + 1) * 32 / 125, 0, .01);
        assert_true(isfinite(r->psnr_db) && r->encode_blocks_s > 0 && r->decode_blocks_s > 0);
        bool ratio = true, speed = true;
        for (int64_t k = 0; k < 4; k++) {
            const swg_search_run *o = swg_search_at(s, k);
            bool better = o->psnr_db > r->psnr_db, equal = o->psnr_db == r->psnr_db;
            ratio &= !((better && o->bits_per_value <= r->bits_per_value) || (equal && o->bits_per_value < r->bits_per_value));
            speed &= !((better && o->encode_blocks_s >= r->encode_blocks_s) || (equal && o->encode_blocks_s > r->encode_blocks_s));
        }
        assert_int_equal(ratio, r->front_ratio);
        assert_int_equal(speed, r->front_speed);
    }
    assert_ok(ctx, swg_search_write(s));
    assert_int_equal(swg_search_execute(s, 4, NULL), SWG_EINVAL);
    /* A result that was cut off is no result. */
    char result[256];
    snprintf(result, sizeof result, "%s/runs/%s/result-val.json", folder, swg_search_at(s, 1)->name);
    assert_ok(ctx, swg__file_write(ctx, result, "{\"parameters\": 3", 15));
    assert_ok(ctx, swg_search_collect(s, &done));
    assert_int_equal(done, 3);
    assert_false(swg_search_at(s, 1)->done);
    swg_search_close(s);
    remove_tree(folder);
}

static void test_allocations(void **state) {
    (void)state;
    bool done = false;
    for (int64_t fail_at = 0; !done; fail_at += 1 + fail_at / 30) {
        testing_allocator t = {.fail_at = fail_at};
        swg_context *own;
        swg_search *s = NULL;
        if (swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &t}}, &own) != SWG_OK)
            continue;
        const char *settings[] = {"latent=2,4", "width=8"};
        swg_status status = swg_search_open(own, "swae/mlp", &(swg_search_opts){.folder = "/nowhere", .settings = settings, .count = 2}, &s);
        if (status == SWG_OK)
            status = swg_search_collect(s, NULL);
        done = status == SWG_OK;
        if (!done)
            assert_int_equal(status, SWG_ENOMEM);
        swg_search_close(s);
        assert_int_equal(swg_context_bytes(own), 0);
        swg_context_close(own);
        assert_int_equal(t.live, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_grid, testing_open, testing_close),
                                       cmocka_unit_test_setup_teardown(test_shapes, testing_open, testing_close),
                                       cmocka_unit_test_setup_teardown(test_run, testing_open, testing_close),
                                       cmocka_unit_test_setup_teardown(test_allocations, testing_open, testing_close)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
