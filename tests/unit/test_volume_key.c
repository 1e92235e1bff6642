/* test_volume_key.c - proves: the text of a key gives the key it describes and comes back as the same key; whatever is wrong with it is named, with the
 * nearest word.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/volumes_inside.h"
#include "scratch.h"

static void published(void **state) {
    swg_context *ctx = *state;
    swg__volume_key key;
    assert_ok(ctx, swg__volume_key_parse(ctx, "data.source", "raw channel=5 zoom=0.25 normalise", &key));
    assert_string_equal(key.column, "raw");
    assert_string_equal(key.channel, "5");
    assert_true(key.zoom_axes == 1 && key.zoom[0] == .25 && key.zoom[1] == .25 && key.zoom[2] == .25);
    assert_true(key.normalise && !key.threshold && !key.percentile && key.scale == 1);
    assert_ok(ctx, swg__volume_key_parse(ctx, "data.target", "seg channel=0 zoom=0.25 threshold=0.1", &key));
    assert_true(key.threshold && key.level == .1);
    assert_ok(ctx, swg__volume_key_parse(ctx, "data.target", "dye channel=5 percentile=0.01:99.99 scale=4", &key));
    assert_true(key.percentile && key.low == .01 && key.high == 99.99 && key.scale == 4 && key.zoom_axes == 0);
}

/* Text, and how it is written again; NULL: as it is. */
static void round_trip(void **state) {
    swg_context *ctx = *state;
    static const struct {
        const char *text, *again;
    } cases[] = {{"raw", NULL}, {"  raw\t normalise ", "raw normalise"}, {"raw normalize", "raw normalise"}, {"raw channel=3+6", NULL}, {"raw channel=mean", NULL},
                 {"raw t=all z=max", NULL}, {"raw z=3:20", NULL}, {"raw z=38:38", "raw z=38"}, {"raw zoom=1x0.5x0.25", NULL},
                 {"raw resize=8x64x64", NULL}, {"seg labels zoom=0.5 scale=2", NULL}, {"seg binary threshold=1e-05", NULL}, {"seg threshold=-0.5 binary", "seg binary threshold=-0.5"},
                 {"\"my column\" channel=DAPI+GFP layout=ZCYX", "\"my column\" layout=ZCYX channel=DAPI+GFP"}, {"raw scale=1", "raw"},
                 {"raw percentile=1:99 threshold=0.30000000000000004", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        swg__volume_key key, second;
        char text[512];
        assert_ok(ctx, swg__volume_key_parse(ctx, "k", cases[i].text, &key));
        const int length = swg__volume_key_text(&key, text, sizeof text);
        assert_string_equal(text, cases[i].again ? cases[i].again : cases[i].text);
        assert_int_equal(length, strlen(text));
        assert_ok(ctx, swg__volume_key_parse(ctx, "k", text, &second));
        assert_memory_equal(&key, &second, sizeof key);
        char cut[5];
        assert_int_equal(swg__volume_key_text(&key, cut, sizeof cut), length);
        assert_int_equal(strlen(cut), length < 4 ? length : 4);
    }
}

static void refused(void **state) {
    swg_context *ctx = *state;
    static const struct {
        const char *text, *words[2];
    } cases[] = {{"", {"begins with the name of a column"}}, {"channel=5", {"first word names a column", "channel=5"}}, {"\"raw", {"quote"}},
                 {"raw chanel=5", {"chanel", "did you mean channel?"}}, {"raw normalis", {"did you mean normalise?"}}, {"raw channel", {"needs a value"}},
                 {"raw normalise=1", {"takes no value"}}, {"raw z=1 z=2", {"z is given twice"}}, {"raw z=5:2", {"z=5:2", "range"}}, {"raw z=-1", {"z=-1"}},
                 {"raw t=max", {"t=max"}}, {"raw zoom=0", {"above 0"}}, {"raw zoom=2", {"at most 1"}}, {"raw zoom=0.5x0.5", {"zoom=0.5x0.5"}},
                 {"raw zoom=nan", {"zoom=nan"}}, {"raw zoom=0x1p-1", {"zoom=0x1p-1"}}, {"raw resize=64x64", {"resize=64x64"}}, {"raw resize=1x2x0", {"resize"}},
                 {"raw percentile=99:1", {"lower first"}}, {"raw percentile=1:101", {"percentile"}}, {"raw threshold=half", {"threshold=half", "number"}},
                 {"raw scale=0", {"1 to 64"}}, {"raw scale=65", {"1 to 64"}}, {"raw layout=QYX", {"layout=QYX"}}, {"raw channel=3++6", {"channel=3++6"}},
                 {"raw channel=+", {"channel=+"}}, {"raw channel=1+2+3+4+5+6+7+8+9+0+1+2+3+4+5+6+7", {"16 channels"}},
                 {"raw normalise percentile=1:99", {"exclude each other"}}, {"raw zoom=0.5 resize=1x2x3", {"exclude each other"}},
                 {"seg labels binary", {"exclude each other"}}, {"seg labels channel=mean", {"exclude each other"}}, {"\"raw\"normalise", {"space"}},
                 {"raw z=99999999999999999999", {"z=9999"}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        swg__volume_key key;
        if (swg__volume_key_parse(ctx, "data.source", cases[i].text, &key) != SWG_EINVAL)
            fail_msg("\"%s\" was not refused", cases[i].text);
        assert_message(ctx, "data.source", cases[i].words[0], cases[i].words[1] ? cases[i].words[1] : "");
    }
    swg__volume_key key;
    assert_int_equal(swg__volume_key_parse(ctx, "data.source", NULL, &key), SWG_EINVAL);
    char text[200];
    snprintf(text, sizeof text, "%080d", 1);
    assert_int_equal(swg__volume_key_parse(ctx, "data.source", text, &key), SWG_EINVAL);
    assert_message(ctx, "63 bytes");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(published, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(round_trip, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refused, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
