/* encoded.c - what becomes of coded chunks: which models pay, figures, the stream's bytes.
 * In: chunks in one or more forms. Out: a .swz stream of the forms that make it shortest.
 * SPDX-License-Identifier: Apache-2.0 */
#include "encode.h"
#include "swz.h"

void swg__encoded_free(swg__encoded *e) {
    for (int64_t i = 0; e->chunk && i < e->layout.count; i++) {
        swg__text_free(&e->chunk[i].plain.record);
        for (int k = 0; k < e->chunk[i].others; k++)
            swg__text_free(&e->chunk[i].other[k].record);
        swg__free(e->ctx, e->chunk[i].other);
    }
    if (e->ctx)
        swg__free(e->ctx, e->chunk);
    swg_codec_model_free(e->ctx, e->own);
    *e = (swg__encoded){0};
}

/* ---- which models pay ---- */

static bool used(int blob, const int *in, int count) {
    for (int i = 0; i < count; i++)
        if (in[i] == blob)
            return true;
    return false;
}

/* Bytes of a chunk with some models. */
static int64_t least_bytes(const swg__coded *c, const int *in, int count) {
    size_t least = c->plain.record.length;
    for (int k = 0; k < c->others; k++)
        if (c->other[k].record.length < least && used(c->other[k].blob, in, count))
            least = c->other[k].record.length;
    return (int64_t)least;
}

int64_t swg__encoded_with(const swg__encoded *e, const int *in, int count) {
    int64_t bytes = e->bytes;
    for (int64_t i = 0; i < e->layout.count && count; i++)
        bytes -= (int64_t)e->chunk[i].plain.record.length - least_bytes(&e->chunk[i], in, count);
    return bytes;
}

/* What some models save, less their own bytes. */
static int64_t saving(const swg__encoded *e, const int *in, int count) {
    return count ? e->bytes - swg__encoded_with(e, in, count) - (int64_t)swg__models_bytes(swg__encoded_models(e), in, count) : 0;
}

bool swg__encoded_gain(const swg__encoded *e, const int *in, int count, int64_t gain[SWG__BLOBS]) {
    bool any = false;
    for (int64_t i = 0; i < e->layout.count; i++) {
        const swg__coded *c = &e->chunk[i];
        int64_t now = c->others ? least_bytes(c, in, count) : 0;
        for (int k = 0; k < c->others; k++) {
            int64_t less = now - (int64_t)c->other[k].record.length;
            if (less > 0)
                gain[c->other[k].blob] += less;
            any = any || (less > 0 && c->other[k].blob != SWG__OWN);
        }
    }
    return any;
}

bool swg__encoded_uses(const swg__encoded *e, const int *blob, int count) {
    return swg__encoded_with(e, blob, count) < e->bytes;
}

int64_t swg__encoded_held(const swg__encoded *e) {
    int64_t bytes = e->bytes + e->layout.count * (int64_t)sizeof *e->chunk;
    for (int64_t i = 0; i < e->layout.count; i++)
        for (int k = 0; k < e->chunk[i].others; k++)
            bytes += (int64_t)(e->chunk[i].other[k].record.length + sizeof *e->chunk[i].other);
    return bytes;
}

int swg__encoded_choose(const swg__encoded *e, int blob[SWG__BLOBS]) {
    int64_t gain[SWG__BLOBS] = {0};
    int count = 0;
    (void)swg__encoded_gain(e, NULL, 0, gain);
    for (int i = 0; i < SWG__BLOBS; i++)
        if (gain[i] && gain[i] > (int64_t)swg__blob_cost(swg__encoded_models(e), i))
            blob[count++] = i;
    /* From all of them, the one without which the stream becomes shortest goes, as long as there is such a one. */
    for (int worst = 0; worst >= 0 && count;) {
        int64_t best = saving(e, blob, count);
        int rest[SWG__BLOBS];
        worst = -1;
        for (int i = 0; i < count; i++) {
            for (int k = 0, n = 0; k < count; k++)
                if (k != i)
                    rest[n++] = blob[k];
            int64_t bytes = saving(e, rest, count - 1);
            if (bytes >= best || (count > SWG__MODELS && worst < 0)) {
                best = bytes;
                worst = i;
            }
        }
        for (int k = worst; worst >= 0 && k + 1 < count; k++)
            blob[k] = blob[k + 1];
        count -= worst >= 0;
    }
    return count;
}

const swg__form *swg__coded_form(swg__coded *c, const swg__model_use *use) {
    swg__form *form = &c->plain;
    for (int k = 0; k < c->others; k++)
        if (c->other[k].record.length < form->record.length && used(c->other[k].blob, use->blob, use->count))
            form = &c->other[k];
    for (int i = 0; form->blob >= 0 && i < use->count; i++)
        if (use->blob[i] == form->blob) {
            form->head.model_ref = (uint16_t)i;
            form->head.crc = swg__record_refer((uint8_t *)form->record.data, form->record.length, (uint16_t)i);
        }
    return form;
}

