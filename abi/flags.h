/* SPDX-License-Identifier: Apache-2.0
 *
 * flags.h: Envoy's response flags, a bit each, as the text that its access log prints.
 */
#ifndef PYFILTER_FLAGS_H
#define PYFILTER_FLAGS_H

#include <stddef.h>
#include <stdint.h>

/* Writes the flags' short names, "-" for none; returns the length. */
size_t flags_text(uint64_t flags, char *out, size_t size);

#endif
