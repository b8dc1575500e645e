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
static const envoy_dynamic_module_type_attribute_id ATTRIBUTES[FIELD_COUNT] = {
    [field_protocol] = ID(RequestProtocol),
    [field_response_code] = ID(ResponseCode),
    [field_response_code_details] = ID(ResponseCodeDetails),
    [field_route_name] = ID(XdsRouteName),
    [field_upstream_host] = ID(UpstreamAddress),
    [field_downstream_remote_address] = ID(SourceAddress),
    [field_downstream_local_address] = ID(DestinationAddress),
    [field_bytes_received] = ID(RequestSize),
    [field_bytes_sent] = ID(ResponseSize),
};
#define ATTRIBUTE_FIELDS                                                                           \
  (FIELD_BIT(protocol) | FIELD_BIT(response_code) | FIELD_BIT(response_code_details) |             \
   FIELD_BIT(route_name) | FIELD_BIT(upstream_host) | FIELD_BIT(downstream_remote_address) |       \
   FIELD_BIT(downstream_local_address) | FIELD_BIT(bytes_received) | FIELD_BIT(bytes_sent))
/* Fields that are request headers. */
#define HEADER_FIELDS                                                                              \
  (FIELD_BIT(method) | FIELD_BIT(scheme) | FIELD_BIT(authority) | FIELD_BIT(path) |                \
   FIELD_BIT(request_id))
/* Fields that Envoy tells in a way of its own. */
#define SPECIAL_FIELDS                                                                             \
  (FIELD_BIT(upstream_cluster) | FIELD_BIT(response_flags) | FIELD_BIT(worker))

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

/* Reads one map whole: two calls, however many headers it has. */
static void read_map(entry *e, const plan *p, const host *h, worker *w, int map) {
  header_room *room = &w->maps[map];
  size_t count = h->call->headers_size(h->envoy, map);
  header_room_for(room, count);
  if (count > 0 && h->call->headers(h->envoy, map, room->headers)) {
    headers_look(&p->tables[map], room, count, &e->maps[map], &e->kept);
    e->have |= UINT64_C(1) << (field_request_headers + map);
  }
}

static void read_maps(entry *e, const plan *p, const host *h, unsigned maps) {
  worker *w = worker_self();
  memset(e->kept.at, 0, KEPT_FEW * sizeof e->kept.at[0]);
  for (unsigned i = KEPT_FEW; i < p->kept; i++) {
    e->kept.at[i] = NULL;
  }
  for (int map = 0; map < MAP_COUNT; map++) {
    e->maps[map].count = e->maps[map].listed_count = 0;
  }
  for (; maps != 0; maps &= maps - 1) {
    read_map(e, p, h, w, __builtin_ctz(maps));
  }
}

static void set_kept(entry *e, field_id field, unsigned place) {
  const http_header *header = e->kept.at[place];
  if (header != NULL) {
    set_text(e, field, header_value(header));
  }
}

/* The original path takes the place of the path that a route may have rewritten. */
static void capture_path(entry *e, const record *r) {
  set_kept(e, field_path, KEPT_PATH);
  e->asked_path = header_kept(&e->kept, KEPT_PATH);
  if (e->kept.at[KEPT_ORIGINAL_PATH] != NULL) {
    set_kept(e, field_path, KEPT_ORIGINAL_PATH);
    e->asked_path = r->original_path_free ? e->value[field_path].text : e->asked_path;
  }
}

static void capture_request_headers(entry *e, const plan *p, const record *r) {
  set_kept(e, field_method, KEPT_METHOD);
  set_kept(e, field_scheme, KEPT_SCHEME);
  set_kept(e, field_authority, KEPT_AUTHORITY);
  set_kept(e, field_request_id, KEPT_REQUEST_ID);
  if ((e->have & FIELD_BIT(request_id)) && p->hides_request_id) {
    set_text(e, field_request_id, REDACTED);
  }
  capture_path(e, r);
}

/* What the local_reply hook heard, in place of an attribute that this host does not serve. */
static void capture_details(entry *e, const record *r) {
  if (r->details != NULL) {
    set_text(e, field_response_code_details, (slice){r->details, r->details_length});
  }
}

/* Envoy says "no such thing" sometimes with false, sometimes with an empty text. */
static void capture_attributes(entry *e, const host *h, uint64_t fields) {
  for (uint64_t left = fields & ATTRIBUTE_FIELDS; left != 0; left &= left - 1) {
    field_id field = (field_id)__builtin_ctzll(left);
    envoy_dynamic_module_type_envoy_buffer found;
    uint64_t number;
    if (FIELDS[field].type == FIELD_NUMBER) {
      if (h->call->attribute_number(h->envoy, ATTRIBUTES[field], &number)) {
        set_number(e, field, number);
      }
    } else if (h->call->attribute_text(h->envoy, ATTRIBUTES[field], &found) && found.length > 0) {
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
  uint64_t number = 0;
  if ((fields & FIELD_BIT(response_code)) && !(e->have & FIELD_BIT(response_code))) {
    bool known = parse_number(header_kept(&e->kept, KEPT_STATUS), &number);
    set_number(e, field_response_code, known ? number : 0); /* 0: as Envoy's own formats print it */
  }
  if (fields & FIELD_BIT(grpc_status)) {
    bool trailer = e->kept.at[KEPT_GRPC_STATUS_IN_TRAILERS] != NULL;
    unsigned place = trailer ? KEPT_GRPC_STATUS_IN_TRAILERS : KEPT_GRPC_STATUS;
    if (parse_number(header_kept(&e->kept, place), &number)) {
      set_number(e, field_grpc_status, number);
    }
  }
}

/* The wall clock may be set back while a stream lives; its end still comes after its start. */
static uint64_t time_of(const record *r, int when) {
  uint64_t now = when == FROM_RESPONSE ? nanoseconds(CLOCK_REALTIME) : r->start_unix_ns;
  return now > r->start_unix_ns ? now : r->start_unix_ns;
}

static void capture_times(entry *e, const record *r, int when, uint64_t fields) {
  if (fields & FIELD_BIT(time_unix_nano)) {
    set_number(e, field_time_unix_nano, time_of(r, when));
  }
  if (fields & (FIELD_BIT(duration_us) | FIELD_BIT(duration_ms))) {
    uint64_t duration = nanoseconds(CLOCK_MONOTONIC) - r->start_ns;
    set_number(e, field_duration_us, duration / 1000);
    set_number(e, field_duration_ms, duration / 1000000);
  }
  set_number(e, field_start_time_unix_nano, r->start_unix_ns);
}

/* What became of the stream in our hooks. */
static void capture_record(entry *e, const record *r) {
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
  read_maps(e, p, h, maps);
  set_text(e, field_instance, p->instance);
  if (fields & TIMED_FIELDS) {
    capture_times(e, r, when, fields);
  }
  if (fields & HEADER_FIELDS) {
    capture_request_headers(e, p, r);
  }
  if (p->details_from_hook) {
    capture_details(e, r);
    fields &= ~FIELD_BIT(response_code_details);
  }
  capture_attributes(e, h, fields);
  if (fields & SPECIAL_FIELDS) {
    capture_special(e, h, fields);
  }
  capture_response(e, fields);
  capture_record(e, r);
}
