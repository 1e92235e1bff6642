/* test_images.c - proves: a data set of images has the samples, parts and notes its rules say; a fetched sample depends on the draw alone,
 * not on batch, thread, order or cache; validation noise is the same in every epoch; faults name row and path.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <pthread.h>
#include "scratch.h"
#include "data/images.h"
#include "swage/features.h"

static bool libraries(void) {
    const swg_feature *feature;
    int found = 0;
    for (int64_t i = 0; (feature = swg_feature_at(i)); i++)
        found += feature->version && (strcmp(feature->name, "libpng") == 0 || strcmp(feature->name, "libtiff") == 0);
    return found == 2;
}

#define NEED_LIBRARIES() \
    do {                 \
        if (!libraries()) \
            skip();      \
    } while (0)

static const char sample_csv[] = SWG_SOURCE_DIR "/samples/histology/index.csv";

/* Pixel of image n: u8. */
static int u8_at(int n, int64_t c, int64_t y, int64_t x) { return (int)((y * 13 + x * 29 + c * 71 + n * 101) % 256); }

static void put_image(swg_context *ctx, scratch *s, const char *name, int n, int64_t height, int64_t width, int bits) {
    float *pixels = malloc((size_t)(3 * height * width) * sizeof *pixels);
    assert_non_null(pixels);
    for (int64_t i = 0; i < 3 * height * width; i++)
        pixels[i] = (float)u8_at(n, i / (height * width), i / width % height, i % width) / 255.f;
    assert_ok(ctx, swg_image_write(ctx, scratch_path(s, name), 3, height, width, pixels, &(swg_image_write_opts){.bits = bits}));
    free(pixels);
}

static void put_text(swg_context *ctx, scratch *s, const char *name, const char *text) {
    assert_ok(ctx, swg__file_write(ctx, scratch_path(s, name), text, strlen(text)));
}

static swg__images *open_ok(swg_context *ctx, const swg__images_opts *opts) {
    swg__images *images;
    assert_ok(ctx, swg__images_open(ctx, opts, &images));
    return images;
}

static void fetch_ok(const swg__images *images, int64_t index, const swg__images_draw *draw, float *noisy, float *clean) {
    char message[400] = "";
    if (swg__images_fetch(images, &index, 1, draw, noisy, clean, message, sizeof message) != SWG_OK)
        fail_msg("fetch: %s", message);
}

struct notes {
    int count;
    char text[8][600];
};

static void take_note(void *user, const char *text) {
    struct notes *notes = user;
    assert_true(notes->count < 8);
    snprintf(notes->text[notes->count++], sizeof notes->text[0], "%s", text);
}

/* ---- parts ---- */

static void check_parts(const swg__images *images) {
    const swg_split *split = swg__images_split(images);
    int64_t total = 0;
    for (int part = 0; part < SWG_PARTS; part++)
        for (int64_t i = 0; i < split->count[part]; i++, total++)
            assert_int_equal(swg__images_sample_at(images, split->indices[part][i])->part, part);
    assert_int_equal(total, swg__images_count(images));
}

static void sample_by_image(void **state) {
    swg_context *ctx = *state;
    NEED_LIBRARIES();
    swg__images *images = open_ok(ctx, &(swg__images_opts){.path = sample_csv, .split.seed = 42});
    assert_int_equal(swg__images_count(images), 12);
    assert_int_equal(swg__images_files(images), 12);
    assert_int_equal(swg__images_bytes(images), 12 * 3 * 128 * 128);
    assert_string_equal(swg__images_summary(images), "12 images of 128x128, u8; 12 samples of 3x128x128");
    const swg_split *split = swg__images_split(images);
    assert_true(split->count[SWG_TRAIN] == 9 && split->count[SWG_VAL] == 1 && split->count[SWG_TEST] == 2);
    assert_non_null(strstr(split->description, "split: random by image"));
    assert_string_equal(swg__images_file_at(images, 4)->label, "tissue");
    assert_string_equal(swg__images_file_at(images, 4)->name, "4193474b_0.png");
    assert_null(swg__images_file_at(images, 12));
    assert_null(swg__images_sample_at(images, -1));
    check_parts(images);
    swg__images_close(images);
}

