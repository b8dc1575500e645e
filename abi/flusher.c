/* SPDX-License-Identifier: Apache-2.0
 *
 * flusher.c: see flusher.h. The list of files and each file's list of sinks grow in front, under
 * sinks_lock; only the flusher takes something out, so it may walk them without the lock.
 */
#include "flusher.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "file.h"
#include "host.h"

enum { MOST_POLLED = 64 };

static _Atomic(file *) files;
static bool running; /* under sinks_lock */
static int event = -1;

bool flusher_runs(void) { return running; }

static bool owns(sink *s, const ring *r) {
  unsigned end = atomic_load(&s->rings_end);
  for (unsigned slot = 0; slot < end; slot++) {
    if (sink_ring(s, slot) == r) {
      return true;
    }
  }
  return false;
}

/* Logs what is lost with a sink that is given up, and frees it. A line that another sink of the
 * file has begun stays begun. */
static void end_sink(file *f, sink *s) {
  size_t lost = sink_count_lines(s);
  if (lost > 0) {
    atomic_fetch_add_explicit(&f->out.dropped, lost, memory_order_relaxed);
    host_log(envoy_dynamic_module_type_log_level_Error,
             "envoy_pyfilter: %s: %zu entries were not delivered", f->path, lost);
  }
  if (f->torn != NULL && owns(s, f->torn)) {
    f->torn = NULL;
  }
  sink_free(s);
}

/* Whether a sink can go: nobody puts any more, and all is written or was tried long enough. While
 * a line of the file is begun, nothing of it goes but the last sink. */
static bool is_over(const file *f, sink *s, uint64_t now) {
  bool alone = atomic_load(&f->sinks) == s && s->next == NULL;
  return s->uses == 0 && (!sink_has_bytes(s) || (now >= s->deadline && (f->torn == NULL || alone)));
}

/* Takes the sinks out that are over. Returns when the next one has to go, UINT64_MAX for never. */
static uint64_t end_sinks(file *f, uint64_t now) {
  uint64_t next_deadline = UINT64_MAX;
  sink *kept = NULL;
  for (sink *s = atomic_load(&f->sinks), *next; s != NULL; s = next) {
    next = s->next;
    if (!is_over(f, s, now)) {
      kept = s;
      /* Past its deadline it only waits for the end of a begun line: no clock tells that. */
      uint64_t deadline = s->uses == 0 && s->deadline > now ? s->deadline : UINT64_MAX;
      next_deadline = deadline < next_deadline ? deadline : next_deadline;
      continue;
    }
    if (kept == NULL) {
      atomic_store(&f->sinks, next);
    } else {
      kept->next = next;
    }
    end_sink(f, s);
  }
  return next_deadline;
}

/* What was dropped after the last stream that could have counted it: no counter will show it. */
static void tell_uncounted(file *f) {
  uint64_t dropped = atomic_exchange(&f->out.dropped, 0);
  if (dropped > 0) {
    host_log(envoy_dynamic_module_type_log_level_Error,
             "envoy_pyfilter: %s: %llu entries were dropped after the last stream, so dropped_sink "
             "does not count them",
             f->path, (unsigned long long)dropped);
  }
}

/* The same for files: one goes with its last sink. */
static uint64_t end_files(uint64_t now) {
  uint64_t next_deadline = UINT64_MAX;
  file *kept = NULL;
  for (file *f = atomic_load(&files), *next; f != NULL; f = next) {
    next = f->next;
    uint64_t deadline = end_sinks(f, now);
    if (atomic_load(&f->sinks) != NULL) {
      kept = f;
      next_deadline = deadline < next_deadline ? deadline : next_deadline;
      continue;
    }
    if (kept == NULL) {
      atomic_store(&files, next);
    } else {
      kept->next = next;
    }
    tell_uncounted(f);
    file_free(f);
  }
  return next_deadline;
}

/* Arms the bells of the files that new entries matter to. Returns whether some are there already:
 * a worker that did not see the armed bell has put its entry before we look. */
static bool arm(void) {
  bool waiting = false;
  for (file *f = atomic_load(&files); f != NULL; f = f->next) {
    if (!file_is_blocked(f)) {
      bell_arm(&f->out.bell);
      waiting = waiting || file_has_bytes(f);
    }
  }
  return waiting;
}