/* ---- what a coding reaches ---- */

int64_t swg__encoded_bytes(const swg__encoded *e) {
    int blob[SWG__BLOBS];
    return e->bytes - saving(e, blob, swg__encoded_choose(e, blob));
}

double swg__encoded_psnr(const swg__encoded *e, double width) {
    double squares = 0;
    int64_t count = 0;
    for (int64_t i = 0; i < e->layout.count; i++) {
        const swg__coded *c = &e->chunk[i];
        double worst = c->plain.squares;
        for (int k = 0; k < c->others; k++)
            worst = c->other[k].squares > worst ? c->other[k].squares : worst;
        squares += worst;
        count += c->measured;
    }
    return squares > 0 ? 20 * log10(width) - 10 * log10(squares / (double)count) : INFINITY;
}

double swg__encoded_ratio(const swg__encoded *e) {
    int64_t in = 0;
    double out = (double)swg__encoded_bytes(e);
    for (int64_t i = 0; i < e->layout.count; i++)
        if (e->chunk[i].plain.record.length)
            in += e->chunk[i].plain.head.n_values;
    if (e->stride > 1) { /* the index is whole, the records are not */
        double around = (double)(SWG__HEADER_BYTES + SWG__FRAME_BYTES + 8 + SWG__FOOTER_BYTES) + (double)e->layout.count * SWG__INDEX_ENTRY;
        out = around + (out - around) * (double)e->layout.values / (double)(in ? in : 1);
    }
    return (double)e->layout.values * swg_element_bytes(e->header.type) / out;
}

/* ---- the stream ---- */

swg_status swg__encoded_write(swg__encoded *e, swg__model_use use, swg__text *out, swg_codec_stats *stats) {
    const size_t start = out->length;
    const swg__grid *grid = &e->header.grid;
    swg_codec_stats s = {.values = e->layout.values, .chunks = e->layout.count, .eb_abs = grid->eb, .step = grid->step,
                         .range_min = e->header.range_min, .range_max = e->header.range_max};
    s.bytes_in = s.values * swg_element_bytes(e->header.type);
    e->header.n_chunks = (uint64_t)e->layout.count;
    double squares = 0;
    int64_t measured = 0;
    for (int64_t i = 0; i < e->layout.count; i++) {
        squares += swg__coded_form(&e->chunk[i], &use)->squares;
        measured += e->chunk[i].measured;
    }
    if (e->header.bound == SWG_BOUND_PSNR)
        s.psnr_db = e->header.psnr = squares > 0 ? 20 * log10(e->header.range_max - e->header.range_min) - 10 * log10(squares / (double)measured) : INFINITY;
    const bool inside = use.count && !use.enclosing;
    e->header.n_models = (uint32_t)use.count;
    e->header.incompat = use.count && use.enclosing ? SWG__INCOMPAT_ENCLOSED : 0;
    e->header.off_models = 0;
    if (inside) { /* the header's length is known once it is written */
        swg__header_write(&e->header, e->name, e->attributes, out);
        e->header.off_models = out->length - start;
        out->length = start;
    }
    swg__header_write(&e->header, e->name, e->attributes, out);
    if (inside)
        swg__models_write(swg__encoded_models(e), use.blob, use.count, out);
    swg__text index;
    swg__text_init(&index, e->ctx);
    swg__section_begin(&index, "INDX", 8 + (uint64_t)e->layout.count * SWG__INDEX_ENTRY);
    swg__put64(&index, (uint64_t)e->layout.count);
    for (int64_t i = 0; i < e->layout.count; i++) {
        const swg__form *form = swg__coded_form(&e->chunk[i], &use);
        const swg__record_head *head = &form->head;
        swg__index_write(&(swg__index_entry){out->length - start, head->record_bytes, head->crc, head->mode, head->submode, head->flags,
                                             head->max_ratio}, &index);
        swg__put(out, form->record.data, form->record.length);
        s.mode_chunks[swg__mode_of(head->mode, head->submode)]++;
        s.filled += e->chunk[i].filled;
        s.outliers += form->outliers;
        s.max_ratio = (double)head->max_ratio > s.max_ratio ? (double)head->max_ratio : s.max_ratio;
    }
    swg__section_end(&index, 0);
    swg__footer footer = {.off_index = out->length - start, .index_bytes = index.length, .n_chunks = (uint64_t)e->layout.count,
                          .dims0 = (uint64_t)e->header.dims[0]};
    if (!index.failed)
        swg__put(out, index.data, index.length);
    footer.file_bytes = out->length - start + SWG__FOOTER_BYTES;
    swg__footer_write(&footer, out);
    bool failed = index.failed || out->failed;
    swg__text_free(&index);
    s.bytes_out = (int64_t)(out->length - start);
    if (stats)
        *stats = s;
    return failed ? swg__fail_memory(e->ctx, out->length, "a compressed stream") : SWG_OK;
}
