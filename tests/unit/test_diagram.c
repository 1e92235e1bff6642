/* test_diagram.c - proves: drawings are well-formed SVG and Mermaid for every network and for hostile names; every layer with parameters is in
 * them once; boxes do not overlap and arrows run downwards; failing memory and unwritable files leave nothing behind.
 * SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include "report/diagram.h"
#include "scratch.h"
#include "swage/swae.h"

static char *read_all(const char *path) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = calloc(1, 1 << 20);
    assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
    fclose(file);
    return text;
}

static int occurrences(const char *text, const char *what) {
    int count = 0;
    for (const char *p = strstr(text, what); p; p = strstr(p + 1, what))
        count++;
    return count;
}

/* ---- XML, as far as a drawing needs it: nested elements, quoted attributes, known entities ---- */

static const char *check_entity(const char *p) {
    static const char *const known[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strncmp(p, known[i], strlen(known[i])) == 0)
            return p + strlen(known[i]);
    fail_msg("no entity: %.20s", p);
    return NULL;
}

static const char *check_attributes(const char *p) {
    while (*p != '>' && *p != '/') {
        assert_true(*p == ' ');
        for (p++; isalpha((unsigned char)*p) || *p == '-' || *p == ':'; p++) {}
        assert_true(p[0] == '=' && p[1] == '"');
        for (p += 2; *p && *p != '"'; p = *p == '&' ? check_entity(p) : p + 1)
            assert_true(*p != '<');
        assert_int_equal(*p++, '"');
    }
    return p;
}

static void check_xml(const char *text) {
    const char *open[64];
    size_t length[64];
    int depth = 0, elements = 0;
    for (const char *p = text; *p;) {
        if (*p == '&') {
            p = check_entity(p);
        } else if (*p != '<') {
            assert_true(depth > 0 || isspace((unsigned char)*p));
            assert_true(*p != '>' && ((unsigned char)*p >= 0x20 || *p == '\n'));
            p++;
        } else if (p[1] == '/') {
            assert_true(depth-- > 0);
            assert_true(strncmp(p + 2, open[depth], length[depth]) == 0 && p[2 + length[depth]] == '>');
            p += 3 + length[depth];
        } else {
            assert_true(depth < 64 && (depth > 0 || elements == 0));
            elements++;
            open[depth] = ++p;
            for (; isalpha((unsigned char)*p); p++) {}
            length[depth] = (size_t)(p - open[depth]);
            assert_true(length[depth] > 0);
            p = check_attributes(p);
            if (*p == '/')
                p++;
            else
                depth++;
            assert_int_equal(*p++, '>');
        }
    }
    assert_int_equal(depth, 0);
    assert_true(elements > 0);
}

/* ---- Mermaid: subgraphs end, labels are quoted, arrows join nodes that are there ---- */

static void check_mermaid(const char *text, int64_t boxes) {
    int depth = 0, nodes = 0;
    char *copy = strdup(text), *line = strtok(copy, "\n");
    assert_string_equal(line, "---");
    assert_true(strncmp(strtok(NULL, "\n"), "title: \"", 8) == 0);
    assert_string_equal(strtok(NULL, "\n"), "---");
    assert_string_equal(strtok(NULL, "\n"), "flowchart TD");
    while ((line = strtok(NULL, "\n"))) {
        long long a, b;
        int used = 0;
        line += strspn(line, " ");
        size_t end = strlen(line);
        if (strcmp(line, "end") == 0) {
            assert_true(depth-- > 0);
        } else if (sscanf(line, "n%lld --> n%lld%n", &a, &b, &used) == 2 && (size_t)used == end) {
            assert_true(depth == 0 && a >= 0 && b >= 0 && a < boxes && b < boxes);
        } else {
            bool subgraph = strncmp(line, "subgraph ", 9) == 0;
            const char *label = strstr(line, "[\"");
            assert_non_null(label);
            assert_true(end > 2 && strcmp(line + end - 2, "\"]") == 0);
            assert_ptr_equal(strchr(label + 2, '"'), line + end - 2); /* no quote within */
            assert_null(strchr(label + 2, '&'));
            depth += subgraph;
            nodes += !subgraph;
            assert_true(subgraph || depth > 0);
        }
    }
    assert_int_equal(depth, 0);
    assert_int_equal(nodes, boxes);
    free(copy);
}

/* ---- placing ---- */

static void check_places(const swg__diagram *d) {
    for (int64_t i = 0; i < d->boxes; i++) {
        assert_true(d->box[i].column >= 0 && d->box[i].column < d->columns);
        assert_true(d->box[i].lane < d->column_lanes[d->box[i].column] && d->box[i].rank < d->column_ranks[d->box[i].column]);
        for (int64_t j = 0; j < i; j++)
            assert_false(d->box[i].column == d->box[j].column && d->box[i].lane == d->box[j].lane && d->box[i].rank == d->box[j].rank);
    }
    for (int64_t a = 0; a < d->arrows; a++) {
        const swg__box *from = &d->box[d->arrow[a].from], *to = &d->box[d->arrow[a].to];
        assert_true(from->column != to->column || from->rank < to->rank);
        for (int64_t b = 0; b < d->boxes && from->column == to->column; b++) /* straight down the lane nothing is in the way */
            assert_false(d->box[b].column == from->column && d->box[b].lane == from->lane && d->box[b].rank > from->rank && d->box[b].rank < to->rank);
    }
}

