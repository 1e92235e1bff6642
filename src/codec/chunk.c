/* chunk.c - what all modes share: outliers and the way from levels to values.
 * SPDX-License-Identifier: Apache-2.0 */
#include "chunk.h"

void swg__outlier_add(swg__outliers *list, int64_t position) {
    if (list->count == list->capacity) {
        int64_t larger = list->capacity ? 2 * list->capacity : 256;
        uint32_t *grown = swg__grow(list->ctx, list->position, (size_t)larger * sizeof *grown);
        if (!grown) {
            list->failed = true;
            return;
        }
        list->position = grown;
        list->capacity = larger;
    }
    list->position[list->count++] = (uint32_t)position;
}

void swg__outliers_free(swg__outliers *list) {
    if (list->ctx)
        swg__free(list->ctx, list->position);
    list->position = NULL;
}

void swg__copy_values(void *to, const void *from, int64_t count, int bytes) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    for (int64_t i = 0; i < count; i++)
        for (int b = 0; b < bytes; b++)
            ((uint8_t *)to)[i * bytes + b] = ((const uint8_t *)from)[i * bytes + bytes - 1 - b];
#else
    memcpy(to, from, (size_t)count * (size_t)bytes);
#endif
}

/* Heap sort: qsort may allocate, and in situ nothing may. */
static void sort_positions(uint32_t *a, int64_t n) {
    for (int64_t begin = n / 2, end = n; end > 1;) {
        uint32_t moved;
        if (begin > 0) {
            moved = a[--begin];
        } else {
            moved = a[--end];
            a[end] = a[0];
        }
        int64_t hole = begin;
        for (int64_t child = 2 * hole + 1; child < end; child = 2 * hole + 1) {
            child += child + 1 < end && a[child + 1] > a[child];
            if (a[child] <= moved)
                break;
            a[hole] = a[child];
            hole = child;
        }
        a[hole] = moved;
    }
}

swg_status swg__outliers_write(swg__outliers *list, const swg__chunk *chunk, swg__draft *draft) {
    swg__text *out = &draft->stream[SWG__OUTLIERS];
    size_t size = (size_t)swg_element_bytes(chunk->grid.type);
    if (list->failed)
        return swg__fail_memory(chunk->ctx, (size_t)list->capacity * 8, "outliers");
    draft->outliers = list->count;
    if (!list->count)
        return SWG_OK;
    int64_t ordered = 1; /* as most modes find them; a library's sort may allocate */
    while (ordered < list->count && list->position[ordered - 1] < list->position[ordered])
        ordered++;
    if (ordered < list->count)
        sort_positions(list->position, list->count);
    draft->head.flags |= SWG__FLAG_OUTLIERS;
    swg__put32(out, (uint32_t)list->count);
    uint32_t next = 0;
    for (int64_t i = 0; i < list->count; i++) {
        swg__put_leb(out, list->position[i] - next);
        next = list->position[i] + 1;
    }
    for (int64_t i = 0; i < list->count; i++) {
        const char *value = (const char *)chunk->values + list->position[i] * size;
        uint8_t bytes[8];
        if (size == 4)
            swg__store32(bytes, *(const uint32_t *)(const void *)value);
        else
            swg__store64(bytes, *(const uint64_t *)(const void *)value);
        swg__put(out, bytes, size);
    }
    return out->failed ? swg__fail_memory(chunk->ctx, out->length, "outliers") : SWG_OK;
}

swg_status swg__symbols_write(const swg__chunk *chunk, swg__symbols *symbols, int64_t more, swg__draft *draft) {
    draft->head.lanes_log2 = (uint8_t)swg__lanes_for(swg__rans_estimate(symbols->code, symbols->count) + more);
    SWG__TRY(swg__rans_encode(symbols->code, symbols->count, draft->head.lanes_log2, chunk->ctx, &draft->stream[SWG__RANS]));
    if (symbols->raw.length)
        swg__put(&draft->stream[SWG__RAW], symbols->raw.data, symbols->raw.length);
    for (int k = 1; k < SWG__STREAM_KINDS; k++)
        if (draft->stream[k].failed || symbols->raw.failed)
            return swg__fail_memory(chunk->ctx, symbols->raw.length, "a chunk");
    return SWG_OK;
}

const char *swg__outliers_read(const swg__chunk *chunk, swg__span stream) {
    swg__cursor gaps = {.at = stream.data, .end = stream.data + stream.bytes};
    size_t size = (size_t)swg_element_bytes(chunk->grid.type);
    uint32_t count = swg__take32(&gaps);
    if (!swg__is_float(chunk->grid.type) || count == 0 || count > (uint64_t)chunk->count || swg__left(&gaps) < count * (1 + size))
        return "number of outliers is impossible";
    swg__cursor values = {.at = stream.data + stream.bytes - count * size, .end = stream.data + stream.bytes};
    gaps.end = values.at;
    uint64_t next = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t at = next + swg__take_leb(&gaps);
        if (gaps.bad || at >= (uint64_t)chunk->count)
            return "position of an outlier is malformed or past the end of its chunk";
        const uint8_t *value = swg__take(&values, size);
        if (size == 4)
            ((uint32_t *)chunk->values)[at] = swg__load32(value);
        else
            ((uint64_t *)chunk->values)[at] = swg__load64(value);
        next = at + 1;
    }
    return swg__left(&gaps) ? "bytes left over behind the outliers" : NULL;
}

const char *swg__levels_store(const swg__chunk *chunk, int shift, const int64_t *u, int64_t first, int64_t n) {
    const swg__grid *grid = &chunk->grid;
    const double base = grid->base, step = swg__grid_step(grid, shift);
    int64_t beyond = 0;
    for (int64_t i = 0; i < n; i++)
        beyond |= (u[i] > SWG__LEVEL_LIMIT) | (u[i] < -SWG__LEVEL_LIMIT);
    if (beyond)
        return "level beyond 2^45";
    if (grid->type == SWG_ELEMENT_F32 && grid->step > 0) {
        float *out = (float *)chunk->values + first;
        for (int64_t i = 0; i < n; i++)
            out[i] = (float)swg__grid_value(base, step, (double)u[i]);
    } else if (grid->type == SWG_ELEMENT_F64) {
        double *out = (double *)chunk->values + first;
        for (int64_t i = 0; i < n; i++)
            out[i] = swg__grid_value(base, step, (double)u[i]);
    } else if (grid->type == SWG_ELEMENT_F32) {
        uint32_t *out = (uint32_t *)chunk->values + first;
        for (int64_t i = 0; i < n; i++) {
            beyond |= (u[i] > INT32_MAX) | (u[i] < INT32_MIN);
            out[i] = swg__unkey32((int32_t)u[i]);
        }
        return beyond ? "key beyond 32 bits" : NULL;
    } else {
        int64_t m = grid->step > 0 ? (int64_t)grid->step : 1;
        for (int64_t i = 0; i < n; i++)
            swg__integer_store(grid->type, chunk->values, first + i, m, u[i]);
    }
    return NULL;
}
