/* SPDX-License-Identifier: Apache-2.0
 *
 * hooks_logger.c: what Envoy calls of an access logger, one statement for each; hooks.c has the rest.
 */
#include "envoy_abi_logger.h"
#include "logger.h"

#define HOOK(name) envoy_dynamic_module_on_access_logger_##name
#define TYPE(name) envoy_dynamic_module_type_##name

const void *HOOK(config_new)(void *envoy, TYPE(envoy_buffer) name, TYPE(envoy_buffer) config) {
  return logger_config_new(envoy, name, config);
}

/* On the main thread and on each worker; destroyed there. */
const void *HOOK(new)(const void *config, void *envoy) {
  (void)envoy;
  return config;
}

void HOOK(log)(void *envoy, const void *logger, TYPE(access_log_type) type) {
  logger_log(logger, envoy, type);
}

void HOOK(flush)(const void *logger) { logger_flush(logger); }

void HOOK(destroy)(const void *logger) { (void)logger; }

void HOOK(config_destroy)(const void *config) { logger_config_destroy((pyfilter_config *)config); }
