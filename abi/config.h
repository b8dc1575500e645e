/* SPDX-License-Identifier: Apache-2.0
 *
 * config.h: filter configs and route configs, from load to the end.
 */
#ifndef PYFILTER_CONFIG_H
#define PYFILTER_CONFIG_H

#include "services.h"

/* NULL: refused, and Envoy keeps the config that it had. */
pyfilter_config *config_new(void *envoy, envoy_dynamic_module_type_envoy_buffer name,
                            envoy_dynamic_module_type_envoy_buffer config);
void config_destroy(pyfilter_config *config);
void *route_config_new(envoy_dynamic_module_type_envoy_buffer name,
                       envoy_dynamic_module_type_envoy_buffer config);
void route_config_destroy(void *route_config);

#endif
