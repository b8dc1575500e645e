/* SPDX-License-Identifier: Apache-2.0
 *
 * host_logger.c: the access logger as a host. It reads what the stream has become, and writes no
 * filter state.
 */
#include <time.h>

#include "entry.h"
#include "worker.h"

#define LOGGER(name) envoy_dynamic_module_callback_access_logger_##name
#define ID(name) envoy_dynamic_module_type_attribute_id_##name

static bool header(void *envoy, envoy_dynamic_module_type_http_header_type map, slice name,
                   slice *value) {
  envoy_dynamic_module_type_envoy_buffer found = {NULL, 0};
  bool there = LOGGER(get_header_value)(envoy, map, lent(name), &found, 0, NULL);
  *value = (slice){found.ptr, found.length};
  return there;
}

slice host_address(slice ip, uint32_t port, text *made) {
  if (port == 0) {
    return ip; /* a socket's path */
  }
  bool version6 = memchr(ip.data, ':', ip.length) != NULL;
  made->length = 0;
  text_put(made, version6 ? SLICE("[") : SLICE(""));
  text_put(made, ip);
  text_put(made, version6 ? SLICE("]:") : SLICE(":"));
  text_number(made, port);
  return (slice){made->data, made->length};
}

/* An address with its port, which the getter of attributes tells from 1.40 on only. The text lives
 * until the thread's next one of the same `which`. */
static bool address(void *envoy, int which, envoy_dynamic_module_type_envoy_buffer *out) {
  envoy_dynamic_module_type_envoy_buffer found = {NULL, 0};
  uint32_t port = 0;
  bool there = which == ADDRESS_REMOTE
                   ? LOGGER(get_downstream_remote_address)(envoy, &found, &port)
                   : LOGGER(get_downstream_local_address)(envoy, &found, &port);
  slice whole = host_address((slice){found.ptr, found.length}, port,
                             &worker_self()->addresses[which]);
  *out = (envoy_dynamic_module_type_envoy_buffer){whole.data, whole.length};
  return there;
}

/* Callbacks of its own tell some attributes in every release, which the getter learned later. */
static bool attribute_text(void *envoy, envoy_dynamic_module_type_attribute_id id,
                           envoy_dynamic_module_type_envoy_buffer *out) {
  switch (id) {
  case ID(ResponseCodeDetails):
    return LOGGER(get_response_code_details)(envoy, out);
  case ID(SourceAddress):
    return address(envoy, ADDRESS_REMOTE, out);
  case ID(DestinationAddress):
    return address(envoy, ADDRESS_LOCAL, out);
  default:
    return LOGGER(get_attribute_string)(envoy, id, out);
  }
}

static bool attribute_number(void *envoy, envoy_dynamic_module_type_attribute_id id,
                             uint64_t *out) {
  envoy_dynamic_module_type_bytes_info bytes;
  switch (id) {
  case ID(ResponseCode):
    *out = LOGGER(get_response_code)(envoy);
    return *out != 0;
  case ID(ResponseFlags):
    *out = LOGGER(get_response_flags)(envoy);
    return true;
  case ID(RequestSize):
    LOGGER(get_bytes_info)(envoy, &bytes);
    *out = bytes.bytes_received;
    return true;
  case ID(ResponseSize):
    LOGGER(get_bytes_info)(envoy, &bytes);
    *out = bytes.bytes_sent;
    return true;
  default:
    return LOGGER(get_attribute_int)(envoy, id, out);
  }
}

/* It has no getter for filter state that ever finds any; config refuses to ask. */
static bool state_text(void *envoy, slice key, text *out) {
  (void)envoy;
  (void)key;
  (void)out;
  return false;
}

/* 1.38 tells text alone. */
static bool metadata_text(void *envoy, slice name_space, slice key, atomic_int *last, text *out) {
  envoy_dynamic_module_type_module_buffer ns = lent(name_space), path = lent(key);
  envoy_dynamic_module_type_envoy_buffer found;
  double number;
  bool truth;
  (void)last;
  if (LOGGER(get_dynamic_metadata)(envoy, ns, path, &found)) {
    text_put(out, (slice){found.ptr, found.length});
    return true;
  }
  if (LOGGER(get_dynamic_metadata_number) != NULL &&
      LOGGER(get_dynamic_metadata_number)(envoy, ns, path, &number)) {
    host_put_double(out, number);
    return true;
  }
  if (LOGGER(get_dynamic_metadata_bool) != NULL &&
      LOGGER(get_dynamic_metadata_bool)(envoy, ns, path, &truth)) {
    text_put(out, truth ? SLICE("true") : SLICE("false"));
    return true;
  }
  return false;
}

static void count(void *config, size_t counter, uint64_t n) {
  (void)LOGGER(increment_counter)(config, counter, n);
}

static void gauge(void *config, size_t id, uint64_t value) {
  (void)LOGGER(set_gauge)(config, id, value);
}

static void measure(void *config, int kind, size_t id,
                    envoy_dynamic_module_type_module_buffer *labels, size_t labels_count,
                    uint64_t number) {
  (void)labels;
  (void)labels_count;
  switch (kind) {
  case METRIC_COUNTER:
    count(config, id, number);
    break;
  case METRIC_GAUGE:
    gauge(config, id, number);
    break;
  default:
    (void)LOGGER(record_histogram_value)(config, id, number);
  }
}

/* Nanoseconds of a clock. */
static int64_t nanoseconds(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void record_of_log(record *r, const plan *p, const host *h) {
  envoy_dynamic_module_type_timing_info timing;
  if (p->captured[FROM_RESPONSE] & TIMED_FIELDS) {
    LOGGER(get_timing_info)(h->envoy, &timing);
    int64_t duration = timing.request_complete_duration_ns;
    if (duration < 0) { /* it goes on */
      duration = nanoseconds(CLOCK_REALTIME) - timing.start_time_unix_ns;
    }
    r->start_unix_ns = (uint64_t)timing.start_time_unix_ns;
    r->start_ns = (uint64_t)(nanoseconds(CLOCK_MONOTONIC) - (duration > 0 ? duration : 0));
  }
}

const host_functions host_logger = {
    .headers_size = LOGGER(get_headers_size),
    .headers = LOGGER(get_headers),
    .header = header,
    .attribute_text = attribute_text,
    .attribute_number = attribute_number,
    .cluster = LOGGER(get_upstream_cluster),
    .worker = LOGGER(get_worker_index),
    .state_text = state_text,
    .metadata_text = metadata_text,
    .count = count,
    .gauge = gauge,
    .measure = measure,
};
