/* vti.c - arrays on a uniform grid as VTK XML image data, which ParaView opens.
 * In: f32 arrays of one shape. Out: a .vti with its numbers appended in binary.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "base.h"
#include "swage/report.h"

/* Quotes and brackets have meanings in XML. */
static void add_name(swg__text *head, const char *name) {
    for (; *name; name++)
        swg__text_add(head, strchr("<>&\"'", *name) || (unsigned char)*name < 32 ? "_" : name, 1);
}

/* VTK counts its first axis fastest, which is our first axis: C order is turned round. */
static swg_status write_values(swg__writer *writer, const int64_t shape[3], const float *values, float *row) {
    for (int64_t k = 0; k < shape[2]; k++)
        for (int64_t j = 0; j < shape[1]; j++) {
            for (int64_t i = 0; i < shape[0]; i++)
                row[i] = values[(i * shape[1] + j) * shape[2] + k];
            SWG__TRY(swg__writer_write(writer, row, (size_t)shape[0] * sizeof *row));
        }
    return SWG_OK;
}

static swg_status write_file(swg__writer *writer, const swg__text *head, const int64_t shape[3], const swg_vti_array *arrays, int64_t count, float *row) {
    static const char tail[] = "\n  </AppendedData>\n</VTKFile>\n";
    uint64_t bytes = (uint64_t)(shape[0] * shape[1] * shape[2]) * sizeof(float);
    SWG__TRY(swg__writer_write(writer, head->data, head->length));
    for (int64_t a = 0; a < count; a++) {
        SWG__TRY(swg__writer_write(writer, &bytes, sizeof bytes));
        SWG__TRY(write_values(writer, shape, arrays[a].values, row));
    }
    return swg__writer_write(writer, tail, sizeof tail - 1);
}

swg_status swg_vti_write(swg_context *ctx, const char *path, const int64_t shape[3], const swg_vti_array *arrays, int64_t count) {
    int64_t values;
    if (count < 1 || shape[0] < 1 || shape[1] < 1 || shape[2] < 1 || swg__mul_overflow(shape[0], shape[1], &values) ||
        swg__mul_overflow(values, shape[2], &values) || values > INT64_MAX / 8)
        return swg__fail(ctx, SWG_ESHAPE, "%s: %lld arrays of %lld x %lld x %lld values", path, (long long)count, (long long)shape[0], (long long)shape[1],
                         (long long)shape[2]);
    swg__text head;
    swg__text_init(&head, ctx);
    swg__text_printf(&head, "<?xml version=\"1.0\"?>\n<VTKFile type=\"ImageData\" version=\"1.0\" byte_order=\"LittleEndian\" header_type=\"UInt64\">\n");
    swg__text_printf(&head, "  <ImageData WholeExtent=\"0 %lld 0 %lld 0 %lld\" Origin=\"0 0 0\" Spacing=\"1 1 1\">\n", (long long)shape[0] - 1,
                     (long long)shape[1] - 1, (long long)shape[2] - 1);
    swg__text_printf(&head, "    <Piece Extent=\"0 %lld 0 %lld 0 %lld\">\n      <PointData Scalars=\"", (long long)shape[0] - 1, (long long)shape[1] - 1,
                     (long long)shape[2] - 1);
    add_name(&head, arrays[0].name);
    swg__text_puts(&head, "\">\n");
    for (int64_t a = 0; a < count; a++) {
        swg__text_puts(&head, "        <DataArray type=\"Float32\" Name=\"");
        add_name(&head, arrays[a].name);
        swg__text_printf(&head, "\" format=\"appended\" offset=\"%lld\"/>\n", (long long)(a * (values * (int64_t)sizeof(float) + (int64_t)sizeof(uint64_t))));
    }
    swg__text_puts(&head, "      </PointData>\n    </Piece>\n  </ImageData>\n  <AppendedData encoding=\"raw\">\n   _");
    float *row = swg__alloc(ctx, (size_t)shape[0] * sizeof *row);
    swg__writer writer;
    swg_status status = head.failed || !row ? swg__fail_memory(ctx, (size_t)shape[0] * sizeof *row, path) : swg__writer_open(&writer, ctx, path);
    if (status == SWG_OK) {
        status = write_file(&writer, &head, shape, arrays, count, row);
        if (status == SWG_OK)
            status = swg__writer_commit(&writer);
        else
            swg__writer_abort(&writer);
    }
    swg__free(ctx, row);
    swg__text_free(&head);
    return status;
}
