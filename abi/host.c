/* SPDX-License-Identifier: Apache-2.0
 *
 * host.c: the HTTP filter as a host, and the log.
 */
#include "host.h"

#include "services.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static bool header(void *envoy, envoy_dynamic_module_type_http_header_type map, slice name,
                   slice *value) {
  envoy_dynamic_module_type_envoy_buffer found = {NULL, 0};
  bool there =
      envoy_dynamic_module_callback_http_get_header(envoy, map, lent(name), &found, 0, NULL);
  *value = (slice){found.ptr, found.length};
  return there;
}

/* What a module wrote are bytes; Envoy's own filters keep objects, which the other getter writes as
 * text. An object that has no text looks like none at all. */
static bool state_get(void *envoy, slice key, envoy_dynamic_module_type_envoy_buffer *found) {
  return envoy_dynamic_module_callback_http_get_filter_state_bytes(envoy, lent(key), found) ||
         envoy_dynamic_module_callback_http_get_filter_state_typed(envoy, lent(key), found);
}

static bool state_exists(void *envoy, slice key) {
  envoy_dynamic_module_type_envoy_buffer ignored;
  return envoy_dynamic_module_callback_http_get_filter_state_typed(envoy, lent(key), &ignored);
}

static bool state_text(void *envoy, slice key, text *out) {
  envoy_dynamic_module_type_envoy_buffer found;
  if (!state_get(envoy, key, &found)) {
    return false;
  }
  text_put(out, (slice){found.ptr, found.length});
  return true;
}

void host_put_double(text *out, double number) {
  char digits[32];
  int length = snprintf(digits, sizeof digits, "%.15g", number);
  if (strtod(digits, NULL) != number) {
    length = snprintf(digits, sizeof digits, "%.17g", number);
  }
  text_put(out, (slice){digits, (size_t)length});
}

enum { METADATA_STRING, METADATA_NUMBER, METADATA_BOOL, METADATA_KINDS };

/* Appends metadata of one kind; false: it is of another, which Envoy logs as an error. */
static bool metadata_of_kind(void *envoy, slice name_space, slice key, int kind, text *out) {
  const envoy_dynamic_module_type_metadata_source dynamic =
      envoy_dynamic_module_type_metadata_source_Dynamic;
  envoy_dynamic_module_type_module_buffer ns = lent(name_space);
  envoy_dynamic_module_type_envoy_buffer found;
  double number;
  bool truth;
  bool there;
  if (kind == METADATA_STRING) {
    there = envoy_dynamic_module_callback_http_get_metadata_string(envoy, dynamic, ns, lent(key),
                                                                   &found);
    text_put(out, there ? (slice){found.ptr, found.length} : SLICE(""));
  } else if (kind == METADATA_NUMBER) {
    there = envoy_dynamic_module_callback_http_get_metadata_number(envoy, dynamic, ns, lent(key),
                                                                   &number);
    if (there) {
      host_put_double(out, number);
    }
  } else {
    there = envoy_dynamic_module_callback_http_get_metadata_bool(envoy, dynamic, ns, lent(key),
                                                                 &truth);
    text_put(out, !there ? SLICE("") : truth ? SLICE("true") : SLICE("false"));
  }
  return there;
}

/* The kind that was found last is asked for first, so that Envoy has no error to log. */
static bool metadata_text(void *envoy, slice name_space, slice key, atomic_int *last, text *out) {
  int first = atomic_load_explicit(last, memory_order_relaxed);
  for (int i = 0; i < METADATA_KINDS; i++) {
    int kind = (first + i) % METADATA_KINDS;
    if (metadata_of_kind(envoy, name_space, key, kind, out)) {
      if (i != 0) {
        atomic_store_explicit(last, kind, memory_order_relaxed);
      }
      return true;
    }
  }
  return false;
}

static bool state_set(void *envoy, slice key, slice value) {
  return envoy_dynamic_module_callback_http_set_filter_state_bytes(envoy, lent(key),
                                                                   lent(value));
}

static void metadata_set(void *envoy, slice name_space, slice key, slice value) {
  envoy_dynamic_module_callback_http_set_dynamic_metadata_string(envoy, lent(name_space),
                                                                 lent(key), lent(value));
}

static void count(void *envoy, size_t counter, uint64_t n) {
  (void)envoy_dynamic_module_callback_http_filter_increment_counter(envoy, counter, NULL, 0, n);
}

static void gauge(void *envoy, size_t id, uint64_t value) {
  (void)envoy_dynamic_module_callback_http_filter_set_gauge(envoy, id, NULL, 0, value);
}

static void measure(void *envoy, int kind, size_t id,
                    envoy_dynamic_module_type_module_buffer *labels, size_t labels_count,
                    uint64_t number) {
  switch (kind) {
  case METRIC_COUNTER:
    (void)envoy_dynamic_module_callback_http_filter_increment_counter(envoy, id, labels,
                                                                      labels_count, number);
    break;
  case METRIC_GAUGE:
    (void)envoy_dynamic_module_callback_http_filter_set_gauge(envoy, id, labels, labels_count,
                                                              number);
    break;
  default:
    (void)envoy_dynamic_module_callback_http_filter_record_histogram_value(envoy, id, labels,
                                                                           labels_count, number);
  }
}

const host_functions host_http = {
    .headers_size = envoy_dynamic_module_callback_http_get_headers_size,
    .headers = envoy_dynamic_module_callback_http_get_headers,
    .header = header,
    .attribute_text = envoy_dynamic_module_callback_http_filter_get_attribute_string,
    .attribute_number = envoy_dynamic_module_callback_http_filter_get_attribute_int,
    .cluster = envoy_dynamic_module_callback_http_get_cluster_name,
    .worker = envoy_dynamic_module_callback_http_filter_get_worker_index,
    .state_text = state_text,
    .metadata_text = metadata_text,
    .state_exists = state_exists,
    .state_set = state_set,
    .metadata_set = metadata_set,
    .count = count,
    .gauge = gauge,
    .measure = measure,
};

void host_log(envoy_dynamic_module_type_log_level level, const char *format, ...) {
  char line[512];
  va_list arguments;
  if (!envoy_dynamic_module_callback_log_enabled(level)) {
    return;
  }
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  if (length > 0) {
    size_t kept = (size_t)length < sizeof line ? (size_t)length : sizeof line - 1;
    envoy_dynamic_module_callback_log(level, lent((slice){line, kept}));
  }
}
