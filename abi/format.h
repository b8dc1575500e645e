/* SPDX-License-Identifier: Apache-2.0
 *
 * format.h: texts that a config makes up from literals and from what a stream tells.
 */
#ifndef PYFILTER_FORMAT_H
#define PYFILTER_FORMAT_H

#include "entry.h"

/* Adds a part to a format; only while a config loads. `what` is copied. */
void format_add(format *f, int op, int map, slice what, field_id field, size_t max_length);
void format_free(format *f);
/* The fields and header maps that a part needs are added to these; when: FROM_*. */
void format_needs(const plan *p, const format_part *part, int when, uint64_t *fields,
                  unsigned *maps);
/* Gives the headers of a format their places in the plan's tables, which were made. */
void format_keep(format *f, plan *p);
/* Appends the text; what is not known is `missing`. */
void format_put(const format *f, const entry *e, const host *h, slice missing, text *out);
/* Whether all of it is literal text. */
bool format_is_constant(const format *f);

#endif