static void sample_by_group(void **state) {
    swg_context *ctx = *state;
    NEED_LIBRARIES();
    swg__images_opts opts = {.path = sample_csv, .group = "slide", .split = {.mode = "by-group", .seed = 42}, .size = "tile", .tile = 48, .overlap = 8};
    swg__images *images = open_ok(ctx, &opts);
    assert_int_equal(swg__images_count(images), 12 * 9);
    const swg_split *split = swg__images_split(images);
    assert_string_equal(split->description, "split: by-group slide (train 3 groups, val 1, test 1)");
    check_parts(images);
    for (int64_t i = 0; i < swg__images_count(images); i++)
        for (int64_t j = 0; j < i; j++) {
            const swg__images_sample *a = swg__images_sample_at(images, i), *b = swg__images_sample_at(images, j);
            if (strcmp(swg__images_file_at(images, a->image)->group, swg__images_file_at(images, b->image)->group) == 0)
                assert_int_equal(a->part, b->part);
        }
    swg__images_close(images);
    opts.no_split = true;
    images = open_ok(ctx, &opts);
    assert_int_equal(swg__images_split(images)->count[SWG_TEST], 12 * 9);
    check_parts(images);
    swg__images_close(images);
}

static void by_folder(void **state) {
    swg_context *ctx = *state;
    NEED_LIBRARIES();
    scratch s;
    scratch_open(&s);
    char sub[400];
    for (int f = 0; f < 4; f++) {
        char name[40];
        snprintf(name, sizeof name, "s%d", f);
        snprintf(sub, sizeof sub, "%s/s%d", s.folder, f);
        assert_ok(ctx, swg__make_folders(ctx, sub));
        for (int i = 0; i < 2; i++) {
            snprintf(name, sizeof name, "s%d/%d.png", f, i);
            put_image(ctx, &s, name, f, 16, 16, 8);
        }
    }
    swg__images *images = open_ok(ctx, &(swg__images_opts){.path = s.folder, .tile = 16, .group = "folder", .split.mode = "by-group"});
    assert_int_equal(swg__images_count(images), 8);
    assert_string_equal(swg__images_split(images)->description, "split: by-group folder (train 2 groups, val 1, test 1)");
    assert_string_equal(swg__images_file_at(images, 3)->group, "s1");
    swg__images_close(images);
    assert_int_equal(swg__images_open(ctx, &(swg__images_opts){.path = s.folder, .tile = 16, .group = "slide", .split.mode = "by-group"}, &images), SWG_ENOTFOUND);
    assert_message(ctx, "data.group=slide", "\"folder\" only");
    for (int f = 0; f < 4; f++) {
        for (int i = 0; i < 2; i++) {
            char name[40];
            snprintf(name, sizeof name, "s%d/%d.png", f, i);
            unlink(scratch_path(&s, name));
        }
        snprintf(sub, sizeof sub, "%s/s%d", s.folder, f);
        rmdir(sub);
    }
    scratch_close(&s, ctx, 0);
}

/* ---- cutting ---- */

static float value(int n, int64_t c, int64_t y, int64_t x) { return (float)u8_at(n, c, y, x) / 255.f; }

static void tiles_cover(void **state) {
    swg_context *ctx = *state;
    NEED_LIBRARIES();
    enum { TILE = 16, H = 37, W = 44 };
    scratch s;
    scratch_open(&s);
    put_image(ctx, &s, "a.png", 1, H, W, 8);
    for (int cached = 0; cached < 2; cached++) {
        swg__images *images = open_ok(ctx, &(swg__images_opts){.path = scratch_path(&s, "a.png"), .size = "tile", .tile = TILE, .overlap = 4, .no_split = true,
                                                               .cache = cached ? "memory" : "none"});
        /* starts 0 12 21 and 0 12 24 28 */
        assert_int_equal(swg__images_count(images), 12);
        assert_int_equal(swg__images_bytes(images), cached ? 3 * H * W : 0);
        bool seen[H][W] = {{false}};
        for (int64_t i = 0; i < 12; i++) {
            float clean[3 * TILE * TILE];
            const swg__images_sample *sample = swg__images_sample_at(images, i);
            fetch_ok(images, i, &(swg__images_draw){0}, NULL, clean);
            for (int k = 0; k < 3 * TILE * TILE; k++) {
                int64_t y = sample->y + k / TILE % TILE, x = sample->x + k % TILE;
                assert_true(clean[k] == value(1, k / (TILE * TILE), y, x));
                seen[y][x] = true;
            }
        }
        const swg__images_sample *last = swg__images_sample_at(images, 11);
        assert_true(last->y == H - TILE && last->x == W - TILE);
        for (int i = 0; i < H * W; i++)
            assert_true(seen[i / W][i % W]);
        swg__images_close(images);
    }
    scratch_close(&s, ctx, 1);
}

