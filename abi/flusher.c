/* SPDX-License-Identifier: Apache-2.0
 *
 * flusher.c: see flusher.h.
 */
#include "flusher.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "host.h"
#include "outlet.h"

enum { MOST_POLLED = 64 };

static bool running; /* under sinks_lock */
static int event = -1;

bool flusher_runs(void) { return running; }

/* Arms the bells of the outlets that new entries matter to. Returns whether some are there already:
 * a worker that did not see the armed bell has put its entry before we look. */
static bool arm(void) {
  bool waiting = false;
  for (outlet *o = atomic_load(&outlets); o != NULL; o = o->next) {
    if (!o->kind->is_blocked(o)) {
      bell_arm(&o->bell);
      waiting = waiting || outlet_has_bytes(o);
    }
  }
  return waiting;
}

static void disarm(void) {
  for (outlet *o = atomic_load(&outlets); o != NULL; o = o->next) {
    bell_disarm(&o->bell);
  }
}

/* Sleeps up to timeout ms (-1: for ever), until the bell rings or an outlet has what it awaits. One
 * beyond those that are polled is tried at once, and from then on by the clock. */
static void wait_for_something(int timeout) {
  struct pollfd polled[MOST_POLLED] = {{event, POLLIN, 0}};
  outlet *owners[MOST_POLLED];
  nfds_t count = 1;
  for (outlet *o = atomic_load(&outlets); o != NULL; o = o->next) {
    short events = 0;
    int fd = o->kind->awaits(o, &events);
    if (fd >= 0 && count < MOST_POLLED) {
      owners[count] = o;
      polled[count++] = (struct pollfd){fd, events, 0};
    } else if (fd >= 0 && events != 0) {
      o->kind->woken(o, events);
      timeout = 0;
    }
  }
  /* Without an event to wake us (no descriptor was left), look again now and then. */
  if (poll(polled, count, event < 0 ? NAP_MS : timeout) <= 0) {
    return;
  }
  for (nfds_t i = 1; i < count; i++) {
    if (polled[i].revents != 0) {
      owners[i]->kind->woken(owners[i], polled[i].revents);
    }
  }
  event_clear(event);
}

/* The time until something is due although nothing happens, -1 for ever. */
static int time_until_due(uint64_t next_deadline) {
  uint64_t now = now_ms();
  int64_t least = next_deadline == UINT64_MAX ? -1
                  : next_deadline > now       ? (int64_t)(next_deadline - now)
                                              : 0;
  for (outlet *o = atomic_load(&outlets); o != NULL; o = o->next) {
    int64_t patience = o->kind->patience(o, now);
    if (patience >= 0 && (least < 0 || patience < least)) {
      least = patience;
    }
  }
  return (int)least;
}

/* After work: a nap, awake. Without: sleep. With more work waiting: no rest. */
static void rest(outlet_progress most, uint64_t next_deadline) {
  if (most != OUTLET_IDLE) {
    wait_for_something(most == OUTLET_MORE ? 0 : NAP_MS);
    return;
  }
  int timeout = time_until_due(next_deadline);
  if (!arm()) {
    wait_for_something(timeout);
  }
  disarm();
}

/* Ends what is over; false when nothing is left, and the thread with it. */
static bool tidy_up(uint64_t *next_deadline) {
  pthread_mutex_lock(&sinks_lock);
  *next_deadline = outlets_end(now_ms());
  bool left = atomic_load(&outlets) != NULL;
  if (!left) {
    close(event);
    event = -1;
    running = false;
    pthread_cond_broadcast(&sinks_changed);
  }
  pthread_mutex_unlock(&sinks_lock);
  return left;
}

static void *flush(void *nothing) {
  uint64_t next_deadline;
  while (tidy_up(&next_deadline)) {
    outlet_progress most = OUTLET_IDLE;
    for (outlet *o = atomic_load(&outlets); o != NULL; o = o->next) {
      o->kind->prepare(o);
      outlet_progress progress = o->kind->flush(o);
      most = progress > most ? progress : most;
    }
    rest(most, next_deadline);
  }
  return nothing;
}

/* Starts the thread. It takes no signal: Envoy's threads handle them, and a vanished reader must
 * not end the process by SIGPIPE. What the processor itself raises stays with who caused it. */
static void start(void) {
  static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
  sigset_t blocked;
  sigset_t before;
  pthread_t thread;
  sigfillset(&blocked);
  for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
    sigdelset(&blocked, own[i]);
  }
  pthread_sigmask(SIG_SETMASK, &blocked, &before);
  running = pthread_create(&thread, NULL, flush, NULL) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (running) {
    pthread_setname_np(thread, "pyfilter_flush");
    pthread_detach(thread);
  } else {
    host_log(envoy_dynamic_module_type_log_level_Critical,
             "envoy_pyfilter: no thread for the sinks could be started; entries are dropped");
  }
}

/* What wakes the thread, -1 when no descriptor was left. */
static int wake_event(void) {
  if (event < 0 && !running) { /* while it runs it keeps what it has, be it none */
    event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  }
  return event;
}

sink *flusher_sink(const outlet_kind *kind, const char *path, size_t ring_bytes) {
  outlet *o = outlet_find(kind, path, wake_event());
  sink *s = outlet_sink(o, ring_bytes);
  if (running) {
    bell_ring(&o->bell, true);
  } else {
    start();
  }
  return s;
}
