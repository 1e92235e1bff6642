/* test_tfswa.c - proves: TFSWA-UNet has the shapes, parameters and multiply-adds of tfswa.md, section 3.1, row by row.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "golden_net.h"
#include "swage/tfswa.h"

static swg_layers layers_of(swg_context *ctx, const swg_tfswa *m, int64_t f, int64_t t) {
    swg_layers l;
    assert_ok(ctx, swg_tfswa_layers(ctx, m, (int64_t[]){1, m->in, f, t}, &l));
    return l;
}

static const swg_layer *last_below(const swg_layers *layers, const char *scope) {
    const swg_layer *last = NULL;
    size_t length = strlen(scope);
    for (int64_t i = 0; i < layers->count; i++)
        if (strncmp(layers->rows[i].name, scope, length) == 0 && (layers->rows[i].name[length] == '/' || !layers->rows[i].name[length]))
            last = &layers->rows[i];
    return last;
}

/* ---- the tables of section 3.1 ---- */

static const struct row { const char *part; int64_t channels, f, t, parameters; } rows[] = {
    {"stem", 32, 1025, 259, 3232},     {"enc0", 32, 1025, 259, 84224},  {"down0", 64, 512, 129, 32960},  {"enc1", 64, 512, 129, 332288},
    {"down1", 128, 256, 64, 131456},   {"enc2", 128, 256, 64, 3959808}, {"down2", 256, 128, 32, 525056}, {"bottleneck", 256, 128, 32, 5261312},
    {"up2", 128, 256, 64, 524672},     {"dec2", 128, 256, 64, 3959808}, {"up1", 64, 512, 129, 131264},   {"dec1", 64, 512, 129, 332288},
    {"up0", 32, 1025, 259, 32864},     {"dec0", 32, 1025, 259, 84224},  {"head", 32, 1025, 259, 9312},   {"output", 2, 1025, 259, 66},
};

static void every_row(void **state) {
    swg_context *ctx = *state;
    const swg_tfswa m = swg_tfswa_unet();
    swg_layers l = layers_of(ctx, &m, 1025, 259);
    int64_t parameters = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *want = &rows[i];
        const swg_layer *last = last_below(&l, want->part);
        assert_non_null(last);
        assert_int_equal(swg_layers_below(&l, want->part).parameters, want->parameters);
        const int64_t elements = want->channels * want->f * want->t;
        int64_t found = 1;
        for (int d = 0; d < last->ndim; d++)
            found *= last->shape[d];
        assert_int_equal(found, elements);
        parameters += want->parameters;
    }
    assert_int_equal(parameters, 15404834);
    assert_int_equal(l.total.parameters, 15404834);
    swg_layers_free(ctx, &l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_row, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
