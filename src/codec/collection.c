/* collection.c - writes and parses the directory around several .swz streams.
 * In: arrays one after the other. Out: head, members, MODL with the models that members use, DIRY, footer.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <unistd.h>
#include "collection.h"
#include "journal.h"
#include "writer.h"

static const uint8_t magic[8] = {0x89, 'S', 'W', 'C', '\r', '\n', 0x1A, '\n'};
static const uint8_t end_magic[4] = {0x1A, 'C', 'W', 'S'};

/* ---- reading ---- */

bool swg__is_collection(const uint8_t *data, size_t bytes) { return bytes >= 8 && memcmp(data, magic, 8) == 0; }

static const char *check_head(const uint8_t *head, swg_status *status) {
    if (swg__load32(head + 12) != swg__crc32c(0, head, 12))
        return "checksum of the head is wrong";
    if (swg__load16(head + 8) != 1) {
        *status = SWG_EUNSUPPORTED;
        return "has another major version than 1: a newer swage reads it";
    }
    return NULL;
}

/* The footer `at`, the last bytes of a file of `bytes` bytes. *place: offset and length of the directory, then of the models. */
static const char *check_footer(const uint8_t *at, uint64_t bytes, uint64_t place[4], uint64_t *members) {
    const uint64_t own = bytes - SWG__COLLECTION_FOOTER;
    if (memcmp(at + 60, end_magic, 4) != 0 || memcmp(at, "SWCF", 4) != 0 || swg__load32(at + 4) != SWG__COLLECTION_FOOTER)
        return "has no footer: it was cut off, or something was appended";
    if (swg__load32(at + 56) != swg__crc32c(0, at, 56))
        return "checksum of the footer is wrong";
    for (int i = 0; i < 4; i++)
        place[i] = swg__load64(at + 8 + 8 * i);
    *members = swg__load64(at + 40);
    if (swg__load64(at + 48) != bytes)
        return "length differs from the one in its footer";
    if (place[0] < SWG__COLLECTION_HEAD || place[0] > own || place[1] != own - place[0])
        return "directory is outside the file";
    if (place[2] && (place[2] < SWG__COLLECTION_HEAD || place[2] > place[0] || place[3] != place[0] - place[2]))
        return "models are outside the file";
    return NULL;
}

const char *swg__directory_open(swg__input *input, swg__directory *d, swg_status *status) {
    swg__piece piece;
    swg__span payload;
    uint64_t place[4] = {0};
    *d = (swg__directory){0};
    *status = SWG_ECORRUPT;
    if (input->bytes < SWG__COLLECTION_HEAD + SWG__COLLECTION_FOOTER)
        return "ends before its footer";
    const char *why = swg__input_take(input, 0, SWG__COLLECTION_HEAD, &piece);
    if (!why)
        why = check_head(piece.span.data, status);
    swg__piece_free(input, &piece);
    if (why)
        return why;
    why = swg__input_take(input, input->bytes - SWG__COLLECTION_FOOTER, SWG__COLLECTION_FOOTER, &piece);
    if (!why)
        why = check_footer(piece.span.data, input->bytes, place, &d->count);
    swg__piece_free(input, &piece);
    if (!why && place[2])
        why = swg__input_take(input, place[2], place[3], &d->models);
    if (!why)
        why = swg__input_take(input, place[0], place[1], &d->section);
    if (!why)
        why = swg__section_parse(d->section.span.data, d->section.span.bytes, "DIRY", &payload);
    if (why)
        return why;
    enum { ENTRY = 20 };
    if (payload.bytes < 8 || swg__load64(payload.data) != d->count || d->count > (payload.bytes - 8) / ENTRY)
        return "directory counts other members than the footer";
    d->members_end = place[2] ? place[2] : place[0];
    d->entries = (swg__span){payload.data + 8, payload.bytes - 8};
    d->previous_end = SWG__COLLECTION_HEAD;
    return NULL;
}

void swg__directory_close(swg__input *input, swg__directory *d) {
    swg__piece_free(input, &d->models);
    swg__piece_free(input, &d->section);
}

