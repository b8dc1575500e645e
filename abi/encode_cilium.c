/* SPDX-License-Identifier: Apache-2.0
 *
 * encode_cilium.c: the fields of cilium.LogEntry, straight from the captured stream. Which of them
 * differ from Cilium's own filter, and why, is in docs/cilium.md.
 */
#include "encode_cilium.h"

#include "protobuf.h"
#include "worker.h"

enum { HTTP10 = 0, HTTP11 = 1, HTTP2 = 2 };
enum { TYPE_REQUEST = 0, TYPE_RESPONSE = 1, TYPE_DENIED = 2 };

static const unsigned TYPES[] = {TYPE_REQUEST, TYPE_DENIED, TYPE_RESPONSE};
static const slice REQUEST_ID = {"x-request-id", 12};
static const slice NO_ADDRESS = {"0.0.0.0:0", 9};

enum { LIKELY_HTTP = 1024, LONGEST_ADDRESS = 72, PORT_DIGITS = 5 };

uint64_t cilium_fields(int when) {
  const uint64_t request = FIELD_BIT(time_unix_nano) | FIELD_BIT(request_id) | FIELD_BIT(protocol) | FIELD_BIT(method) |
                           FIELD_BIT(scheme) | FIELD_BIT(authority) | FIELD_BIT(path) |
                           FIELD_BIT(downstream_remote_address) |
                           FIELD_BIT(downstream_local_address) | FIELD_BIT(request_headers);
  return request |
         (when == FROM_RESPONSE ? FIELD_BIT(response_code) | FIELD_BIT(response_headers) : 0);
}

/* --- key and value --- */

/* The same where its lengths take a byte each; false, and nothing is appended: something is long, empty
 * or no ASCII. */
static bool put_small_pair(text *out, unsigned field, slice key, slice value) {
  if (key.length + value.length >= SMALL_LENGTH - 4 || key.length == 0 || value.length == 0) {
    return false;
  }
  char *at = text_room(out, text_end(out), key.length + value.length + 6);
  char *behind = at + 4 + key.length;
  at[0] = (char)(field << 3 | WIRE_LENGTH);
  at[1] = (char)(key.length + value.length + 4);
  at[2] = PAIR_KEY << 3 | WIRE_LENGTH;
  at[3] = (char)key.length;
  if (!copy_ascii(at + 4, key) || !copy_ascii(behind + 2, value)) {
    return false;
  }
  behind[0] = PAIR_VALUE << 3 | WIRE_LENGTH;
  behind[1] = (char)value.length;
  out->length += key.length + value.length + 6;
  return true;
}

void cilium_put_pair(text *out, unsigned field, slice key, slice value) {
  if (put_small_pair(out, field, key, value)) {
    return;
  }
  size_t likely = proto_text_size(key) + proto_text_size(value);
  size_t begin = proto_begin(out, field, likely);
  proto_text(out, PAIR_KEY, key);
  proto_text(out, PAIR_VALUE, value);
  proto_end(out, begin, likely);
}

/* Appends a header that is listed. */
static void put_header(text *out, const listed_header *l) {
  if (l->use->use & USE_PACKED) {
    cilium_put_pair(out, HTTP_HEADERS, header_name(l->header),
                    l->use->use & USE_HIDDEN ? REDACTED : header_value(l->header));
  }
}

static slice field_text(const entry *e, field_id field) {
  return e->have >> field & 1 ? e->value[field].text : (slice){NULL, 0};
}

/* The request's own id is always there: it joins the entries of a stream. */
static void put_request_headers(const entry *e, text *out) {
  const header_view *map = &e->maps[MAP_REQUEST];
  bool id_put = false;
  for (size_t i = 0; i < map->listed_count; i++) {
    const listed_header *l = &map->listed[i];
    if (!id_put && l->use->kept == KEPT_REQUEST_ID) {
      cilium_put_pair(out, HTTP_HEADERS, REQUEST_ID, field_text(e, field_request_id));
      id_put = true;
    } else {
      put_header(out, l);
    }
  }
}

/* The request's id first; the response's own only where it is another. */
static void put_response_headers(const entry *e, text *out) {
  const header_view *map = &e->maps[MAP_RESPONSE];
  slice sent = header_kept(&e->kept, KEPT_REQUEST_ID); /* redacted or not */
  if (sent.length > 0) {
    cilium_put_pair(out, HTTP_HEADERS, REQUEST_ID, field_text(e, field_request_id));
  }
  for (size_t i = 0; i < map->listed_count; i++) {
    const listed_header *l = &map->listed[i];
    if (sent.length > 0 && slice_is(header_value(l->header), sent) &&
        slice_is(header_name(l->header), REQUEST_ID)) {
      continue;
    }
    put_header(out, l);
  }
}

/* null stands for "there is no value". */
static slice note_value(const note *n) {
  return slice_is(n->json, SLICE("null")) ? (slice){NULL, 0} : n->text;
}

static bool is_repeated(const note *first, const note *n) {
  for (const note *old = first; old != n; old = old->next) {
    if (old->kind == n->kind && slice_is(old->key, n->key) &&
        slice_is(note_value(old), note_value(n))) {
      return true;
    }
  }
  return false;
}

static void put_notes(const entry *e, int kind, unsigned field, text *out) {
  for (const note *n = e->notes; n != NULL; n = n->next) {
    if (n->kind == kind && !is_repeated(e->notes, n)) {
      cilium_put_pair(out, field, n->key, note_value(n));
    }
  }
}

