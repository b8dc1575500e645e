/* SPDX-License-Identifier: Apache-2.0
 *
 * callbacks_logger.c: what an access logger asks of a log. Values of no kind that a filter knows are
 * entries of the source LOGGED, by the callback's name.
 */
#include "stub.h"

#include <string.h>

enum { LOGGED = -2 };
static const bytes NO_NAMESPACE = {NULL, 0};

static entry *told(void *envoy, const char *callback, const char *key) {
  bytes name = {(char *)key, strlen(key)};
  return may_call(envoy, callback) ? entry_find(envoy, LOGGED, NO_NAMESPACE, name) : NULL;
}

#define TOLD(name) told(envoy, "access_logger_" #name, #name)
#define LOGGER(name) CALLBACK(access_logger_##name)

#define TEXT(name)                                                                                 \
  HOST_CALLBACK bool LOGGER(name)(void *envoy, TYPE(envoy_buffer) * result) {                      \
    entry *e = TOLD(name);                                                                         \
    if (e != NULL) {                                                                               \
      *result = lend_buffer(envoy, HOOK, e->texts[0]);                                             \
    }                                                                                              \
    return e != NULL;                                                                              \
  }
#define ADDRESS(name) /* two values: address and port */                                           \
  HOST_CALLBACK bool LOGGER(name)(void *envoy, TYPE(envoy_buffer) * address, uint32_t *port) {     \
    entry *e = TOLD(name);                                                                         \
    if (e != NULL) {                                                                               \
      *address = lend_buffer(envoy, HOOK, e->texts[0]);                                            \
      *port = (uint32_t)e->numbers[1];                                                             \
    }                                                                                              \
    return e != NULL;                                                                              \
  }
#define LIST(name)                                                                                 \
  HOST_CALLBACK size_t LOGGER(name##_size)(void *envoy) {                                          \
    entry *e = TOLD(name);                                                                         \
    return e != NULL ? e->count : 0;                                                               \
  }                                                                                                \
  HOST_CALLBACK bool LOGGER(name)(void *envoy, TYPE(envoy_buffer) * result) {                      \
    entry *e = TOLD(name);                                                                         \
    for (size_t i = 0; e != NULL && i < e->count; i++) {                                           \
      result[i] = lend_buffer(envoy, HOOK, e->texts[i]);                                           \
    }                                                                                              \
    return e != NULL;                                                                              \
  }
#define NUMBER(type, name, unknown)                                                                \
  HOST_CALLBACK type LOGGER(name)(void *envoy) {                                                   \
    entry *e = TOLD(name);                                                                         \
    return e != NULL ? (type)e->numbers[0] : (type)unknown;                                        \
  }

TEXT(get_connection_termination_details)
TEXT(get_virtual_cluster_name)
TEXT(get_response_code_details)
TEXT(get_upstream_cluster)
TEXT(get_upstream_protocol)
TEXT(get_requested_server_name)
TEXT(get_ja3_hash)
TEXT(get_ja4_hash)
TEXT(get_downstream_transport_failure_reason)
TEXT(get_downstream_tls_version)
TEXT(get_downstream_tls_cipher)
TEXT(get_downstream_tls_session_id)
TEXT(get_downstream_local_subject)
TEXT(get_downstream_peer_subject)
TEXT(get_downstream_peer_issuer)
TEXT(get_downstream_peer_serial)
TEXT(get_downstream_peer_cert_digest)
TEXT(get_downstream_peer_fingerprint_1)
TEXT(get_upstream_transport_failure_reason)
TEXT(get_upstream_tls_version)
TEXT(get_upstream_tls_cipher)
TEXT(get_upstream_tls_session_id)
TEXT(get_upstream_local_subject)
TEXT(get_upstream_peer_subject)
TEXT(get_upstream_peer_issuer)
TEXT(get_upstream_peer_cert_digest)
ADDRESS(get_downstream_remote_address)
ADDRESS(get_downstream_local_address)
ADDRESS(get_downstream_direct_remote_address)
ADDRESS(get_downstream_direct_local_address)
ADDRESS(get_upstream_remote_address)
ADDRESS(get_upstream_local_address)
LIST(get_downstream_local_uri_san)
LIST(get_downstream_local_dns_san)
LIST(get_downstream_peer_uri_san)
LIST(get_downstream_peer_dns_san)
LIST(get_upstream_local_uri_san)
LIST(get_upstream_local_dns_san)
LIST(get_upstream_peer_uri_san)
LIST(get_upstream_peer_dns_san)
NUMBER(uint32_t, get_attempt_count, 0)
NUMBER(uint32_t, get_response_code, 0)
NUMBER(uint64_t, get_connection_id, 0)
NUMBER(uint64_t, get_upstream_connection_id, 0)
NUMBER(uint64_t, get_response_flags, 0)
NUMBER(uint64_t, get_request_headers_bytes, 0)
NUMBER(uint64_t, get_response_headers_bytes, 0)
NUMBER(uint64_t, get_response_trailers_bytes, 0)
NUMBER(int64_t, get_upstream_pool_ready_duration_ns, -1)
NUMBER(int64_t, get_downstream_peer_cert_v_start, 0)
NUMBER(int64_t, get_downstream_peer_cert_v_end, 0)
NUMBER(int64_t, get_upstream_peer_cert_v_start, 0)
NUMBER(int64_t, get_upstream_peer_cert_v_end, 0)
NUMBER(bool, is_health_check, 0)
NUMBER(bool, is_trace_sampled, 0)
NUMBER(bool, is_mtls, 0)
NUMBER(bool, get_downstream_peer_cert_presented, 0)
NUMBER(bool, get_downstream_peer_cert_validated, 0)

