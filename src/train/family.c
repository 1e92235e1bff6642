/* family.c - the families of networks there are.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/family.h"
#include <string.h>

static const swg__family *const families[] = {&swg__family_swae, &swg__family_kan, &swg__family_cyto, &swg__family_tfswa};

const swg__family *swg__family_find(const char *name) {
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strcmp(name, families[i]->name) == 0)
            return families[i];
    return NULL;
}
