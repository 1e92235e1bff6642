/* cmd_example.c - `swage example`: made-up data to try the experiments with.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include "base.h"
#include "cli/cli.h"
#include "swage/example.h"

static const cli_option options[] = {
    {"images", 'n', "N", "how many (default: 6); of four or more one is for validation and one for testing"},
    {"extent", 0, "Z,Y,X", "of each (default: 64,128,128)"},
    {"songs", 0, "N", "songs as folders of stems in place of stacks, so many"},
    {"seconds", 0, "S", "of each song (default: 10)"},
    {"rate", 0, "HZ", "of songs (default: 44100)"},
    {"seed", 0, "N", "others (default: 0)"},
    {NULL, 0, NULL, NULL},
};

static swg_status songs(cli *c, uint64_t seed) {
    swg_example_songs_opts o = {.seed = seed};
    const char *seconds = cli_value(c, "seconds");
    char *end = NULL;
    SWG__TRY(cli_integer(c, "songs", 1, 100000, &o.songs));
    SWG__TRY(cli_integer(c, "rate", 1000, 768000, &o.rate));
    if (seconds)
        o.seconds = strtod(seconds, &end);
    if (seconds && (end == seconds || *end || !(o.seconds > 0 && o.seconds <= 3600)))
        return cli_fail(c, SWG_EUSAGE, "--seconds %s: expected a number above 0, at most 3600", seconds);
    SWG__TRY(swg_example_songs(c->ctx, c->positional[0], &o));
    printf("wrote %s: song-N/vocals.wav, drums.wav, bass.wav, other.wav, mixture.wav\n", c->positional[0]);
    return SWG_OK;
}

static swg_status run(cli *c) {
    swg_example_opts o = {0};
    int64_t seed = 0;
    const char *extent = cli_value(c, "extent");
    SWG__TRY(cli_integer(c, "images", 1, 100000, &o.images));
    SWG__TRY(cli_integer(c, "seed", 0, INT64_MAX, &seed));
    if (cli_value(c, "songs"))
        return songs(c, (uint64_t)seed);
    if (cli_value(c, "seconds") || cli_value(c, "rate"))
        return cli_fail(c, SWG_EUSAGE, "--seconds and --rate are of songs; say --songs N");
    o.seed = (uint64_t)seed;
    for (int i = 0; i < 3 && extent; i++) {
        char *end;
        o.extent[i] = strtoll(extent, &end, 10);
        if (end == extent || o.extent[i] < 16 || *end != (i < 2 ? ',' : 0))
            return cli_fail(c, SWG_EUSAGE, "--extent %s: expected three numbers of 16 or more, as 64,128,128", cli_value(c, "extent"));
        extent = end + 1;
    }
    SWG__TRY(swg_example_stacks(c->ctx, c->positional[0], &o));
    printf("wrote %s: raw-N.tif (7 channels), seg-N.tif (4), nuclei-N.tif, train.csv, valid.csv, test.csv, predict.csv\n", c->positional[0]);
    return SWG_OK;
}

const cli_command cli_cmd_example = {
    .name = "example",
    .usage = "FOLDER [--images 6] [--extent 64,128,128] | FOLDER --songs 4",
    .help = "make up microscopy stacks or songs to try the experiments with",
    .details = "Cells with round nuclei: not measured, and easy. The channels are those of the published example file.\n"
               "  swage example cells && swage train cyto/segmentation data.path=cells trainer.max_epochs=20\n"
               "The published patch in 2-D, 64x64 at a quarter of the size, needs larger images:\n"
               "  swage example planes --extent 39,256,256 && swage train cyto/labelfree data.path=planes model.spatial_dims=2\n"
               "Songs of a voice, drums, a bass and chords, as easy:\n"
               "  swage example songs --songs 4 && swage train tfswa/small data.path=songs trainer.max_epochs=10",
    .options = options,
    .least = 1,
    .most = 1,
    .run = run,
};
