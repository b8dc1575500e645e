/* SPDX-License-Identifier: Apache-2.0
 *
 * capture.c: reads a stream through its host into an entry. What is wanted was decided while the
 * config loaded, so nothing is asked for that no entry shows.
 */
#include "entry.h"
#include "flags.h"
#include "worker.h"

#include <time.h>

#define ID(name) envoy_dynamic_module_type_attribute_id_##name

/* Fields that Envoy tells as attributes. */
static const struct {
  field_id field;
  envoy_dynamic_module_type_attribute_id id;
} ATTRIBUTES[] = {
    {field_protocol, ID(RequestProtocol)},
    {field_response_code, ID(ResponseCode)},
    {field_response_code_details, ID(ResponseCodeDetails)},
    {field_route_name, ID(XdsRouteName)},
    {field_upstream_host, ID(UpstreamAddress)},
    {field_downstream_remote_address, ID(SourceAddress)},
    {field_downstream_local_address, ID(DestinationAddress)},
    {field_bytes_received, ID(RequestSize)},
    {field_bytes_sent, ID(ResponseSize)},
};

/* Fields that Envoy tells as request headers. The original path comes last: it takes the place of
 * the path that a filter may have rewritten. */
static const struct {
  field_id field;
  slice name;
} REQUEST_HEADERS[] = {
    {field_method, {":method", 7}},           {field_scheme, {":scheme", 7}},
    {field_authority, {":authority", 10}},    {field_path, {":path", 5}},
    {field_request_id, {"x-request-id", 12}},
};
static const slice ORIGINAL_PATH = {"x-envoy-original-path", 21};
static const slice REQUEST_ID = {"x-request-id", 12};
static const slice STATUS = {":status", 7};
static const slice GRPC_STATUS = {"grpc-status", 11};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define HEADER_FIELDS                                                                              \
  (FIELD_BIT(method) | FIELD_BIT(scheme) | FIELD_BIT(authority) | FIELD_BIT(path) |                \
   FIELD_BIT(request_id))

