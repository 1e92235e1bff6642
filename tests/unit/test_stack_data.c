/* test_stack_data.c - proves, where the microscopy data lie beside the repository: each of its TIFF files opens with the extents and gives, bit for
 * bit, the values that tifffile reads (tests/golden/list_stacks.py). Skipped, and said, where they do not.
 * SPDX-License-Identifier: Apache-2.0 */
#include <zlib.h>
#include "testing.h"
#include "swage/stack.h"

static const struct {
    const char *file;
    int64_t extent[5];
    swg_element element;
    uint32_t crc;
} files[] = {
    {"labelfree/fnet_light.tif", {1, 1, 32, 128, 128}, SWG_ELEMENT_F32, 0xcda27863},
    {"labelfree/fnet_nuc.tif", {1, 1, 32, 128, 128}, SWG_ELEMENT_F32, 0x0969ecc4},
    {"labelfree/fnet_prediction.tif", {1, 1, 32, 128, 128}, SWG_ELEMENT_F32, 0x7f13625b},
    {"multichannel/bbbc022_A02_s9_3ch.tif", {1, 3, 1, 395, 695}, SWG_ELEMENT_U16, 0x3d12b25a},
    {"multichannel/neubias_xyc_16bit__cell_dna_mts_actin.tif", {1, 3, 1, 350, 350}, SWG_ELEMENT_U16, 0xb4a6c6d8},
    {"multichannel/neubias_xyc_16bit__hela-cells.tif", {1, 3, 1, 512, 672}, SWG_ELEMENT_U16, 0xd2c3428f},
    {"multichannel/neubias_xyc_16bit__nup_nuclei.tif", {1, 2, 1, 420, 476}, SWG_ELEMENT_U16, 0xd91aa2e2},
    {"multichannel/neubias_xyc_16bit__nup_nuclei__xy_8bit_labels__nuclei.tif", {1, 1, 1, 420, 476}, SWG_ELEMENT_U8, 0x495aaac0},
    {"multichannel/neubias_xyc_8bit__membranes_nuclei.tif", {1, 2, 1, 354, 475}, SWG_ELEMENT_U8, 0xaded2fc7},
    {"nuclei2d/maize_clsm.tif", {1, 1, 1, 640, 639}, SWG_ELEMENT_U8, 0x4c9322c1},
    {"nuclei2d/maize_clsm_labels.tif", {1, 1, 1, 640, 639}, SWG_ELEMENT_U32, 0xb4432c0f},
    {"nuclei2d/stardist_img2d.tif", {1, 1, 1, 512, 512}, SWG_ELEMENT_U16, 0xb78da164},
    {"nuclei2d/stardist_mask2d.tif", {1, 1, 1, 512, 512}, SWG_ELEMENT_U16, 0xdae21912},
    {"superres/bia_beads_3d.tif", {1, 1, 41, 150, 150}, SWG_ELEMENT_U8, 0x17efa192},
    {"superres/bia_deconv_grid.tif", {1, 1, 21, 150, 150}, SWG_ELEMENT_U8, 0x1b596908},
    {"volumes/neubias_xyz_16bit__spots.tif", {1, 1, 17, 88, 89}, SWG_ELEMENT_U16, 0xf82b42c1},
    {"volumes/neubias_xyz_8bit__chromosomes.tif", {1, 1, 40, 152, 126}, SWG_ELEMENT_U16, 0x2046950c},
    {"volumes/neubias_xyz_8bit__mitotic_plate_calibrated.tif", {1, 1, 6, 263, 263}, SWG_ELEMENT_U8, 0xefa264b6},
    {"volumes/neubias_xyz_8bit__nuclei_autothresh.tif", {1, 1, 37, 118, 132}, SWG_ELEMENT_U8, 0x75a843f4},
    {"volumes/neubias_xyz_8bit__nucleus.tif", {1, 1, 7, 207, 207}, SWG_ELEMENT_U8, 0x142ed884},
    {"volumes/neubias_xyzc_16bit__spots.tif", {1, 2, 17, 88, 89}, SWG_ELEMENT_U16, 0xa9316d57},
    {"volumes/stardist_img3d.tif", {1, 1, 31, 61, 57}, SWG_ELEMENT_U16, 0x5d8e8df5},
    {"volumes/stardist_mask3d.tif", {1, 1, 31, 61, 57}, SWG_ELEMENT_U16, 0x620ced3d},
};

static void real_files(void **state) {
    swg_context *ctx = *state;
    char path[600];
    snprintf(path, sizeof path, "%s/../shared/data/microscopy", SWG_SOURCE_DIR);
    if (!swg__is_folder(path)) {
        printf("             %s is absent: skipped\n", path);
        skip();
    }
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        swg_stack *stack;
        snprintf(path, sizeof path, "%s/../shared/data/microscopy/%s", SWG_SOURCE_DIR, files[f].file);
        assert_ok(ctx, swg_stack_open(ctx, path, NULL, &stack));
        const swg_stack_info *i = swg_stack_about(stack);
        const int64_t extent[5] = {i->t, i->c, i->z, i->y, i->x};
        if (memcmp(extent, files[f].extent, sizeof extent) != 0 || i->element != files[f].element)
            fail_msg("%s: %lld x %lld x %lld x %lld x %lld of %s", files[f].file, (long long)i->t, (long long)i->c, (long long)i->z, (long long)i->y, (long long)i->x,
                     swg_element_name(i->element));
        const size_t bytes = (size_t)(i->c * i->z * i->y * i->x) * sizeof(float);
        float *values = malloc(bytes);
        uint32_t crc = 0;
        for (int64_t t = 0; t < i->t; t++) {
            assert_ok(ctx, swg_stack_read(stack, &(swg_stack_box){.t = t}, values));
            crc = (uint32_t)crc32(crc, (const Bytef *)values, (uInt)bytes);
        }
        free(values);
        if (crc != files[f].crc)
            fail_msg("%s: CRC-32 of its values is %08x, expected %08x", files[f].file, crc, files[f].crc);
        swg_stack_close(stack);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(real_files, testing_open, testing_close)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
