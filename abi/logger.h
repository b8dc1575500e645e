/* SPDX-License-Identifier: Apache-2.0
 *
 * logger.h: the record lane's second host, an access logger: its configs, its loggers (one for each
 * thread) and what it does with each log that Envoy asks for.
 */
#ifndef PYFILTER_LOGGER_H
#define PYFILTER_LOGGER_H

#include "envoy_abi_logger.h"
#include "services.h"

/* NULL: refused, and Envoy keeps the config that it had. */
pyfilter_config *logger_config_new(void *envoy, envoy_dynamic_module_type_envoy_buffer name,
                                   envoy_dynamic_module_type_envoy_buffer given);
void logger_config_destroy(pyfilter_config *c);

/* What Envoy holds for each of its threads is the config: a logger keeps nothing of its own. */
void logger_log(const pyfilter_config *c, void *envoy,
                envoy_dynamic_module_type_access_log_type type);
/* The thread will log no more for now: what its sinks count is told. */
void logger_flush(const pyfilter_config *c);

#endif