static void crops(void **state) {
    swg_context *ctx = *state;
    NEED_LIBRARIES();
    enum { TILE = 8, H = 11, W = 10 };
    scratch s;
    scratch_open(&s);
    put_image(ctx, &s, "a.png", 2, H, W, 16);
    float values[3 * TILE * TILE];
    swg__images *images = open_ok(ctx, &(swg__images_opts){.path = scratch_path(&s, "a.png"), .size = "crop", .tile = TILE, .no_split = true});
    assert_int_equal(swg__images_bytes(images), 2 * 3 * H * W);
    fetch_ok(images, 0, &(swg__images_draw){.epoch = 3}, NULL, values);
    assert_close((double)values[0], u8_at(2, 0, 1, 1) / 255., 1e-4, 0); /* centre: (11 - 8) / 2, (10 - 8) / 2 */
    int seen[4][3] = {{0}};
    for (uint32_t epoch = 0; epoch < 600; epoch++) {
        fetch_ok(images, 0, &(swg__images_draw){.training = true, .seed = 1, .epoch = epoch}, values, NULL);
        int found = 0;
        for (int y = 0; y < 4; y++)
            for (int x = 0; x < 3; x++)
                if (fabs((double)values[0] - u8_at(2, 0, y, x) / 255.) < 1e-4 && fabs((double)values[TILE] - u8_at(2, 0, y + 1, x) / 255.) < 1e-4) {
                    seen[y][x]++;
                    found++;
                }
        assert_int_equal(found, 1);
    }
    for (int i = 0; i < 12; i++)
        assert_in_range(seen[i / 3][i % 3], 20, 90); /* 50 each */
    swg__images_close(images);
    scratch_close(&s, ctx, 1);
}

static int64_t mirror(int64_t i, int64_t n) { /* walks back and forth */
    int64_t at = 0, step = 1;
    for (; i > 0 && n > 1; i--) {
        if (at + step < 0 || at + step >= n)
            step = -step;
        at += step;
    }
    return at;
}

static void padding(void **state) {
    swg_context *ctx = *state;
    NEED_LIBRARIES();
    enum { TILE = 16 };
    scratch s;
    scratch_open(&s);
    static const int64_t sizes[][2] = {{9, 20}, {5, 5}, {1, 3}, {16, 1}};
    float values[3 * TILE * TILE];
    for (int k = 0; k < 4; k++)
        for (int cached = 0; cached < 2; cached++)
            for (int tiled = 0; tiled < 2; tiled++) {
                swg__images *images;
                put_image(ctx, &s, "a.png", 3, sizes[k][0], sizes[k][1], 8);
                swg__images_opts opts = {.path = scratch_path(&s, "a.png"), .size = tiled ? "tile" : "crop", .tile = TILE, .no_split = true,
                                         .cache = cached ? "memory" : "none"};
                assert_int_equal(swg__images_open(ctx, &opts, &images), SWG_EINVAL);
                assert_message(ctx, "a.png", "less than a tile of 16 x 16", "data.small=pad", "data.size=resize");
                opts.small = "pad";
                images = open_ok(ctx, &opts);
                fetch_ok(images, 0, &(swg__images_draw){0}, NULL, values);
                const int64_t x0 = tiled || sizes[k][1] < TILE ? 0 : (sizes[k][1] - TILE) / 2;
                for (int i = 0; i < 3 * TILE * TILE; i++) {
                    float want = value(3, i / (TILE * TILE), mirror(i / TILE % TILE, sizes[k][0]),
                                       sizes[k][1] < TILE ? mirror(i % TILE, sizes[k][1]) : x0 + i % TILE);
                    assert_true(values[i] == want);
                }
                swg__images_close(images);
            }
    scratch_close(&s, ctx, 1);
}

