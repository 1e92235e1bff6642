/* diagram.h - draws a network from the layers of its graph.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DIAGRAM_H
#define SWAGE_DIAGRAM_H

#include "swage/layers.h"

/* A box per layer with its kind, the shape of its result without the batch axis, and its parameters; a column per outermost scope, frames
 * around inner ones. What has no parameters and one reader or source (activations, reshapes) is written into the box it follows.
 * The whole file or none. SWG_ENOTFOUND: no such folder; SWG_EIO, SWG_ENOMEM. */
swg_status swg_diagram_svg(swg_context *ctx, const swg_layers *layers, const char *title, const char *path);
/* The same as a Mermaid flow chart, which many pages and editors draw. */
swg_status swg_diagram_mermaid(swg_context *ctx, const swg_layers *layers, const char *title, const char *path);

#endif