/* Nanoseconds of a clock. */
static uint64_t nanoseconds(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void record_clock(record *r) {
  r->start_unix_ns = nanoseconds(CLOCK_REALTIME);
  r->start_ns = nanoseconds(CLOCK_MONOTONIC);
}

static void set_text(entry *e, field_id field, slice value) {
  e->value[field].text = value;
  e->have |= UINT64_C(1) << field;
}

static void set_number(entry *e, field_id field, uint64_t value) {
  e->value[field].number = value;
  e->have |= UINT64_C(1) << field;
}

/* A decimal number as a header holds it; false when it is none. */
static bool parse_number(slice digits, uint64_t *number) {
  *number = 0;
  for (size_t i = 0; i < digits.length; i++) {
    if (digits.data[i] < '0' || digits.data[i] > '9' || i > 9) {
      return false;
    }
    *number = *number * 10 + (uint64_t)(digits.data[i] - '0');
  }
  return digits.length > 0;
}

bool header_find(const header_view *map, slice name, slice *value) {
  for (size_t i = 0; i < map->count; i++) {
    if (slice_is(header_name(map, i), name)) {
      *value = header_value(map, i);
      return true;
    }
  }
  return false;
}

/* Reads the wanted maps whole: two calls for each map, however many headers it has. */
static void read_maps(entry *e, const host *h, unsigned maps) {
  worker *w = worker_self();
  for (int map = 0; map < MAP_COUNT; map++) {
    size_t count = maps >> map & 1 ? h->call->headers_size(h->envoy, map) : 0;
    header_view *view = &e->maps[map];
    view->headers = count > 0 ? worker_headers(w, map, count) : NULL;
    view->count = count > 0 && h->call->headers(h->envoy, map, view->headers) ? count : 0;
  }
}

static void capture_request_headers(entry *e, const plan *p, uint64_t fields) {
  const header_view *map = &e->maps[MAP_REQUEST];
  for (size_t i = 0; i < map->count; i++) {
    slice name = header_name(map, i);
    if (name.length > ORIGINAL_PATH.length) {
      continue;
    }
    for (size_t j = 0; j < COUNT_OF(REQUEST_HEADERS); j++) {
      field_id field = REQUEST_HEADERS[j].field;
      if (!(e->have >> field & 1) && slice_is(name, REQUEST_HEADERS[j].name)) {
        set_text(e, field, header_value(map, i));
      }
    }
  }
  slice original;
  if ((fields & FIELD_BIT(path)) && header_find(map, ORIGINAL_PATH, &original)) {
    set_text(e, field_path, original);
  }
  if ((e->have & FIELD_BIT(request_id)) && rules_hide(&p->rules[PLAN_REQUEST], REQUEST_ID)) {
    set_text(e, field_request_id, REDACTED);
  }
}

/* What the local_reply hook heard, in place of an attribute that this host does not serve. */
static void capture_details(entry *e, const record *r) {
  if (r->details != NULL) {
    set_text(e, field_response_code_details, (slice){r->details, r->details_length});
  }
}

/* Envoy says "no such thing" sometimes with false, sometimes with an empty text. */
static void capture_attributes(entry *e, const host *h, uint64_t fields) {
  for (size_t i = 0; i < COUNT_OF(ATTRIBUTES); i++) {
    field_id field = ATTRIBUTES[i].field;
    envoy_dynamic_module_type_envoy_buffer found;
    uint64_t number;
    if (!(fields >> field & 1)) {
      continue;
    }
    if (FIELDS[field].type == FIELD_NUMBER) {
      if (h->call->attribute_number(h->envoy, ATTRIBUTES[i].id, &number)) {
        set_number(e, field, number);
      }
    } else if (h->call->attribute_text(h->envoy, ATTRIBUTES[i].id, &found) && found.length > 0) {
      set_text(e, field, (slice){found.ptr, found.length});
    }
  }
}

/* What Envoy tells in a way of its own. */
static void capture_special(entry *e, const host *h, uint64_t fields) {
  envoy_dynamic_module_type_envoy_buffer cluster;
  uint64_t flags;
  if ((fields & FIELD_BIT(upstream_cluster)) && h->call->cluster(h->envoy, &cluster) &&
      cluster.length > 0) {
    set_text(e, field_upstream_cluster, (slice){cluster.ptr, cluster.length});
  }
  if ((fields & FIELD_BIT(response_flags)) &&
      h->call->attribute_number(h->envoy, ID(ResponseFlags), &flags)) {
    set_text(e, field_response_flags,
             (slice){e->flags, flags_text(flags, e->flags, sizeof e->flags)});
  }
  if (fields & FIELD_BIT(worker)) {
    set_number(e, field_worker, h->call->worker(h->envoy));
  }
}

/* The status of the response, and gRPC's, which a call without a body has in its headers. */
static void capture_response(entry *e, uint64_t fields) {
  slice value;
  uint64_t number;
  if ((fields & FIELD_BIT(response_code)) && !(e->have & FIELD_BIT(response_code)) &&
      header_find(&e->maps[MAP_RESPONSE], STATUS, &value) && parse_number(value, &number)) {
    set_number(e, field_response_code, number);
  }
  if ((fields & FIELD_BIT(grpc_status)) &&
      (header_find(&e->maps[MAP_RESPONSE_TRAILERS], GRPC_STATUS, &value) ||
       header_find(&e->maps[MAP_RESPONSE], GRPC_STATUS, &value)) &&
      parse_number(value, &number)) {
    set_number(e, field_grpc_status, number);
  }
}

/* What we know ourselves. */
static void capture_record(entry *e, const record *r, uint64_t fields) {
  if (fields & (FIELD_BIT(duration_us) | FIELD_BIT(duration_ms))) {
    uint64_t duration = nanoseconds(CLOCK_MONOTONIC) - r->start_ns;
    set_number(e, field_duration_us, duration / 1000);
    set_number(e, field_duration_ms, duration / 1000000);
  }
  set_number(e, field_start_time_unix_nano, r->start_unix_ns);
  if (r->failed_hook != NULL) {
    set_text(e, field_failed_hook, (slice){r->failed_hook, strlen(r->failed_hook)});
  }
  if (r->denied) {
    e->have |= FIELD_BIT(denied);
  }
  e->notes = r->notes;
  for (const note *n = r->notes; n != NULL; n = n->next) {
    e->have |= UINT64_C(1) << (field_notes + n->kind);
  }
}

void entry_capture(entry *e, const plan *p, const host *h, const record *r, int when,
                   uint64_t fields, unsigned maps) {
  e->have = 0;
  read_maps(e, h, maps);
  set_text(e, field_instance, p->instance);
  set_number(e, field_time_unix_nano,
             when == FROM_RESPONSE ? nanoseconds(CLOCK_REALTIME) : r->start_unix_ns);
  if (fields & HEADER_FIELDS) {
    capture_request_headers(e, p, fields);
  }
  if (p->details_from_hook) {
    capture_details(e, r);
    fields &= ~FIELD_BIT(response_code_details);
  }
  capture_attributes(e, h, fields);
  capture_special(e, h, fields);
  capture_response(e, fields);
  capture_record(e, r, fields);
  for (int map = 0; map < MAP_COUNT; map++) {
    e->have |= (uint64_t)(e->maps[map].count > 0) << (field_request_headers + map);
  }
}