const char *swg__directory_next(swg__cursor *in, swg__directory *d, swg__directory_entry *e) {
    *e = (swg__directory_entry){swg__take64(in), swg__take64(in), {NULL, 0}, {NULL, 0}};
    e->source.bytes = swg__take16(in);
    e->name.bytes = swg__take16(in);
    e->source.data = swg__take(in, e->source.bytes);
    e->name.data = swg__take(in, e->name.bytes);
    if (in->bad)
        return "directory ends inside an entry";
    if (e->offset < d->previous_end || e->offset > d->members_end || e->bytes > d->members_end - e->offset)
        return "place is outside the members or overlaps another";
    d->previous_end = e->offset + e->bytes;
    return NULL;
}

/* ---- writing ---- */

typedef struct written {
    char *source, *name;
    uint64_t offset, bytes;
    double seconds;        /* that coding it took */
} written;

/* A member that models which are not in the file yet would make shorter, held until they pay for themselves. */
typedef struct pending {
    swg__encoded coded;
    char *name, *attributes;            /* what coded refers to */
    int64_t entry, bytes;               /* bytes: of all its forms */
    int64_t gain[SWG__BLOBS];           /* of each blob, given those in the file */
} pending;

enum { HELD_BYTES = 256 << 20 };        /* of members held; beyond, the oldest is written as it is */

struct swg_codec_writer {
    swg_context *ctx;
    const swg_codec_model *model;
    swg__writer file;
    swg__journal journal;  /* of a writer that can be continued; ctx NULL: there is none */
    written *entry;
    pending *held;
    int64_t count, capacity, held_count, held_capacity;
    int64_t held_bytes, saved;
    int in[SWG__MODELS];   /* blobs that have paid for themselves: members use them from here on, by their place in this list */
    int in_count;
    swg_status broken;     /* a write failed: no commit */
};

static void pending_free(swg_context *ctx, pending *p) {
    swg__encoded_free(&p->coded);
    swg__free(ctx, p->attributes);
    swg__free(ctx, p->name);
}

static void writer_free(swg_codec_writer *w) {
    for (int64_t i = 0; i < w->count; i++) {
        swg__free(w->ctx, w->entry[i].source);
        swg__free(w->ctx, w->entry[i].name);
    }
    for (int64_t i = 0; i < w->held_count; i++) {
        pending_free(w->ctx, &w->held[i]);
    }
    swg__free(w->ctx, w->entry);
    swg__free(w->ctx, w->held);
    swg__writer_abort(&w->file);
    swg__journal_close(&w->journal);
    swg__free(w->ctx, w);
}

static swg_status writer_new(swg_context *ctx, const swg_codec_model *model, swg_codec_writer **out) {
    *out = swg__calloc(ctx, 1, sizeof **out);
    if (!*out)
        return swg__fail_memory(ctx, sizeof **out, "a collection");
    (*out)->ctx = ctx;
    (*out)->model = model;
    return SWG_OK;
}

static void make_head(uint8_t head[SWG__COLLECTION_HEAD]) {
    memset(head, 0, SWG__COLLECTION_HEAD);
    memcpy(head, magic, sizeof magic);
    swg__store16(head + 8, 1);
    swg__store32(head + 12, swg__crc32c(0, head, 12));
}

swg_status swg_codec_writer_open(swg_context *ctx, const char *path, const swg_codec_model *model, swg_codec_writer **out) {
    uint8_t head[SWG__COLLECTION_HEAD];
    SWG__TRY(writer_new(ctx, model, out));
    swg_status status = swg__writer_open(&(*out)->file, ctx, path);
    make_head(head);
    if (status == SWG_OK)
        status = swg__writer_write(&(*out)->file, head, sizeof head);
    if (status != SWG_OK) {
        writer_free(*out);
        *out = NULL;
    }
    return status;
}

/* Whether an entry's models are some of the set, the same in the same places as before. */
static bool known_models(const swg_codec_writer *w, const swg__journal_entry *e) {
    const int most = w->model ? w->model->count : 0;
    bool known = e->models <= most;
    for (int i = 0; i < e->models && known; i++)
        known = e->model[i] < most;
    return known;
}

