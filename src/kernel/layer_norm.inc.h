/* layer_norm.inc.h - rows of layer norm, VL of them at a time: each row's sums stay in a vector, a transpose turns the vectors of VL rows
 * into one of their totals, and mean and root are made for all of them at once. Needs tile.inc.h.
 * SPDX-License-Identifier: Apache-2.0 */

enum { ROW_CHUNK = 256 * VL };      /* elements that one sum runs over: long rows are sums of sums */
enum { OF_MEAN, OF_VARIANCE, OF_SLOPES };

/* Up to VL rows of n elements, and what is known of them. */
typedef struct row_block {
    const float *x, *dy, *gamma;    /* dy, gamma: for slopes; gamma may be NULL */
    int64_t n;
    int rows;
    float mean[VL], rstd[VL];
} row_block;

INLINE vf load_up_to(const float *p, int64_t width) { return width >= VL ? *(const vf *)p : LOAD_PART(p, width); }
INLINE void store_up_to(float *p, vf x, int64_t width) {
    if (width >= VL)
        *(vf *)p = x;
    else
        STORE_PART(p, x, width);
}

/* Two terms of the elements of row r from i on, of which `width` are left; lanes beyond are 0. */
INLINE void terms_of(const int kind, const bool weighted, const row_block *b, int r, int64_t i, int64_t width, vf *one, vf *two) {
    vf x = load_up_to(b->x + r * b->n + i, width);
    *one = x;
    *two = (vf){0};
    if (kind == OF_VARIANCE) {
        x -= b->mean[r];
        if (width < VL) {
            float lane[VL];
            memcpy(lane, &x, sizeof x);
            x = LOAD_PART(lane, width);
        }
        *one = x;
        *two = x * x;
    } else if (kind == OF_SLOPES) {
        vf d = load_up_to(b->dy + r * b->n + i, width);
        if (weighted)
            d *= load_up_to(b->gamma + i, width);
        *one = d;
        *two = d * ((x - b->mean[r]) * b->rstd[r]);
    }
}

/* Totals of both terms; element r belongs to row r. */
INLINE void totals_of(const int kind, const bool weighted, const row_block *b, vf *first, vf *second) {
    vf sums1[VL], sums2[VL];
    for (int r = b->rows; r < VL; r++)
        sums1[r] = sums2[r] = (vf){0};
    for (int r = 0; r < b->rows; r++) {
        vf all1 = {0}, all2 = {0}, one, two;
        for (int64_t c = 0; c < b->n; c += ROW_CHUNK) {
            int64_t end = b->n - c < ROW_CHUNK ? b->n : c + ROW_CHUNK;
            vf part1 = {0}, part2 = {0};
            int64_t i = c;
            for (; i + VL <= end; i += VL) {
                terms_of(kind, weighted, b, r, i, VL, &one, &two);
                part1 += one;
                part2 += two;
            }
            if (i < end) {
                terms_of(kind, weighted, b, r, i, end - i, &one, &two);
                part1 += one;
                part2 += two;
            }
            all1 += part1;
            all2 += part2;
        }
        sums1[r] = all1;
        sums2[r] = all2;
    }
    transpose(sums1);
    transpose(sums2);
    UNROLLED for (int half = VL / 2; half > 0; half /= 2)
        UNROLLED for (int j = 0; j < half; j++) {
            sums1[j] += sums1[j + half];
            sums2[j] += sums2[j + half];
        }
    *first = sums1[0];
    *second = sums2[0];
}

/* In two passes; the second also finds by how much rounding missed the mean. */
INLINE void find_statistics(row_block *b, float eps) {
    vf sum, none, gap, squares;
    totals_of(OF_MEAN, false, b, &sum, &none);
    sum /= (float)b->n;
    memcpy(b->mean, &sum, sizeof sum);
    totals_of(OF_VARIANCE, false, b, &gap, &squares);
    gap /= (float)b->n;
    sum += gap;
    squares = squares / (float)b->n - gap * gap;
    squares = DROP(squares, squares < 0) + eps;
    memcpy(b->mean, &sum, sizeof sum);
    memcpy(b->rstd, &squares, sizeof squares);
    for (int r = 0; r < VL; r++)
        b->rstd[r] = 1.f / __builtin_sqrtf(b->rstd[r]);
}