static void resizing(void **state) {
    swg_context *ctx = *state;
    NEED_LIBRARIES();
    enum { TILE = 16 };
    static const int64_t sizes[][2] = {{37, 24}, {9, 16}, {1, 50}};
    scratch s;
    scratch_open(&s);
    float values[3 * TILE * TILE], from_file[3 * TILE * TILE];
    for (int k = 0; k < 3; k++) {
        const int64_t h = sizes[k][0], w = sizes[k][1];
        put_image(ctx, &s, "a.png", 4, h, w, 8);
        swg__images_opts opts = {.path = scratch_path(&s, "a.png"), .size = "resize", .tile = TILE, .no_split = true};
        swg__images *images = open_ok(ctx, &opts);
        fetch_ok(images, 0, &(swg__images_draw){0}, NULL, values);
        for (int i = 0; i < 3 * TILE * TILE; i++) { /* the tent of each pixel, at the position between pixel centres, held inside */
            double y = (i / TILE % TILE + .5) * (double)h / TILE - .5, x = (i % TILE + .5) * (double)w / TILE - .5, want = 0;
            y = fmin(fmax(y, 0), (double)h - 1);
            x = fmin(fmax(x, 0), (double)w - 1);
            for (int64_t r = 0; r < h; r++)
                for (int64_t c = 0; c < w; c++)
                    want += fmax(0, 1 - fabs(y - (double)r)) * fmax(0, 1 - fabs(x - (double)c)) * u8_at(4, i / (TILE * TILE), r, c) / 255;
            assert_close((double)values[i], want, 1e-5, 0);
        }
        swg__images_close(images);
        opts.cache = "none";
        images = open_ok(ctx, &opts);
        fetch_ok(images, 0, &(swg__images_draw){0}, NULL, from_file);
        assert_memory_equal(values, from_file, sizeof values);
        swg__images_close(images);
    }
    scratch_close(&s, ctx, 1);
}

/* ---- draws ---- */

enum { TILE = 32, VALUES = 3 * TILE * TILE };

struct worker {
    const swg__images *images;
    const swg__images_draw *draw;
    int64_t order[12];
    float noisy[12 * VALUES], clean[12 * VALUES];
    swg_status status;
};

static void *fetch_backwards(void *arg) {
    struct worker *w = arg;
    char message[200];
    for (int64_t i = 0; i < 12; i++)
        w->order[i] = 11 - i;
    w->status = swg__images_fetch(w->images, w->order, 12, w->draw, w->noisy, w->clean, message, sizeof message);
    return NULL;
}

static void one_draw(void **state) {
    swg_context *ctx = *state;
    NEED_LIBRARIES();
    static float noisy[12 * VALUES], clean[12 * VALUES], alone[VALUES], only_clean[VALUES];
    static struct worker workers[3];
    const swg__images_draw draw = {.training = true, .seed = 42, .epoch = 5, .progress = .5, .noise = {SWG__NOISE_STANDARD, .kind = SWG__NOISE_RECT_GAUSS},
                                   .augment = SWG__AUGMENT_FLIP | SWG__AUGMENT_ROT90 | SWG__AUGMENT_STAIN};
    for (int cached = 0; cached < 2; cached++) {
        swg__images *images = open_ok(ctx, &(swg__images_opts){.path = sample_csv, .size = "crop", .tile = TILE, .cache = cached ? "memory" : "none"});
        int64_t all[12];
        char message[200];
        for (int64_t i = 0; i < 12; i++)
            all[i] = i;
        if (!cached) /* the first round is what all others must give */
            assert_ok(ctx, swg__images_fetch(images, all, 12, &draw, noisy, clean, message, sizeof message));
        const uint64_t before = swg_context_allocations(ctx);
        for (int64_t i = 0; i < 12; i++) {
            fetch_ok(images, i, &draw, alone, NULL);
            fetch_ok(images, i, &draw, NULL, only_clean);
            assert_memory_equal(alone, noisy + i * VALUES, sizeof alone);
            assert_memory_equal(only_clean, clean + i * VALUES, sizeof only_clean);
            assert_memory_not_equal(alone, only_clean, sizeof alone);
        }
        if (cached)
            assert_int_equal(swg_context_allocations(ctx), before);
        pthread_t threads[3];
        for (int t = 0; t < 3; t++) {
            workers[t] = (struct worker){.images = images, .draw = &draw};
            assert_int_equal(pthread_create(&threads[t], NULL, fetch_backwards, &workers[t]), 0);
        }
        for (int t = 0; t < 3; t++) {
            pthread_join(threads[t], NULL);
            assert_int_equal(workers[t].status, SWG_OK);
            for (int64_t i = 0; i < 12; i++) {
                assert_memory_equal(workers[t].noisy + i * VALUES, noisy + (11 - i) * VALUES, sizeof alone);
                assert_memory_equal(workers[t].clean + i * VALUES, clean + (11 - i) * VALUES, sizeof alone);
            }
        }
        swg__images_close(images);
    }
}