/* How many members of the journal stand in the file as it says. */
static swg_status count_good(swg_codec_writer *w, const char *path, int64_t *good) {
    uint8_t head[SWG__COLLECTION_HEAD];
    swg__input input;
    swg__piece piece;
    *good = 0;
    if (!w->journal.count || !swg__exists(path))
        return SWG_OK;
    SWG__TRY(swg__input_file(&input, w->ctx, path));
    make_head(head);
    const char *why = input.bytes < sizeof head ? "" : swg__input_take(&input, 0, sizeof head, &piece);
    bool right = !why && memcmp(piece.span.data, head, sizeof head) == 0;
    if (!why)
        swg__piece_free(&input, &piece);
    while (right && *good < w->journal.count) {
        const swg__journal_entry *e = &w->journal.entry[*good];
        right = e->offset <= input.bytes && e->bytes <= input.bytes - e->offset && known_models(w, e);
        why = right ? swg__input_take(&input, e->offset, e->bytes, &piece) : NULL;
        right = right && !why && swg__crc32c(0, piece.span.data, piece.span.bytes) == e->crc;
        if (right || piece.owned)
            swg__piece_free(&input, &piece);
        *good += right;
    }
    swg__input_close(&input);
    return why == swg__why_memory ? swg__fail_memory(w->ctx, 0, path) : SWG_OK;
}

/* Takes the members over from the journal; the file goes on behind the last of them. */
static swg_status continue_at(swg_codec_writer *w, const char *path, int64_t good) {
    uint8_t head[SWG__COLLECTION_HEAD];
    SWG__TRY(swg__journal_cut(&w->journal, good));
    const swg__journal_entry *last = good ? &w->journal.entry[good - 1] : NULL;
    SWG__TRY(swg__writer_continue(&w->file, w->ctx, path, last ? last->offset + last->bytes : 0));
    w->entry = swg__calloc(w->ctx, (size_t)good + 1, sizeof *w->entry);
    if (!w->entry)
        return swg__fail_memory(w->ctx, (size_t)good * sizeof *w->entry, "the directory");
    w->capacity = good + 1;
    for (; w->count < good; w->count++) {
        const swg__journal_entry *e = &w->journal.entry[w->count];
        w->entry[w->count] = (written){swg__strdup(w->ctx, e->source), swg__strdup(w->ctx, e->name), e->offset, e->bytes, e->seconds};
        for (; w->in_count < e->models; w->in_count++)
            w->in[w->in_count] = e->model[w->in_count];
        if (!w->entry[w->count].source || !w->entry[w->count].name) {
            w->count++;
            return swg__fail_memory(w->ctx, 64, "a name");
        }
    }
    make_head(head);
    return good ? SWG_OK : swg__writer_write(&w->file, head, sizeof head);
}

swg_status swg__codec_writer_resume(swg_context *ctx, const char *path, const char *journal, const swg_codec_model *model, uint64_t key,
                                    swg_codec_writer **out) {
    int64_t good = 0;
    SWG__TRY(writer_new(ctx, model, out));
    swg_status status = swg__journal_open(&(*out)->journal, ctx, journal, key, SWG__COLLECTION_HEAD);
    const bool opened = status == SWG_OK;
    if (status == SWG_OK)
        status = count_good(*out, path, &good);
    if (status == SWG_OK)
        status = continue_at(*out, path, good);
    if (status != SWG_OK) {
        if (opened && (*out)->journal.count == 0) {
            unlink(path);
            unlink(journal);
        }
        writer_free(*out);
        *out = NULL;
    }
    return status;
}

int64_t swg__codec_writer_count(const swg_codec_writer *w) { return w->count - w->held_count; }

bool swg__codec_writer_broken(const swg_codec_writer *w) { return w->broken != SWG_OK; }

static int64_t find_member(const swg_codec_writer *w, const char *source, const char *name) {
    int64_t i = 0;
    while (i < w->count && (strcmp(w->entry[i].source, source) != 0 || strcmp(w->entry[i].name, name) != 0))
        i++;
    return i < w->count ? i : -1;
}

