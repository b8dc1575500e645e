/* SPDX-License-Identifier: Apache-2.0
 *
 * logger_fields.h: the fields that only an access logger can tell. They stand behind the others in
 * the entry's order, and are asked of Envoy as they are written.
 */
#ifndef PYFILTER_LOGGER_FIELDS_H
#define PYFILTER_LOGGER_FIELDS_H

#include "entry.h"

struct logger_field;

/* The field of that name; NULL: there is none. */
const struct logger_field *logger_field_find(slice name);
/* Appends the plan's fields that Envoy can tell of the log; false: a value was not UTF-8. */
bool logger_fields_put(const struct logger_field *const *fields, size_t count, const told_log *log,
                       text *out);

#endif