static void disarm(void) {
  for (file *f = atomic_load(&files); f != NULL; f = f->next) {
    bell_disarm(&f->out.bell);
  }
}

/* Sleeps up to timeout ms (-1: for ever), until the bell rings or a full file has room. A full file
 * beyond those that are polled is tried at once, and from then on by the clock (see no_room). */
static void wait_for_something(int timeout) {
  struct pollfd polled[MOST_POLLED] = {{event, POLLIN, 0}};
  file *owners[MOST_POLLED];
  nfds_t count = 1;
  for (file *f = atomic_load(&files); f != NULL; f = f->next) {
    if (f->full && count < MOST_POLLED) {
      owners[count] = f;
      polled[count++] = (struct pollfd){f->fd, POLLOUT, 0};
    } else if (f->full) {
      file_has_room(f);
      timeout = 0;
    }
  }
  /* Without an event to wake us (no descriptor was left), look again now and then. */
  if (poll(polled, count, event < 0 ? NAP_MS : timeout) <= 0) {
    return;
  }
  for (nfds_t i = 1; i < count; i++) {
    if (polled[i].revents != 0) {
      file_has_room(owners[i]);
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
  for (file *f = atomic_load(&files); f != NULL; f = f->next) {
    int64_t patience = file_patience(f, now);
    if (patience >= 0 && (least < 0 || patience < least)) {
      least = patience;
    }
  }
  return (int)least;
}

/* After work: a nap, awake. Without: sleep. With more work waiting: no rest. */
static void rest(file_progress most, uint64_t next_deadline) {
  if (most != FILE_IDLE) {
    wait_for_something(most == FILE_MORE ? 0 : NAP_MS);
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
  *next_deadline = end_files(now_ms());
  bool left = atomic_load(&files) != NULL;
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
    file_progress most = FILE_IDLE;
    for (file *f = atomic_load(&files); f != NULL; f = f->next) {
      file_prepare(f);
      file_progress progress = file_flush(f);
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

/* One spelling for one file: its folder without links, dots and doubled slashes. The last part
 * stays as it is, because it may be a link that log rotation turns to another file. The caller
 * frees. */
static char *spelling(const char *path) {
  const char *slash = strrchr(path, '/');
  size_t folder_length = slash == NULL ? 0 : (size_t)(slash - path) + 1;
  slice given = folder_length == 0 ? slice_copy("./", 2) : slice_copy(path, folder_length);
  char *folder = realpath(given.data, NULL);
  text whole = {NULL, 0, 0};
  free((char *)given.data);
  if (folder == NULL) {
    return (char *)slice_copy(path, strlen(path)).data;
  }
  text_put(&whole, (slice){folder, strlen(folder)});
  if (folder[1] != '\0') { /* not the root */
    text_byte(&whole, '/');
  }
  text_put(&whole, (slice){path + folder_length, strlen(path) - folder_length + 1});
  free(folder);
  return whole.data;
}

/* The file of that path, made when there is none. */
static file *find_file(const char *path) {
  file *f = atomic_load(&files);
  while (f != NULL && strcmp(f->path, path) != 0) {
    f = f->next;
  }
  if (f == NULL) {
    f = file_new(path, event);
    f->next = atomic_load(&files);
    atomic_store(&files, f);
  }
  return f;
}

/* The file's sink with rings of that size, made when there is none. */
static sink *find_sink(file *f, size_t ring_bytes) {
  sink *s = atomic_load(&f->sinks);
  while (s != NULL && s->largest != ring_bytes) {
    s = s->next;
  }
  if (s != NULL) {
    s->uses++;
    return s;
  }
  s = sink_new(&f->out, ring_bytes);
  s->next = atomic_load(&f->sinks);
  atomic_store(&f->sinks, s);
  return s;
}

sink *pyfilter_sink_file(const char *path, size_t ring_bytes) {
  if (envoy_dynamic_module_callback_is_validation_mode()) {
    return sink_new(NULL, ring_bytes);
  }
  char *known = spelling(path);
  pthread_mutex_lock(&sinks_lock);
  if (event < 0 && !running) { /* while it runs it keeps what it has, be it none */
    event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  }
  file *f = find_file(known);
  free(known);
  sink *s = find_sink(f, ring_bytes);
  if (running) {
    bell_ring(&f->out.bell, true);
  } else {
    start();
  }
  pthread_mutex_unlock(&sinks_lock);
  return s;
}