static void epochs(void **state) {
    swg_context *ctx = *state;
    NEED_LIBRARIES();
    float a[VALUES], b[VALUES];
    swg__images *images = open_ok(ctx, &(swg__images_opts){.path = sample_csv, .size = "crop", .tile = TILE});
    swg__images_draw draw = {.seed = 42, .noise = {SWG__NOISE_STANDARD, .kind = SWG__NOISE_RECT_GAUSS}, .augment = SWG__AUGMENT_FLIP};
    fetch_ok(images, 3, &draw, a, NULL);
    draw.epoch = 7;
    draw.progress = .7;
    fetch_ok(images, 3, &draw, b, NULL); /* validation: the same in every epoch */
    assert_memory_equal(a, b, sizeof a);
    draw.seed = 43;
    fetch_ok(images, 3, &draw, b, NULL);
    assert_memory_not_equal(a, b, sizeof a);
    draw.training = true;
    fetch_ok(images, 3, &draw, a, NULL);
    draw.epoch = 8;
    fetch_ok(images, 3, &draw, b, NULL); /* training: anew */
    assert_memory_not_equal(a, b, sizeof a);
    char message[100];
    assert_int_equal(swg__images_fetch(images, &(int64_t){12}, 1, &draw, a, NULL, message, sizeof message), SWG_EINVAL);
    assert_string_equal(message, "sample 12: there are 12");
    swg__images_close(images);
}

/* ---- faults ---- */