bool swg__codec_writer_has(const swg_codec_writer *w, const char *source, const char *name, double *seconds) {
    int64_t i = find_member(w, source, name);
    if (i >= 0)
        *seconds = w->entry[i].seconds;
    return i >= 0;
}

/* Bytes of a member with the stencil that was fitted to it. */
static int64_t own_bytes(const swg__encoded *e) {
    const int own = SWG__OWN;
    return swg__encoded_with(e, &own, 1) + (int64_t)swg__models_bytes(swg__encoded_models(e), &own, 1);
}

static swg_status write_member(swg_codec_writer *w, int64_t entry, swg__encoded *coded, swg_codec_stats *stats) {
    written *e = &w->entry[entry];
    const int own = SWG__OWN;
    swg__text stream;
    swg__text_init(&stream, w->ctx);
    swg__model_use use = {w->in, swg__encoded_uses(coded, w->in, w->in_count) ? w->in_count : 0, true};
    if (coded->own && own_bytes(coded) < swg__encoded_with(coded, w->in, w->in_count))
        use = (swg__model_use){&own, 1, false};
    swg_status status = swg__encoded_write(coded, use, &stream, stats);
    e->offset = w->file.offset;
    e->bytes = stream.length;
    w->saved += coded->bytes - swg__encoded_with(coded, use.blob, use.count);
    if (status == SWG_OK)
        status = w->broken = swg__writer_write(&w->file, stream.data, stream.length);
    if (status == SWG_OK && w->journal.ctx)
        status = w->broken = swg__writer_flush(&w->file);
    if (status == SWG_OK && w->journal.ctx) {
        swg__journal_entry note = {e->offset, e->bytes, swg__crc32c(0, stream.data, stream.length), w->in_count, {0}, e->seconds, e->source, e->name};
        for (int i = 0; i < w->in_count; i++)
            note.model[i] = (uint8_t)w->in[i];
        status = w->broken = swg__journal_add(&w->journal, &note);
    }
    swg__text_free(&stream);
    return status;
}

/* Writes a held member and forgets it. */
static swg_status release(swg_codec_writer *w, int64_t held) {
    swg_status status = write_member(w, w->held[held].entry, &w->held[held].coded, NULL);
    w->held_bytes -= w->held[held].bytes;
    pending_free(w->ctx, &w->held[held]);
    memmove(w->held + held, w->held + held + 1, (size_t)(w->held_count - held - 1) * sizeof *w->held);
    w->held_count--;
    return status;
}

/* Lets the models in that pay by now, and writes the members that wait for nothing else. */
static swg_status settle(swg_codec_writer *w) {
    swg_status status = SWG_OK;
    for (bool more = true; more;) {
        int64_t gain[SWG__MODELS] = {0}, most = 0; /* of the collection's own set only */
        int best = -1;
        for (int64_t i = 0; i < w->held_count; i++)
            for (int b = 0; b < w->model->count; b++)
                gain[b] += w->held[i].gain[b];
        for (int b = 0; b < w->model->count; b++) {
            int64_t net = gain[b] - (int64_t)swg__blob_cost((swg__model_pair){w->model, NULL}, b) - (w->in_count ? 0 : SWG__FRAME_BYTES + 4);
            if (gain[b] && net > most) {
                most = net;
                best = b;
            }
        }
        more = best >= 0;
        if (more)
            w->in[w->in_count++] = best;
        for (int64_t i = 0; i < w->held_count && more; i++) {
            memset(w->held[i].gain, 0, sizeof w->held[i].gain);
            (void)swg__encoded_gain(&w->held[i].coded, w->in, w->in_count, w->held[i].gain);
        }
    }
    for (int64_t i = 0; i < w->held_count && status == SWG_OK;) {
        bool waits = false;
        for (int b = 0; b < w->model->count; b++)
            waits = waits || w->held[i].gain[b] > 0;
        if (waits)
            i++;
        else
            status = release(w, i);
    }
    while (w->held_count && w->held_bytes > HELD_BYTES && status == SWG_OK)
        status = release(w, 0);
    return status;
}

