/* SPDX-License-Identifier: Apache-2.0
 *
 * host.c: the HTTP filter as a host, and the log.
 */
#include "host.h"

#include <stdarg.h>
#include <stdio.h>

static envoy_dynamic_module_type_module_buffer buffer(slice s) {
  return (envoy_dynamic_module_type_module_buffer){s.data, s.length};
}

/* What a module wrote are bytes; Envoy's own filters keep objects, which the other getter writes as
 * text. An object that has no text looks like none at all. */
static bool state_exists(void *envoy, slice key) {
  envoy_dynamic_module_type_envoy_buffer ignored;
  return envoy_dynamic_module_callback_http_get_filter_state_bytes(envoy, buffer(key), &ignored) ||
         envoy_dynamic_module_callback_http_get_filter_state_typed(envoy, buffer(key), &ignored);
}

static bool state_set(void *envoy, slice key, slice value) {
  return envoy_dynamic_module_callback_http_set_filter_state_bytes(envoy, buffer(key),
                                                                   buffer(value));
}

static void metadata_set(void *envoy, slice name_space, slice key, slice value) {
  envoy_dynamic_module_callback_http_set_dynamic_metadata_string(envoy, buffer(name_space),
                                                                 buffer(key), buffer(value));
}

static void count(void *envoy, size_t counter, uint64_t n) {
  (void)envoy_dynamic_module_callback_http_filter_increment_counter(envoy, counter, NULL, 0, n);
}

const host_functions host_http = {
    .headers_size = envoy_dynamic_module_callback_http_get_headers_size,
    .headers = envoy_dynamic_module_callback_http_get_headers,
    .attribute_text = envoy_dynamic_module_callback_http_filter_get_attribute_string,
    .attribute_number = envoy_dynamic_module_callback_http_filter_get_attribute_int,
    .cluster = envoy_dynamic_module_callback_http_get_cluster_name,
    .worker = envoy_dynamic_module_callback_http_filter_get_worker_index,
    .state_exists = state_exists,
    .state_set = state_set,
    .metadata_set = metadata_set,
    .count = count,
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
    envoy_dynamic_module_callback_log(level, buffer((slice){line, kept}));
  }
}