static void check_all(swg_context *ctx, scratch *s, const swg_layers *layers, const char *title) {
    swg__diagram d;
    assert_ok(ctx, swg__diagram_make(ctx, layers, &d));
    check_places(&d);
    assert_ok(ctx, swg_diagram_svg(ctx, layers, title, scratch_path(s, "a.svg")));
    char *text = read_all(s->path);
    check_xml(text);
    int with_parameters = 0;
    for (int64_t i = 0; i < layers->count; i++)
        with_parameters += layers->rows[i].parameters > 0;
    assert_int_equal(occurrences(text, " parameters</text>"), with_parameters);
    assert_int_equal(occurrences(text, "<rect class=\"b "), d.boxes);
    assert_int_equal(occurrences(text, "<path class=\"a\""), d.arrows);
    free(text);
    assert_ok(ctx, swg_diagram_mermaid(ctx, layers, title, scratch_path(s, "a.mmd")));
    text = read_all(s->path);
    check_mermaid(text, d.boxes);
    assert_int_equal(occurrences(text, " parameters\"]"), with_parameters);
    assert_int_equal(occurrences(text, " --> "), d.arrows);
    free(text);
    swg__diagram_free(&d);
}

static void published_networks(void **state) {
    swg_context *ctx = *state;
    static const char *const names[] = {"swae/mlp", "swae/mlp-deep", "swae/gmlp", "swae/conv", "swae/conv-opt", "swae/conv7"};
    scratch s;
    scratch_open(&s);
    for (int k = 0; k < 12; k++) {
        swg_swae model;
        swg_layers layers;
        assert_ok(ctx, swg_swae_preset(ctx, names[k / 2], &model));
        model.gdn = model.latent_int8 = k % 2;
        assert_ok(ctx, swg_swae_layers(ctx, &model, &layers));
        check_all(ctx, &s, &layers, names[k / 2]);
        swg_layers_free(ctx, &layers);
    }
    swg_swae model;
    swg_layers layers;
    assert_ok(ctx, swg_swae_preset(ctx, "swae/conv", &model));
    assert_ok(ctx, swg_swae_layers(ctx, &model, &layers));
    assert_ok(ctx, swg_diagram_svg(ctx, &layers, "swae/conv", scratch_path(&s, "a.svg")));
    char *text = read_all(s.path);
    static const char *const words[] = {"swae/conv: 4,743,825 parameters, 76,021,312 FLOP", "conv1: conv 3, stride 2", "256 x 2 x 2 x 2", "1,769,728 parameters",
                                        "bn: norm, relu", "deconv 2", ">stage4<", ">encoder<", ">decoder<"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strstr(text, words[i]))
            fail_msg("the drawing does not say \"%s\"", words[i]);
    free(text);
    swg_layers_free(ctx, &layers);
    scratch_close(&s, ctx, 2);
}

/* Layers in no scope, several inputs and outputs, a branch beside a chain, names that are markup. */
static void other_graphs(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    for (int kind = 0; kind < 3; kind++) {
        swg_graph *g;
        swg_layers layers;
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
        swg_value x = swg_input(g, "<x> & \"y\" #1", 2, (int64_t[]){2, 3}), y[2] = {x, SWG_NONE};
        if (kind > 0) {
            swg_scope_push(g, "a<b>&\"c\"");
            swg_scope_push(g, "it's");
            y[0] = swg_linear(g, x, 4, "fc\"1\"");
            swg_scope_pop(g);
            swg_scope_pop(g);
        }
        if (kind > 1) {
            swg_value deep = y[0];
            for (int i = 0; i < 5; i++)
                deep = swg_gelu(g, swg_linear(g, deep, 4, (const char *[]){"l0", "l1", "l2", "l3", "l4"}[i]));
            y[0] = swg_add(g, deep, swg_mul(g, y[0], swg_input(g, "z", 2, (int64_t[]){2, 4})));
            y[1] = swg_linear(g, x, 1, "side");
        }
        assert_ok(ctx, swg_layers_of(g, y, kind > 1 ? 2 : 1, &layers));
        check_all(ctx, &s, &layers, "<title> & \"more\"\n\\");
        swg_layers_free(ctx, &layers);
        swg_graph_destroy(g);
    }
    scratch_close(&s, ctx, 2);
}

static void failures(void **state) {
    swg_context *ctx = *state;
    swg_swae model;
    swg_layers layers;
    scratch s;
    assert_ok(ctx, swg_swae_preset(ctx, "swae/gmlp", &model));
    assert_ok(ctx, swg_swae_layers(ctx, &model, &layers));
    assert_int_equal(swg_diagram_svg(ctx, &layers, "t", "/nonexistent/folder/a.svg"), SWG_ENOTFOUND);
    scratch_open(&s);
    for (int which = 0; which < 2; which++)
        for (int64_t n = 0;; n++) {
            testing_allocator allocator = {.fail_at = -1};
            swg_context *failing;
            assert_int_equal(swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &allocator}}, &failing), SWG_OK);
            allocator.fail_at = allocator.calls + n;
            swg_status status = (which ? swg_diagram_svg : swg_diagram_mermaid)(failing, &layers, "t", scratch_path(&s, "a.svg"));
            swg_context_close(failing);
            assert_int_equal(allocator.live, 0);
            if (status == SWG_OK)
                break;
            assert_int_equal(status, SWG_ENOMEM);
            assert_true(n < 1000);
        }
    scratch_close(&s, ctx, 1);
    swg_layers_free(ctx, &layers);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(published_networks, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(other_graphs, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(failures, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
