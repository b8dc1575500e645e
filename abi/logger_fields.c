/* SPDX-License-Identifier: Apache-2.0 */
#include "logger_fields.h"

#include "escape.h"
#include "worker.h"

#include <stddef.h>

#define LOGGER(name) envoy_dynamic_module_callback_access_logger_##name
#define TYPE(name) envoy_dynamic_module_type_##name

/* How a field is asked for. Numbers below `least` mean that there is none. */
typedef enum {
  ASK_LOG_TYPE,
  ASK_TEXT,
  ASK_ADDRESS,
  ASK_LIST,
  ASK_UNSIGNED,
  ASK_COUNT,  /* 32 bits */
  ASK_SECONDS, /* since 1970 */
  ASK_NANOSECONDS,
  ASK_TRUE,
  ASK_TIMING, /* a member of timing_info, nanoseconds */
  ASK_BYTES,  /* a member of bytes_info */
} ask_how;

/* What has to be there for a field to have a value. */
typedef enum { OF_STREAM, OF_CLIENT_TLS, OF_UPSTREAM_TLS } ask_of;

typedef struct logger_field {
  slice name;
  slice json_key;
  ask_how how;
  ask_of of;
  int64_t least;
  size_t member;
  union {
    bool (*text)(void *, TYPE(envoy_buffer) *);
    bool (*address)(void *, TYPE(envoy_buffer) *, uint32_t *);
    uint64_t (*number)(void *);
    uint32_t (*count)(void *);
    int64_t (*seconds)(void *);
    bool (*is_true)(void *);
    size_t (*size)(void *);
  } call;
  bool (*list)(void *, TYPE(envoy_buffer) *);
} logger_field;

