/* SPDX-License-Identifier: Apache-2.0
 *
 * process.c: the callbacks that need no stream, and those that only a config has.
 */
#include "stub.h"

#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* In place of the C library's: the module's calls find the host's symbols first. */
HOST_CALLBACK int clock_gettime(clockid_t clock, struct timespec *now) {
  int result = (int)syscall(SYS_clock_gettime, clock, now);
  if (clock == CLOCK_REALTIME && result == 0) {
    now->tv_sec -= settings.clock_back;
  }
  int stopped = settings.monotonic_us;
  if (clock == CLOCK_MONOTONIC && stopped != 0 && here >= 0) { /* for workers alone: others wait by it */
    *now = (struct timespec){stopped / 1000000, stopped % 1000000 * 1000L};
  }
  return result;
}

HOST_CALLBACK bool CALLBACK(log_enabled)(TYPE(log_level) level) {
  return (int)level >= settings.log_level && level != TYPE(log_level_Off);
}

HOST_CALLBACK void CALLBACK(log)(TYPE(log_level) level, TYPE(module_buffer) message) {
  if (CALLBACK(log_enabled)(level)) {
    json j = event("log", "");
    json_number(&j, "level", level);
    json_bytes(&j, "text", message.ptr, message.length);
    json_send(&j);
  }
}

/* Config schedulers would post to the main thread; nothing that we test commits to one. */

HOST_CALLBACK void *CALLBACK(http_filter_config_scheduler_new)(void *envoy) {
  if (!config_alive(envoy)) {
    breach("a scheduler for a dead config", "config_scheduler_new");
  }
  atomic_fetch_add(&live_schedulers, 1);
  return must(malloc(1));
}

HOST_CALLBACK void CALLBACK(http_filter_config_scheduler_commit)(void *scheduler, uint64_t id) {
  (void)scheduler;
  (void)id;
}

HOST_CALLBACK void CALLBACK(http_filter_config_scheduler_delete)(void *scheduler) {
  free(scheduler);
  atomic_fetch_sub(&live_schedulers, 1);
}