/* --- HttpLogEntry --- */

/* Cilium's enum ends with HTTP/2: its filter tells HTTP/3, and what it does not know, as HTTP/1.1. */
static unsigned protocol(const entry *e, const plan *p) {
  slice name = field_text(e, field_protocol);
  if (slice_is(name, SLICE("HTTP/2"))) {
    return HTTP2;
  }
  if (slice_is(name, SLICE("HTTP/1.0"))) {
    return HTTP10;
  }
  return slice_is(name, SLICE("HTTP/3")) && !(p->flags & PLAN_COMPAT_CILIUM) ? HTTP2 : HTTP11;
}

/* Never empty: the agent could not put a URL together. */
static slice scheme(const entry *e) {
  slice found = header_kept(&e->kept, KEPT_FORWARDED_PROTO);
  if (found.length > 0) {
    return found;
  }
  found = field_text(e, field_scheme);
  return found.length > 0 ? found : SLICE("http");
}

static void put_http(const entry *e, const plan *p, bool response, text *out) {
  size_t begin = proto_begin(out, LOG_HTTP, LIKELY_HTTP);
  proto_number(out, HTTP_PROTOCOL, protocol(e, p));
  proto_text(out, HTTP_SCHEME, scheme(e));
  proto_text(out, HTTP_HOST, field_text(e, field_authority));
  proto_text(out, HTTP_PATH, e->asked_path);
  proto_text(out, HTTP_METHOD, field_text(e, field_method));
  if (response) {
    put_response_headers(e, out);
    if (e->have & FIELD_BIT(response_code)) {
      proto_number(out, HTTP_STATUS, (uint32_t)e->value[field_response_code].number);
    }
  } else {
    put_request_headers(e, out);
  }
  put_notes(e, NOTE_MISSING, HTTP_MISSING, out);
  put_notes(e, NOTE_REJECT, HTTP_REJECTED, out);
  proto_end(out, begin, LIKELY_HTTP);
}

/* --- LogEntry --- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Where the digits and dots from `at` on end. */
static size_t skip_number(slice address, size_t at, bool dots) {
  while (at < address.length && (is_digit(address.data[at]) || (dots && address.data[at] == '.'))) {
    at++;
  }
  return at;
}

/* Whether the agent can read it: 192.0.2.1:80 or [2001:db8::1]:80. */
static bool is_ip_port(slice address) {
  size_t colon = 0;
  if (address.length == 0 || address.length > LONGEST_ADDRESS) {
    return false;
  }
  if (address.data[0] == '[') {
    const char *end = memchr(address.data, ']', address.length);
    colon = end == NULL ? 0 : (size_t)(end - address.data) + 1;
  } else {
    colon = skip_number(address, 0, true);
  }
  size_t digits = address.length - colon - 1;
  return colon > 0 && colon < address.length && address.data[colon] == ':' && digits > 0 &&
         digits <= PORT_DIGITS && skip_number(address, colon + 1, false) == address.length;
}

static void put_address(const entry *e, field_id field, unsigned number, text *out) {
  slice address = field_text(e, field);
  proto_text(out, number, is_ip_port(address) ? address : NO_ADDRESS);
}

/* The response's time is never before the request's, whatever happened to the clock. */
static uint64_t timestamp(const entry *e) {
  uint64_t start = e->value[field_start_time_unix_nano].number;
  uint64_t time = e->value[field_time_unix_nano].number;
  time = time > start ? time : start;
  return time > 0 ? time : 1;
}

static inline unsigned put_value(cilium *c, int which, const entry *e, const plan *p,
                                 const host *h, text *out) {
  const cilium_value *v = &c->values[which];
  return v->varies || v->constant.length > 0 ? cilium_put_value(c, which, e, p, h, out) : 0;
}

cilium_packet encode_cilium(const entry *e, const plan *p, const host *h, cilium *c, int kind) {
  worker *w = worker_self();
  text *out = &w->packet;
  cilium_packet made = {.bad_values = 0};
  out->length = 0;
  proto_number(out, LOG_TIMESTAMP, timestamp(e));
  proto_number(out, LOG_ENTRY_TYPE, TYPES[kind]);
  made.bad_values += put_value(c, CILIUM_POLICY_NAME, e, p, h, out);
  made.bad_values += put_value(c, CILIUM_RULE_REF, e, p, h, out);
  made.bad_values += put_value(c, CILIUM_SOURCE_ID, e, p, h, out);
  put_address(e, field_downstream_remote_address, LOG_SOURCE_ADDRESS, out);
  put_address(e, field_downstream_local_address, LOG_DESTINATION_ADDRESS, out);
  made.bad_values += put_value(c, CILIUM_IS_INGRESS, e, p, h, out);
  made.bad_values += put_value(c, CILIUM_DESTINATION_ID, e, p, h, out);
  made.bad_values += put_value(c, CILIUM_PROXY_ID, e, p, h, out);
  size_t http = out->length;
  put_http(e, p, TYPES[kind] == TYPE_RESPONSE, out);
  if (out->length > c->max_packet) {
    cilium_trim((slice){out->data, out->length}, http, c->max_packet, &w->trimmed);
    out = &w->trimmed;
    made.trimmed = true;
  }
  made.bytes = (slice){out->data, out->length};
  return made;
}