HOST_CALLBACK uint32_t LOGGER(get_worker_index)(void *envoy) {
  return may_call(envoy, "access_logger_get_worker_index") ? (uint32_t)((stream *)envoy)->worker : 0;
}

HOST_CALLBACK void LOGGER(get_timing_info)(void *envoy, TYPE(timing_info) * result) {
  entry *e = TOLD(get_timing_info); /* eight numbers, in the struct's order */
  int64_t *values[] = {
      &result->start_time_unix_ns,
      &result->request_complete_duration_ns,
      &result->first_upstream_tx_byte_sent_ns,
      &result->last_upstream_tx_byte_sent_ns,
      &result->first_upstream_rx_byte_received_ns,
      &result->last_upstream_rx_byte_received_ns,
      &result->first_downstream_tx_byte_sent_ns,
      &result->last_downstream_tx_byte_sent_ns,
  };
  for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
    *values[i] = e != NULL && i < e->count ? (int64_t)e->numbers[i] : -1;
  }
}

HOST_CALLBACK void LOGGER(get_bytes_info)(void *envoy, TYPE(bytes_info) * result) {
  entry *e = TOLD(get_bytes_info); /* four numbers, in the struct's order */
  uint64_t *values[] = {&result->bytes_received, &result->bytes_sent, &result->wire_bytes_received,
                        &result->wire_bytes_sent};
  for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
    *values[i] = e != NULL && i < e->count ? (uint64_t)e->numbers[i] : 0;
  }
}

/* What a filter can read, too. */

HOST_CALLBACK size_t LOGGER(get_headers_size)(void *envoy, TYPE(http_header_type) map) {
  return CALLBACK(http_get_headers_size)(envoy, map);
}

HOST_CALLBACK bool LOGGER(get_headers)(void *envoy, TYPE(http_header_type) map,
                                       TYPE(envoy_http_header) * result) {
  return CALLBACK(http_get_headers)(envoy, map, result);
}

HOST_CALLBACK bool LOGGER(get_header_value)(void *envoy, TYPE(http_header_type) map,
                                            TYPE(module_buffer) key, TYPE(envoy_buffer) * result,
                                            size_t index, size_t *total) {
  return CALLBACK(http_get_header)(envoy, map, key, result, index, total);
}

HOST_CALLBACK bool LOGGER(get_attribute_string)(void *envoy, TYPE(attribute_id) id,
                                                TYPE(envoy_buffer) * result) {
  return CALLBACK(http_filter_get_attribute_string)(envoy, id, result);
}

HOST_CALLBACK bool LOGGER(get_attribute_int)(void *envoy, TYPE(attribute_id) id, uint64_t *result) {
  return CALLBACK(http_filter_get_attribute_int)(envoy, id, result);
}

HOST_CALLBACK bool LOGGER(get_dynamic_metadata)(void *envoy, TYPE(module_buffer) ns,
                                                TYPE(module_buffer) key,
                                                TYPE(envoy_buffer) * result) {
  return CALLBACK(http_get_metadata_string)(envoy, TYPE(metadata_source_Dynamic), ns, key, result);
}
