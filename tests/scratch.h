/* scratch.h - a folder that lives for one test.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_SCRATCH_H
#define SWAGE_SCRATCH_H

#include <unistd.h>
#include "testing.h"

typedef struct scratch {
    char folder[64];
    char path[320]; /* of the last scratch_path */
} scratch;

static inline void scratch_open(scratch *s) {
    strcpy(s->folder, "/tmp/swage-test-XXXXXX");
    assert_non_null(mkdtemp(s->folder));
}

/* Path of a file in the folder; valid until the next call. */
static inline const char *scratch_path(scratch *s, const char *name) {
    snprintf(s->path, sizeof s->path, "%s/%s", s->folder, name);
    return s->path;
}

/* Removes the folder and its files, after checking their number: what is left over would be a forgotten temporary file. */
static inline void scratch_close(scratch *s, swg_context *ctx, size_t files) {
    char **names;
    size_t count;
    assert_ok(ctx, swg__list_folder(ctx, s->folder, &names, &count));
    for (size_t i = 0; i < count; i++)
        unlink(scratch_path(s, names[i]));
    swg__list_free(ctx, names, count);
    assert_int_equal(rmdir(s->folder), 0);
    assert_int_equal(count, files);
}

/* The message of the context must hold every one of these words. */
#define assert_message(ctx, ...)                                                                          \
    do {                                                                                                  \
        const char *const testing_words[] = {__VA_ARGS__};                                                \
        for (size_t testing_i = 0; testing_i < sizeof testing_words / sizeof *testing_words; testing_i++) \
            if (!strstr(swg_context_message(ctx), testing_words[testing_i]))                              \
                fail_msg("\"%s\" is not in \"%s\"", testing_words[testing_i], swg_context_message(ctx));  \
    } while (0)

#endif
