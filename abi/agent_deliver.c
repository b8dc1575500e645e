/* SPDX-License-Identifier: Apache-2.0
 *
 * agent_deliver.c: one connection, and what becomes of it and of the packets that it does not take.
 *
 * A packet that a send took is never sent again. One that no send took stays in the queue, whatever
 * becomes of the connection, until it is sent, or dropped by the queue's policy and counted.
 */
#include <errno.h>

#include "agent.h"
#include "host.h"

/* Trouble is counted when it begins and logged when it changes, not each time that a try fails.
 * EAGAIN says no more than that it did not go. */
void agent_trouble(agent *a, const char *what, int error) {
  char reason[128];
  if (a->trouble != error || a->said != what) {
    outlet_count(&a->out, COUNT_SINK_ERRORS, a->trouble == 0);
    a->trouble = error;
    a->said = what;
    host_log(envoy_dynamic_module_type_log_level_Warn,
             "envoy_pyfilter: %s: %s%s%s; entries wait in the queue, and are dropped when it is "
             "full",
             a->out.path, what, error == EAGAIN ? "" : ": ",
             error == EAGAIN ? "" : strerror_r(error, reason, sizeof reason));
  }
}

/* All that waited is delivered. */
static void trouble_is_over(agent *a) {
  if (a->trouble != 0 || a->overflow_told) {
    host_log(envoy_dynamic_module_type_log_level_Info, "envoy_pyfilter: %s: delivered again",
             a->out.path);
  }
  a->trouble = 0;
  a->said = NULL;
  a->overflow_told = false;
}

bool agent_try(agent *a) {
  if (agent_connect(a)) {
    outlet_count(&a->out, COUNT_CILIUM_RECONNECTS, a->was_connected);
    a->was_connected = true;
    a->took = a->again.full = a->again.told_room = false;
    a->again.full_since = 0;
    return true;
  }
  agent_trouble(a,
                errno == EPROTOTYPE ? "the socket there is of another type than SEQPACKET"
                                    : "nobody takes the connection",
                errno);
  retry_back_off(&a->again);
  return false;
}

/* A connection that took packets is made again at once: the agent was restarted. One that took none
 * is no better than no agent. */
void agent_lost(agent *a, int error) {
  agent_disconnect(a);
  a->again.full = false;
  if (!a->took) {
    agent_trouble(a, "the connection was closed before it took anything", error);
    retry_back_off(&a->again);
  }
}

static void failed(agent *a, int error) {
  switch (error) {
  case EINTR:
    break;
  case EAGAIN:
    retry_no_room(&a->again);
    break;
  case EMSGSIZE: /* no socket takes it, ever */
    queue_pop(&a->queue, 1);
    outlet_count(&a->out, COUNT_DROPPED_TOO_LARGE, 1);
    break;
  case ENOBUFS:
  case ENOMEM:
    agent_trouble(a, "a packet cannot be sent", error);
    retry_back_off(&a->again);
    break;
  default:
    agent_lost(a, error);
  }
}

static void sent(agent *a, int count) {
  queue_pop(&a->queue, (size_t)count);
  outlet_count(&a->out, COUNT_CILIUM_SENT, (uint64_t)count);
  a->took = true;
  retry_worked(&a->again);
}

/* Makes sure that there is a connection to the socket that the path names. */
static bool is_connected(agent *a) {
  if (a->fd >= 0 && agent_moved(a)) {
    agent_disconnect(a);
  }
  return a->fd >= 0 || agent_try(a);
}

bool agent_deliver(agent *a) {
  bool any = false;
  while (a->queue.entries > 0 && retry_is_ready(&a->again, now_ms()) && is_connected(a)) {
    int count = agent_send(a);
    if (count > 0) {
      sent(a, count);
      any = true;
    } else {
      failed(a, errno);
    }
  }
  if (any && a->queue.entries == 0) {
    trouble_is_over(a);
  }
  return any;
}
