/* SPDX-License-Identifier: Apache-2.0
 *
 * fields.c: which fields and header maps an entry needs, and fields as text for formats.
 */
#include "entry.h"

/* A header map as a bit. */
#define MAP_BIT(name) (1u << MAP_##name)

field_id field_find(slice name) {
  field_id field = 0;
  while (field < FIELD_COUNT && !slice_is(FIELDS[field].name, name)) {
    field++;
  }
  return field;
}

bool field_is_served(const plan *p, field_id field) {
  return (p->flags & PLAN_OF_LOGGER) || FIELDS[field].since <= pyfilter_host_release();
}

unsigned entry_maps(uint64_t fields) {
  const uint64_t from_request = FIELD_BIT(request_id) | FIELD_BIT(method) | FIELD_BIT(scheme) |
                                FIELD_BIT(authority) | FIELD_BIT(path) | FIELD_BIT(request_headers);
  const uint64_t from_response =
      FIELD_BIT(response_headers) | FIELD_BIT(grpc_status) | FIELD_BIT(response_code);
  const uint64_t from_response_trailers = FIELD_BIT(response_trailers) | FIELD_BIT(grpc_status);
  return (fields & from_request ? MAP_BIT(REQUEST) : 0) |
         (fields & FIELD_BIT(request_trailers) ? MAP_BIT(REQUEST_TRAILERS) : 0) |
         (fields & from_response ? MAP_BIT(RESPONSE) : 0) |
         (fields & from_response_trailers ? MAP_BIT(RESPONSE_TRAILERS) : 0);
}

bool entry_field_text(const entry *e, field_id field, text *out) {
  if (!(e->have >> field & 1)) {
    return false;
  }
  switch (FIELDS[field].type) {
  case FIELD_TEXT:
    text_put(out, e->value[field].text);
    return true;
  case FIELD_NUMBER:
    text_number(out, e->value[field].number);
    return true;
  case FIELD_TRUE:
    text_put(out, SLICE("true"));
    return true;
  default:
    return false;
  }
}