static void faults(void **state) {
    swg_context *ctx = *state;
    NEED_LIBRARIES();
    scratch s;
    swg__images *images;
    struct notes notes = {0};
    scratch_open(&s);
    put_image(ctx, &s, "a.png", 1, 16, 16, 8);
    put_image(ctx, &s, "b.tif", 2, 16, 16, 16);
    put_text(ctx, &s, "cut.png", "\x89PNG\r\n\x1a\n");
    put_image(ctx, &s, "wide.png", 3, 16, 20, 8);
    put_text(ctx, &s, "i.csv", "Image,slide\na.png,s1\n\nb.tif,s2\ncut.png,s1\nnone.png,s2\na.png,s3\n");
    swg__images_opts opts = {.path = scratch_path(&s, "i.csv"), .tile = 16, .note = take_note, .note_user = &notes};
    char path[400];
    snprintf(path, sizeof path, "%s", opts.path);
    opts.path = path;
    assert_int_equal(swg__images_open(ctx, &opts, &images), SWG_ECORRUPT);
    assert_message(ctx, "i.csv: row 3 (line 5): ", "cut.png: damaged", "data.unreadable=skip");
    assert_int_equal(notes.count, 0);
    opts.unreadable = "skip";
    images = open_ok(ctx, &opts);
    assert_int_equal(swg__images_count(images), 3);
    assert_int_equal(swg__images_skipped(images), 2);
    assert_int_equal(notes.count, 2);
    assert_non_null(strstr(notes.text[0], "skipped: "));
    assert_non_null(strstr(notes.text[0], "row 3 (line 5)"));
    assert_non_null(strstr(notes.text[1], "none.png: cannot open"));
    assert_string_equal(swg__images_summary(images), "3 images of 16x16, u8, u16; 3 samples of 3x16x16; 2 skipped");
    assert_string_equal(swg__images_file_at(images, 2)->name, "a.png");
    assert_int_equal(swg__images_file_at(images, 2)->row, 4);
    swg__images_close(images);

    put_text(ctx, &s, "i.csv", "Image\na.png\nwide.png\n");
    assert_int_equal(swg__images_open(ctx, &opts, &images), SWG_EINVAL); /* readable, so not skipped */
    assert_message(ctx, "row 2 (line 3)", "wide.png: 20 x 16 pixels; 16 x 16 are expected", "data.size=crop, resize or tile");
    put_text(ctx, &s, "i.csv", "Image\ncut.png\ncut.png\n");
    assert_int_equal(swg__images_open(ctx, &opts, &images), SWG_EIO);
    assert_message(ctx, "none of its 2 images can be read");
    put_text(ctx, &s, "i.csv", "Image,slide\na.png,s\na.png,\n");
    opts.group = "slide";
    opts.split.mode = "by-group";
    assert_int_equal(swg__images_open(ctx, &opts, &images), SWG_EFORMAT);
    assert_message(ctx, "row 2 (line 3)", "empty cell", "data.group");
    opts.group = "Slide";
    assert_int_equal(swg__images_open(ctx, &opts, &images), SWG_ENOTFOUND);
    assert_message(ctx, "data.group=Slide", "did you mean slide?");
    opts.group = NULL;
    assert_int_equal(swg__images_open(ctx, &opts, &images), SWG_EINVAL);
    assert_message(ctx, "data.split=by-group needs data.group");
    opts.split.mode = NULL;
    put_text(ctx, &s, "i.csv", "Image\na.png\n");
    assert_int_equal(swg__images_open(ctx, &opts, &images), SWG_EINVAL);
    assert_message(ctx, "part is empty", "images");
    scratch_close(&s, ctx, 5);
}

