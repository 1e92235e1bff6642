/* interp_param.c - the parameters of mode G as they stand in a record.
 * SPDX-License-Identifier: Apache-2.0 */
#include "interp_field.h"

void swg__interp_write(const swg__interp *m, swg__text *out) {
    size_t start = out->length;
    swg__put8(out, (unsigned)m->levels);
    swg__put8(out, (unsigned)m->axes);
    swg__put8(out, m->anchor_bucket);
    swg__put8(out, 0);
    for (int l = 0; l < m->levels; l++) {
        const swg__interp_level *level = &m->level[l];
        swg__put8(out, level->t);
        swg__put(out, level->kind, sizeof level->kind);
        for (int i = 0; i < SWG__INTERP_PASSES; i++)
            if (level->kind[i] == SWG__INTERP_LEARNED) {
                swg__interp_shape s;
                swg__interp_shape_of(m->axes, swg__interp_odd[i], &s);
                for (int j = 1; j < s.features; j++)
                    swg__put16(out, (uint16_t)level->w[i][j - 1]);
            }
    }
    swg__put8(out, (unsigned)m->c_min);
    swg__put8(out, (unsigned)m->c_max);
    swg__put16(out, 0);
    for (int c = m->c_min; c <= m->c_max; c++)
        swg__put(out, m->bucket[c], 3);
    swg__put_padding(out, start);
}

const char *swg__interp_read(swg__span param, swg__interp *m) {
    swg__cursor in = {.at = param.data, .end = param.data + param.bytes};
    *m = (swg__interp){0};
    m->levels = (int)swg__take8(&in);
    m->axes = (int)swg__take8(&in);
    m->anchor_bucket = (uint8_t)swg__take8(&in);
    (void)swg__take8(&in);
    if (in.bad || m->levels < 1 || m->levels > SWG__INTERP_LEVELS || m->axes < 1 || m->axes > 7)
        return "number of levels or axes of an interpolation is impossible";
    if (m->anchor_bucket > 127)
        return "bucket above 127";
    for (int l = 0; l < m->levels; l++) {
        swg__interp_level *level = &m->level[l];
        level->t = (uint8_t)swg__take8(&in);
        if (level->t > 3)
            return "residual step of an interpolation level is impossible";
        for (int i = 0; i < SWG__INTERP_PASSES; i++) {
            level->kind[i] = (uint8_t)swg__take8(&in);
            if (level->kind[i] >= SWG__INTERP_KINDS)
                return "predictor of an interpolation is unknown";
            if (level->kind[i] && (swg__interp_odd[i] & ~m->axes))
                return "predictor of an interpolation stands where nothing is predicted";
        }
        for (int i = 0; i < SWG__INTERP_PASSES; i++)
            if (level->kind[i] == SWG__INTERP_LEARNED) {
                swg__interp_shape s;
                int64_t sum = 0;
                swg__interp_shape_of(m->axes, swg__interp_odd[i], &s);
                for (int j = 1; j < s.features; j++) {
                    level->w[i][j - 1] = (int16_t)swg__take16(&in);
                    sum += level->w[i][j - 1] < 0 ? -level->w[i][j - 1] : level->w[i][j - 1];
                }
                if (sum > 262143)
                    return "weights of an interpolation are too large";
            }
    }
    m->c_min = (int)swg__take8(&in);
    m->c_max = (int)swg__take8(&in);
    (void)swg__take16(&in);
    if (in.bad || m->c_min > m->c_max || m->c_max > 127)
        return "interpolation parameters are too short or their classes impossible";
    for (int c = m->c_min; c <= m->c_max; c++)
        for (int r = 0; r < 3; r++) {
            uint32_t bucket = swg__take8(&in);
            if (bucket > 127)
                return "bucket above 127";
            m->bucket[c][r] = (uint8_t)bucket;
        }
    if (in.bad || swg__left(&in) > 3)
        return "interpolation parameters have the wrong length";
    for (int c = 0; c < 128; c++)
        if (c < m->c_min || c > m->c_max)
            memcpy(m->bucket[c], m->bucket[c < m->c_min ? m->c_min : m->c_max], 3);
    return NULL;
}