/* Room for one more element; false: out of memory. */
static bool reserve(swg_context *ctx, void **list, int64_t count, int64_t *capacity, size_t size) {
    if (count < *capacity)
        return true;
    int64_t larger = *capacity ? 2 * *capacity : 16;
    void *grown = swg__grow(ctx, *list, (size_t)larger * size);
    if (grown) {
        *list = grown;
        *capacity = larger;
    }
    return grown != NULL;
}

/* What a member would be like with all models that shorten it. */
static swg_status foresee(swg_codec_writer *w, const pending *p, swg__encoded *coded, swg_codec_stats *stats) {
    swg__model_use use = {w->in, w->in_count, true};
    int all[SWG__MODELS];
    swg__text stream;
    memcpy(all, w->in, sizeof all);
    use.blob = all;
    for (int b = 0; b < w->model->count; b++)
        if (p->gain[b] > 0)
            all[use.count++] = b;
    swg__text_init(&stream, w->ctx);
    swg_status status = swg__encoded_write(coded, use, &stream, stats);
    swg__text_free(&stream);
    return status;
}

static int64_t with_all(const swg_codec_writer *w, const swg__encoded *coded) {
    int all[SWG__MODELS];
    for (int b = 0; b < w->model->count; b++)
        all[b] = b;
    return swg__encoded_with(coded, all, w->model->count);
}

/* Writes a coded member, or takes it over and holds it. */
static swg_status add_coded(swg_codec_writer *w, swg__encoded *coded, int64_t entry, swg_codec_stats *stats) {
    pending p = {.entry = entry};
    if (!w->model || !swg__encoded_gain(coded, w->in, w->in_count, p.gain) || (coded->own && own_bytes(coded) < with_all(w, coded)))
        return write_member(w, entry, coded, stats);
    if (stats)
        SWG__TRY(foresee(w, &p, coded, stats));
    p.name = swg__strdup(w->ctx, coded->name ? coded->name : "");
    p.attributes = swg__strdup(w->ctx, coded->attributes ? coded->attributes : "");
    if (!p.name || !p.attributes) {
        pending_free(w->ctx, &p);
        return swg__fail_memory(w->ctx, 64, "a name");
    }
    p.bytes = swg__encoded_held(coded);
    p.coded = *coded;
    p.coded.name = p.name;
    p.coded.attributes = p.attributes;
    *coded = (swg__encoded){0};
    w->held[w->held_count++] = p;
    w->held_bytes += p.bytes;
    return SWG_OK;
}

/* Texts of a new member that the directory can hold and does not hold yet. */
static swg_status check_names(swg_codec_writer *w, const char *source, const char *name) {
    if (strlen(source) > 65535 || strlen(name) > 65535)
        return swg__fail(w->ctx, SWG_EINVAL, "source or name of a member is longer than 65535 bytes");
    if (find_member(w, source, name) >= 0)
        return swg__fail(w->ctx, SWG_EINVAL, "the collection already has a member \"%s\" \"%s\"", source, name);
    return SWG_OK;
}

swg_status swg__codec_writer_put(swg_codec_writer *w, const char *source, const char *name, swg__encoded *coded, double seconds, swg_codec_stats *stats) {
    SWG__TRY(check_names(w, source, name));
    if (!reserve(w->ctx, (void **)&w->entry, w->count, &w->capacity, sizeof *w->entry) ||
        !reserve(w->ctx, (void **)&w->held, w->held_count, &w->held_capacity, sizeof *w->held))
        return swg__fail_memory(w->ctx, (size_t)w->capacity * sizeof *w->entry, "the directory");
    written *entry = &w->entry[w->count];
    *entry = (written){.source = swg__strdup(w->ctx, source), .name = swg__strdup(w->ctx, name), .seconds = seconds};
    swg_status status = entry->source && entry->name ? SWG_OK : swg__fail_memory(w->ctx, strlen(source) + strlen(name), "a name");
    if (status == SWG_OK)
        status = add_coded(w, coded, w->count, stats);
    if (status == SWG_OK) {
        w->count++;
        return w->held_count ? settle(w) : SWG_OK;
    }
    swg__free(w->ctx, entry->source);
    swg__free(w->ctx, entry->name);
    return status;
}