#define NAMED(field) .name = {#field, sizeof #field - 1}, \
                     .json_key = {",\"" #field "\":", sizeof #field + 3}
#define TEXT(field, which, callback)                                                               \
  {NAMED(field), .how = ASK_TEXT, .of = which, .call.text = LOGGER(callback)}
#define ADDRESS(field, callback)                                                                   \
  {NAMED(field), .how = ASK_ADDRESS, .call.address = LOGGER(callback)}
#define LIST(field, which, callback)                                                               \
  {NAMED(field), .how = ASK_LIST, .of = which, .call.size = LOGGER(callback##_size),               \
   .list = LOGGER(callback)}
#define SECONDS(field, which, callback)                                                            \
  {NAMED(field), .how = ASK_SECONDS, .of = which, .least = 1,                                      \
   .call.seconds = LOGGER(callback)}
#define TRUE_IF(field, which, callback)                                                            \
  {NAMED(field), .how = ASK_TRUE, .of = which, .call.is_true = LOGGER(callback)}
#define NUMBER(field, from, callback)                                                              \
  {NAMED(field), .how = ASK_UNSIGNED, .least = from, .call.number = LOGGER(callback)}
#define TIMING(field, name)                                                                        \
  {NAMED(field), .how = ASK_TIMING, .member = offsetof(TYPE(timing_info), name)}
#define BYTES(field, name)                                                                         \
  {NAMED(field), .how = ASK_BYTES, .member = offsetof(TYPE(bytes_info), name)}

/* In the entry's order. */
static const logger_field LOGGER_FIELDS[] = {
    {NAMED(access_log_type), .how = ASK_LOG_TYPE},
    NUMBER(connection_id, 0, get_connection_id),
    ADDRESS(downstream_direct_remote_address, get_downstream_direct_remote_address),
    ADDRESS(downstream_direct_local_address, get_downstream_direct_local_address),
    TEXT(connection_termination_details, OF_STREAM, get_connection_termination_details),
    TEXT(virtual_cluster_name, OF_STREAM, get_virtual_cluster_name),
    TRUE_IF(health_check, OF_STREAM, is_health_check),
    TRUE_IF(trace_sampled, OF_STREAM, is_trace_sampled),
    NUMBER(request_headers_bytes, 0, get_request_headers_bytes),
    NUMBER(response_headers_bytes, 0, get_response_headers_bytes),
    NUMBER(response_trailers_bytes, 0, get_response_trailers_bytes),
    TIMING(time_to_first_upstream_tx_byte_us, first_upstream_tx_byte_sent_ns),
    TIMING(time_to_last_upstream_tx_byte_us, last_upstream_tx_byte_sent_ns),
    TIMING(time_to_first_upstream_rx_byte_us, first_upstream_rx_byte_received_ns),
    TIMING(time_to_last_upstream_rx_byte_us, last_upstream_rx_byte_received_ns),
    TIMING(time_to_first_downstream_tx_byte_us, first_downstream_tx_byte_sent_ns),
    TIMING(time_to_last_downstream_tx_byte_us, last_downstream_tx_byte_sent_ns),
    TEXT(requested_server_name, OF_STREAM, get_requested_server_name),
    TEXT(tls_ja3_fingerprint, OF_STREAM, get_ja3_hash),
    TEXT(tls_ja4_fingerprint, OF_STREAM, get_ja4_hash),
    TEXT(downstream_transport_failure_reason, OF_STREAM, get_downstream_transport_failure_reason),
    TEXT(downstream_tls_version, OF_CLIENT_TLS, get_downstream_tls_version),
    TEXT(downstream_tls_cipher, OF_CLIENT_TLS, get_downstream_tls_cipher),
    TEXT(downstream_tls_session_id, OF_CLIENT_TLS, get_downstream_tls_session_id),
    TEXT(downstream_local_subject, OF_CLIENT_TLS, get_downstream_local_subject),
    LIST(downstream_local_uri_san, OF_CLIENT_TLS, get_downstream_local_uri_san),
    LIST(downstream_local_dns_san, OF_CLIENT_TLS, get_downstream_local_dns_san),
    TRUE_IF(downstream_mtls, OF_CLIENT_TLS, is_mtls),
    TRUE_IF(downstream_peer_cert_presented, OF_CLIENT_TLS, get_downstream_peer_cert_presented),
    TRUE_IF(downstream_peer_cert_validated, OF_CLIENT_TLS, get_downstream_peer_cert_validated),
    TEXT(downstream_peer_subject, OF_CLIENT_TLS, get_downstream_peer_subject),
    TEXT(downstream_peer_issuer, OF_CLIENT_TLS, get_downstream_peer_issuer),
    TEXT(downstream_peer_serial, OF_CLIENT_TLS, get_downstream_peer_serial),
    TEXT(downstream_peer_fingerprint_256, OF_CLIENT_TLS, get_downstream_peer_cert_digest),
    TEXT(downstream_peer_fingerprint_1, OF_CLIENT_TLS, get_downstream_peer_fingerprint_1),
    LIST(downstream_peer_uri_san, OF_CLIENT_TLS, get_downstream_peer_uri_san),
    LIST(downstream_peer_dns_san, OF_CLIENT_TLS, get_downstream_peer_dns_san),
    SECONDS(downstream_peer_cert_v_start, OF_CLIENT_TLS, get_downstream_peer_cert_v_start),
    SECONDS(downstream_peer_cert_v_end, OF_CLIENT_TLS, get_downstream_peer_cert_v_end),
    {NAMED(upstream_request_attempt_count), .how = ASK_COUNT,
     .call.count = LOGGER(get_attempt_count)},
    NUMBER(upstream_connection_id, 1, get_upstream_connection_id),
    TEXT(upstream_protocol, OF_STREAM, get_upstream_protocol),
    ADDRESS(upstream_remote_address, get_upstream_remote_address),
    ADDRESS(upstream_local_address, get_upstream_local_address),
    BYTES(upstream_wire_bytes_received, wire_bytes_received),
    BYTES(upstream_wire_bytes_sent, wire_bytes_sent),
    {NAMED(upstream_connection_pool_ready_duration_us), .how = ASK_NANOSECONDS,
     .call.seconds = LOGGER(get_upstream_pool_ready_duration_ns)},
    TEXT(upstream_transport_failure_reason, OF_STREAM, get_upstream_transport_failure_reason),
    TEXT(upstream_tls_version, OF_UPSTREAM_TLS, get_upstream_tls_version),
    TEXT(upstream_tls_cipher, OF_UPSTREAM_TLS, get_upstream_tls_cipher),
    TEXT(upstream_tls_session_id, OF_UPSTREAM_TLS, get_upstream_tls_session_id),
    TEXT(upstream_local_subject, OF_UPSTREAM_TLS, get_upstream_local_subject),
    LIST(upstream_local_uri_san, OF_UPSTREAM_TLS, get_upstream_local_uri_san),
    LIST(upstream_local_dns_san, OF_UPSTREAM_TLS, get_upstream_local_dns_san),
    TEXT(upstream_peer_subject, OF_UPSTREAM_TLS, get_upstream_peer_subject),
    TEXT(upstream_peer_issuer, OF_UPSTREAM_TLS, get_upstream_peer_issuer),
    TEXT(upstream_peer_fingerprint_256, OF_UPSTREAM_TLS, get_upstream_peer_cert_digest),
    LIST(upstream_peer_uri_san, OF_UPSTREAM_TLS, get_upstream_peer_uri_san),
    LIST(upstream_peer_dns_san, OF_UPSTREAM_TLS, get_upstream_peer_dns_san),
    SECONDS(upstream_peer_cert_v_start, OF_UPSTREAM_TLS, get_upstream_peer_cert_v_start),
    SECONDS(upstream_peer_cert_v_end, OF_UPSTREAM_TLS, get_upstream_peer_cert_v_end),
};
enum { LOGGER_FIELD_COUNT = sizeof LOGGER_FIELDS / sizeof LOGGER_FIELDS[0] };

/* By the value of the ABI. */
#define LOG_TYPE(name) [TYPE(access_log_type_##name)] = {#name, sizeof #name - 1}
static const slice LOG_TYPES[] = {
    LOG_TYPE(NotSet),
    LOG_TYPE(TcpUpstreamConnected),
    LOG_TYPE(TcpPeriodic),
    LOG_TYPE(TcpConnectionEnd),
    LOG_TYPE(DownstreamStart),
    LOG_TYPE(DownstreamPeriodic),
    LOG_TYPE(DownstreamEnd),
    LOG_TYPE(UpstreamPoolReady),
    LOG_TYPE(UpstreamPeriodic),
    LOG_TYPE(UpstreamEnd),
    LOG_TYPE(DownstreamTunnelSuccessfullyEstablished),
    LOG_TYPE(UdpTunnelUpstreamConnected),
    LOG_TYPE(UdpPeriodic),
    LOG_TYPE(UdpSessionEnd),
};
enum { LOG_TYPE_COUNT = sizeof LOG_TYPES / sizeof LOG_TYPES[0] };

enum { MOST_IN_LIST = 64 }; /* alternative names of a certificate that are written */

const logger_field *logger_field_find(slice name) {
  for (size_t i = 0; i < LOGGER_FIELD_COUNT; i++) {
    if (slice_is(LOGGER_FIELDS[i].name, name)) {
      return &LOGGER_FIELDS[i];
    }
  }
  return NULL;
}

/* What several fields are told by; each is asked for when the first of them is. */
typedef struct shared {
  TYPE(timing_info) timing;
  TYPE(bytes_info) bytes;
  bool has_timing, has_bytes;
  int tls[2]; /* whether there is any: 0 not asked, 1 yes, -1 no */
} shared;

/* Whether there is TLS on that side: one question in place of twenty. */
static bool is_there(shared *s, ask_of of, void *envoy) {
  TYPE(envoy_buffer) version;
  if (of == OF_STREAM) {
    return true;
  }
  int *known = &s->tls[of == OF_UPSTREAM_TLS];
  if (*known == 0) {
    bool found = of == OF_CLIENT_TLS ? LOGGER(get_downstream_tls_version)(envoy, &version)
                                     : LOGGER(get_upstream_tls_version)(envoy, &version);
    *known = found ? 1 : -1;
  }
  return *known > 0;
}

static void put_text(const logger_field *f, slice value, text *out, bool *valid) {
  if (value.length > 0) {
    text_put(out, f->json_key);
    *valid &= text_json(out, value);
  }
}

static void put_address(const logger_field *f, void *envoy, text *out, bool *valid) {
  TYPE(envoy_buffer) found = {NULL, 0};
  uint32_t port = 0;
  if (f->call.address(envoy, &found, &port)) {
    text *made = &worker_self()->addresses[ADDRESS_OTHER];
    put_text(f, host_address((slice){found.ptr, found.length}, port, made), out, valid);
  }
}

static void put_list(const logger_field *f, void *envoy, text *out, bool *valid) {
  TYPE(envoy_buffer) names[MOST_IN_LIST];
  size_t count = f->call.size(envoy);
  if (count == 0 || count > MOST_IN_LIST || !f->list(envoy, names)) {
    return;
  }
  text_put(out, f->json_key);
  for (size_t i = 0; i < count; i++) {
    text_byte(out, i == 0 ? '[' : ',');
    *valid &= text_json(out, (slice){names[i].ptr, names[i].length});
  }
  text_byte(out, ']');
}

static void put_number(const logger_field *f, int64_t value, text *out) {
  if (value >= f->least) {
    text_put(out, f->json_key);
    text_number(out, (uint64_t)value);
  }
}

static int64_t timing_of(const logger_field *f, shared *s, void *envoy) {
  int64_t value;
  if (!s->has_timing) {
    LOGGER(get_timing_info)(envoy, &s->timing);
    s->has_timing = true;
  }
  memcpy(&value, (const char *)&s->timing + f->member, sizeof value);
  return value < 0 ? value : value / 1000;
}

static int64_t bytes_of(const logger_field *f, shared *s, void *envoy) {
  uint64_t value;
  if (!s->has_bytes) {
    LOGGER(get_bytes_info)(envoy, &s->bytes);
    s->has_bytes = true;
  }
  memcpy(&value, (const char *)&s->bytes + f->member, sizeof value);
  return (int64_t)value;
}

static void put_field(const logger_field *f, shared *s, const told_log *log, text *out,
                      bool *valid) {
  TYPE(envoy_buffer) found = {NULL, 0};
  void *envoy = log->envoy;
  int64_t nanoseconds;
  switch (f->how) {
  case ASK_LOG_TYPE:
    if ((size_t)log->type < LOG_TYPE_COUNT) {
      put_text(f, LOG_TYPES[log->type], out, valid);
    }
    break;
  case ASK_TEXT:
    if (f->call.text(envoy, &found)) {
      put_text(f, (slice){found.ptr, found.length}, out, valid);
    }
    break;
  case ASK_ADDRESS:
    put_address(f, envoy, out, valid);
    break;
  case ASK_LIST:
    put_list(f, envoy, out, valid);
    break;
  case ASK_UNSIGNED:
    put_number(f, (int64_t)f->call.number(envoy), out);
    break;
  case ASK_COUNT:
    put_number(f, f->call.count(envoy), out);
    break;
  case ASK_SECONDS:
    put_number(f, f->call.seconds(envoy), out);
    break;
  case ASK_NANOSECONDS:
    nanoseconds = f->call.seconds(envoy);
    put_number(f, nanoseconds < 0 ? nanoseconds : nanoseconds / 1000, out);
    break;
  case ASK_TRUE:
    if (f->call.is_true(envoy)) {
      text_put(out, f->json_key);
      text_put(out, SLICE("true"));
    }
    break;
  case ASK_TIMING:
    put_number(f, timing_of(f, s, envoy), out);
    break;
  case ASK_BYTES:
    put_number(f, bytes_of(f, s, envoy), out);
    break;
  }
}

bool logger_fields_put(const logger_field *const *fields, size_t count, const told_log *log,
                       text *out) {
  shared s = {0};
  bool valid = true;
  for (size_t i = 0; i < count; i++) {
    if (is_there(&s, fields[i]->of, log->envoy)) {
      put_field(fields[i], &s, log, out, &valid);
    }
  }
  return valid;
}