INLINE void normalise_rows(const bool weighted, const bool shifted, float *out, const row_block *b, const float *gamma, const float *beta) {
    for (int r = 0; r < b->rows; r++)
        for (int64_t i = 0; i < b->n; i += VL) {
            int64_t width = b->n - i;
            vf y = (load_up_to(b->x + r * b->n + i, width) - b->mean[r]) * b->rstd[r];
            if (weighted)
                y *= load_up_to(gamma + i, width);
            if (shifted)
                y += load_up_to(beta + i, width);
            store_up_to(out + r * b->n + i, y, width);
        }
}

static void layer_norm(float *out, const float *x, const float *gamma, const float *beta, int64_t rows, int64_t n, float eps) {
    for (int64_t r = 0; r < rows; r += VL) {
        row_block b = {.x = x + r * n, .n = n, .rows = (int)(rows - r < VL ? rows - r : VL)};
        find_statistics(&b, eps);
        if (beta)
            normalise_rows(true, true, out + r * n, &b, gamma, beta);
        else if (gamma)
            normalise_rows(true, false, out + r * n, &b, gamma, NULL);
        else
            normalise_rows(false, false, out + r * n, &b, NULL, NULL);
    }
}

/* dx = rstd (g - mean(g) - xh mean(g xh)), g = dy gamma, xh the normalised x. */
INLINE void slopes_of_rows(const bool weighted, float *out, const row_block *b) {
    vf first, second;
    float mean1[VL], mean2[VL];
    totals_of(OF_SLOPES, weighted, b, &first, &second);
    first /= (float)b->n;
    second /= (float)b->n;
    memcpy(mean1, &first, sizeof first);
    memcpy(mean2, &second, sizeof second);
    for (int r = 0; r < b->rows; r++)
        for (int64_t i = 0; i < b->n; i += VL) {
            int64_t at = r * b->n + i, width = b->n - i;
            vf d = load_up_to(b->dy + at, width), hat = (load_up_to(b->x + at, width) - b->mean[r]) * b->rstd[r];
            if (weighted)
                d *= load_up_to(b->gamma + i, width);
            store_up_to(out + at, (d - mean1[r] - hat * mean2[r]) * b->rstd[r], width);
        }
}

static void layer_norm_grad(float *out, const float *x, const float *dy, const float *gamma, int64_t rows, int64_t n, float eps) {
    for (int64_t r = 0; r < rows; r += VL) {
        row_block b = {.x = x + r * n, .dy = dy + r * n, .gamma = gamma, .n = n, .rows = (int)(rows - r < VL ? rows - r : VL)};
        find_statistics(&b, eps);
        if (gamma)
            slopes_of_rows(true, out + r * n, &b);
        else
            slopes_of_rows(false, out + r * n, &b);
    }
}

/* first, second: sums over rows of dy and of dy times the normalised x. */
static void layer_norm_sums(float *first, float *second, const float *x, const float *dy, int64_t rows, int64_t n, float eps) {
    for (int64_t r0 = 0; r0 < rows; r0 += VL) {
        row_block b = {.x = x + r0 * n, .dy = dy + r0 * n, .n = n, .rows = (int)(rows - r0 < VL ? rows - r0 : VL)};
        find_statistics(&b, eps);
        for (int64_t i = 0; i < n; i += VL) {
            int64_t width = n - i;
            vf one = load_up_to(first + i, width), two = load_up_to(second + i, width);
            for (int r = 0; r < b.rows; r++) {
                vf d = load_up_to(b.dy + r * n + i, width);
                one += d;
                two += d * ((load_up_to(b.x + r * n + i, width) - b.mean[r]) * b.rstd[r]);
            }
            store_up_to(first + i, one, width);
            store_up_to(second + i, two, width);
        }
    }
}