swg_status swg_codec_writer_add(swg_codec_writer *w, const char *source, const swg_codec_array *array, const swg_codec_opts *opts,
                                swg_codec_stats *stats) {
    const char *name = opts && opts->name ? opts->name : "";
    swg__encoded coded;
    source = source ? source : "";
    SWG__TRY(check_names(w, source, name));
    SWG__TRY(swg__encode_array(w->ctx, array, opts, w->model, &coded));
    swg_status status = swg__codec_writer_put(w, source, name, &coded, 0, stats);
    swg__encoded_free(&coded);
    return status;
}

static int by_offset(const void *a, const void *b) {
    uint64_t x = ((const written *)a)->offset, y = ((const written *)b)->offset;
    return (x > y) - (x < y);
}

/* Models, directory and footer. */
static swg_status write_tail(swg_codec_writer *w) {
    swg__text tail;
    swg__text_init(&tail, w->ctx);
    const uint64_t begin = w->file.offset;
    uint64_t models = 0, models_bytes = 0;
    if (w->in_count) {
        swg__models_write((swg__model_pair){w->model, NULL}, w->in, w->in_count, &tail);
        models = begin;
        models_bytes = tail.length;
    }
    const size_t start = tail.length;
    uint64_t payload = 8;
    for (int64_t i = 0; i < w->count; i++)
        payload += 20 + strlen(w->entry[i].source) + strlen(w->entry[i].name);
    swg__section_begin(&tail, "DIRY", payload);
    swg__put64(&tail, (uint64_t)w->count);
    for (int64_t i = 0; i < w->count; i++) {
        const written *e = &w->entry[i];
        size_t source = strlen(e->source), name = strlen(e->name);
        swg__put64(&tail, e->offset);
        swg__put64(&tail, e->bytes);
        swg__put16(&tail, (uint32_t)source);
        swg__put16(&tail, (uint32_t)name);
        swg__put(&tail, e->source, source);
        swg__put(&tail, e->name, name);
    }
    swg__section_end(&tail, start);
    const size_t footer = tail.length;
    swg__put(&tail, "SWCF", 4);
    swg__put32(&tail, SWG__COLLECTION_FOOTER);
    swg__put64(&tail, begin + start);
    swg__put64(&tail, footer - start);
    swg__put64(&tail, models);
    swg__put64(&tail, models_bytes);
    swg__put64(&tail, (uint64_t)w->count);
    swg__put64(&tail, begin + footer + SWG__COLLECTION_FOOTER);
    if (!tail.failed)
        swg__put32(&tail, swg__crc32c(0, tail.data + footer, 56));
    swg__put(&tail, end_magic, 4);
    swg_status status = tail.failed ? swg__fail_memory(w->ctx, tail.length, "the directory") : swg__writer_write(&w->file, tail.data, tail.length);
    swg__text_free(&tail);
    return status;
}

swg_status swg__codec_writer_finish(swg_codec_writer *w, int64_t *bytes_out, int64_t *saved) {
    swg_status status = w->broken;
    while (w->held_count && status == SWG_OK) /* what they wait for does not pay */
        status = release(w, 0);
    if (w->count && status == SWG_OK)
        qsort(w->entry, (size_t)w->count, sizeof *w->entry, by_offset);
    if (status == SWG_OK)
        status = write_tail(w);
    if (status == SWG_OK && bytes_out)
        *bytes_out = (int64_t)w->file.offset;
    if (saved)
        *saved = w->saved;
    if (status == SWG_OK)
        status = swg__writer_commit(&w->file);
    writer_free(w);
    return status;
}

swg_status swg_codec_writer_commit(swg_codec_writer *w, int64_t *bytes_out) { return swg__codec_writer_finish(w, bytes_out, NULL); }

void swg_codec_writer_abort(swg_codec_writer *w) {
    if (w)
        writer_free(w);
}
