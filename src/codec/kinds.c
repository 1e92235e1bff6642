/* kinds.c - the table of kinds of models.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kinds.h"
#include "block.h"
#include "causal.h"
#include "law.h"
#include "swae.h"
#include "tiles.h"
#include "trained_stencil.h"

static const char *swae_decode(const swg__chunk *chunk, const void *parsed, const swg__record *record) {
    return swg__tiles_decode(chunk, &((const swg__swae *)parsed)->net, record);
}

static const swg__kind kinds[] = {
    {SWG__KIND_STENCIL, SWG__MODE_W, 0, SWG_MODE_STENCIL, "stencil", sizeof(swg__stencil), swg__trained_stencil_parse, NULL, swg__trained_stencil_estimate,
     swg__trained_stencil_encode, swg__trained_stencil_decode},
    {SWG__KIND_CAUSAL, SWG__MODE_W, 1, SWG_MODE_MLP, "causal network", sizeof(swg__stencil), swg__causal_parse, swg__causal_close, swg__trained_stencil_estimate,
     swg__trained_stencil_encode, swg__trained_stencil_decode},
    {SWG__KIND_BLOCK_CAUSAL, SWG__MODE_B, 0, SWG_MODE_BLOCKS, "variogram of blocks", sizeof(swg__variogram), swg__block_causal_parse, swg__block_causal_close,
     NULL, swg__block_causal_encode, swg__block_causal_decode},
    {SWG__KIND_SWAE, SWG__MODE_B, 2, SWG_MODE_NETWORK, "autoencoder", sizeof(swg__swae), swg__swae_parse, swg__swae_close, NULL, NULL, swae_decode},
    {SWG__KIND_LAW, SWG__MODE_P, 0, SWG_MODE_POLY, "law of the polynomial mode", sizeof(swg__poly_law), swg__law_parse, NULL, NULL, swg__law_encode, swg__law_decode},
};

const swg__kind *swg__kind_of(uint32_t code) {
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i].code == code)
            return &kinds[i];
    return NULL;
}

void swg__blob_begin(swg__text *blob, int kind) {
    swg__put32(blob, 0x444D5753);
    swg__put16(blob, (uint32_t)kind);
    swg__put16(blob, 0);
    swg__put32(blob, 0); /* length, in the end */
    swg__put32(blob, 0);
}

void swg__blob_end(swg__text *blob) {
    swg__put_padding(blob, 0);
    if (!blob->failed)
        swg__store32((uint8_t *)blob->data + 8, (uint32_t)blob->length);
}