static void wrong_words(void **state) {
    swg_context *ctx = *state;
    static const struct {
        swg__images_opts opts;
        const char *words;
    } bad[] = {
        {{.path = sample_csv, .size = "cut"}, "data.size=cut: expected one of: error crop resize tile"},
        {{.path = sample_csv, .small = "no"}, "data.small=no"},
        {{.path = sample_csv, .unreadable = "ignore"}, "data.unreadable=ignore"},
        {{.path = sample_csv, .nonfinite = "raw"}, "data.nonfinite=raw"},
        {{.path = sample_csv, .cache = "disk"}, "data.cache=disk"},
        {{.path = sample_csv, .split.mode = "by-time"}, "data.split=by-time"},
        {{.path = sample_csv, .tile = -1}, "data.tile=-1"},
        {{.path = sample_csv, .tile = 64, .overlap = 64}, "data.overlap=64"},
        {{.path = sample_csv, .channels = 1000}, "images of 1000 channels"},
        {{.path = NULL}, "data.path is not given"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        swg__images *images;
        assert_int_equal(swg__images_open(ctx, &bad[i].opts, &images), SWG_EINVAL);
        assert_message(ctx, bad[i].words);
        assert_null(images);
    }
}

static void notes_of_kinds(void **state) {
    swg_context *ctx = *state;
    NEED_LIBRARIES();
    scratch s;
    struct notes notes = {0};
    scratch_open(&s);
    char text[2000] = "Image\n";
    static const char *const files[] = {"rgba8.png", "grey8.png", "pages.tif", "nan_f32.tif", "palette8.png", "greya8.png"};
    for (int i = 0; i < 6; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s/tests/fuzz/corpus/fuzz_image/%s\n", SWG_SOURCE_DIR, files[i]);
    put_text(ctx, &s, "i.csv", text);
    swg__images_opts opts = {.path = scratch_path(&s, "i.csv"), .size = "resize", .tile = 16, .nonfinite = "zero", .note = take_note, .note_user = &notes};
    swg__images *images = open_ok(ctx, &opts);
    assert_string_equal(swg__images_summary(images), "6 images of 7x5, u8, f32; 6 samples of 3x16x16");
    assert_int_equal(notes.count, 4);
    assert_string_equal(notes.text[0], "3 images: the alpha channel is left out");
    assert_string_equal(notes.text[1], "4 grey images: repeated in three channels");
    assert_non_null(strstr(notes.text[2], "1 file of several images: the first of each is read"));
    assert_string_equal(notes.text[3], "2 values that are not finite became 0, in 1 image (data.nonfinite=zero)");
    swg__images_close(images);
    opts.nonfinite = NULL;
    opts.unreadable = "skip"; /* a NaN is not an unreadable file */
    assert_int_equal(swg__images_open(ctx, &opts, &images), SWG_ENONFINITE);
    assert_message(ctx, "row 4 (line 5)", "nan_f32.tif", "data.nonfinite=zero");
    scratch_close(&s, ctx, 1);
}

static void digests(void **state) {
    swg_context *ctx = *state;
    NEED_LIBRARIES();
    static const swg__images_opts kinds[] = {
        {.path = sample_csv}, {.path = sample_csv, .split.seed = 1}, {.path = sample_csv, .size = "crop"}, {.path = sample_csv, .size = "tile", .tile = 64},
        {.path = sample_csv, .size = "tile", .tile = 64, .overlap = 8}, {.path = sample_csv, .group = "slide"},
        {.path = sample_csv, .split = {.train = .5, .val = .25}}, {.path = SWG_SOURCE_DIR "/samples/histology"},
    };
    enum { KINDS = sizeof kinds / sizeof *kinds };
    char seen[KINDS][65];
    for (int k = 0; k < KINDS; k++) {
        swg_context *one;
        assert_int_equal(swg_context_open(&(swg_context_opts){.threads = 1}, &one), SWG_OK);
        swg__images *images = open_ok(ctx, &kinds[k]), *again = open_ok(one, &kinds[k]);
        snprintf(seen[k], sizeof seen[k], "%s", swg__images_digest(images));
        assert_string_equal(seen[k], swg__images_digest(again));
        assert_int_equal(strlen(seen[k]), 64);
        for (int j = 0; j < k; j++)
            assert_string_not_equal(seen[j], seen[k]);
        swg__images_close(images);
        swg__images_close(again);
        swg_context_close(one);
    }
}

static void allocation_failures(void **state) {
    (void)state;
    NEED_LIBRARIES();
    scratch s;
    swg_context *plain;
    char path[400];
    scratch_open(&s);
    assert_int_equal(swg_context_open(NULL, &plain), SWG_OK);
    put_image(plain, &s, "a.png", 1, 20, 17, 8);
    put_image(plain, &s, "b.tif", 2, 16, 33, 16);
    put_text(plain, &s, "i.csv", "Image,slide\na.png,x\nb.tif,y\na.png,z\nb.tif,x\n");
    snprintf(path, sizeof path, "%s", scratch_path(&s, "i.csv"));
    bool done = false;
    for (int64_t n = 0; n < 1000 && !done; n++) {
        testing_allocator counter = {.fail_at = n};
        swg_context *ctx;
        if (swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &counter}}, &ctx) != SWG_OK)
            continue;
        swg__images *images;
        swg__images_opts opts = {.path = path, .group = "slide", .split.mode = "by-group", .size = "tile", .tile = 16};
        swg_status status = swg__images_open(ctx, &opts, &images);
        done = counter.calls <= n;
        if (done)
            assert_ok(ctx, status);
        else if (status == SWG_OK || (status != SWG_ENOMEM && status != SWG_ECORRUPT)) /* libpng tells a lack of memory as any error */
            fail_msg("allocation %lld: %s: %s", (long long)n, swg_status_name(status), swg_context_message(ctx));
        swg__images_close(images);
        swg_context_close(ctx);
        assert_int_equal(counter.live, 0);
    }
    assert_true(done);
    scratch_close(&s, plain, 3);
    swg_context_close(plain);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sample_by_image, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(sample_by_group, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(by_folder, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(tiles_cover, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(crops, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(padding, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(resizing, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(one_draw, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(epochs, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(faults, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(wrong_words, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(notes_of_kinds, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(digests, testing_open, testing_close),
        cmocka_unit_test(allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
