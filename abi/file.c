/* SPDX-License-Identifier: Apache-2.0
 *
 * file.c: writes out of the rings, line by line exactly once, whatever the file does.
 *
 * A failed write leaves the entries in their rings, and is tried again. A line that was written in
 * part is continued before anything else; only when what it was written to is gone for good, its
 * rest is given up and counted.
 */
#include "file.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "flusher.h"
#include "host.h"

enum {
  BATCH = 64,     /* pieces in one write */
  TURN = 1 << 20, /* bytes before other files get theirs */
};

static outlet *make(const char *path) {
  file *f = calloc(1, sizeof *f);
  if (f == NULL) {
    abort();
  }
  f->standard = strcmp(path, "/dev/stdout") == 0 ? 1 : strcmp(path, "/dev/stderr") == 0 ? 2 : 0;
  f->fd = -1;
  return &f->out;
}

static file *of(const outlet *o) { return (file *)o; }

static void end(outlet *o) {
  file_close(of(o));
  free(of(o));
}

static bool is_blocked(const outlet *o) { return !retry_is_ready(&of(o)->again, now_ms()); }

/* Trouble is counted and logged when it begins, not each time that a try fails. error 0: `what`
 * says it all. */
static void trouble(file *f, const char *what, int error) {
  char reason[128];
  if (!f->troubled) {
    f->troubled = true;
    outlet_count(&f->out, COUNT_SINK_ERRORS, 1);
    host_log(envoy_dynamic_module_type_log_level_Warn,
             "envoy_pyfilter: %s: %s%s%s; entries wait, and are dropped when their ring is full",
             f->out.path, what, error ? ": " : "",
             error ? strerror_r(error, reason, sizeof reason) : "");
  }
}

/* All that waited is delivered. */
static void trouble_is_over(file *f) {
  f->again.pause = 0;
  f->again.at = 0;
  if (f->troubled) {
    f->troubled = false;
    host_log(envoy_dynamic_module_type_log_level_Info, "envoy_pyfilter: %s: delivered again",
             f->out.path);
  }
}

static bool is_pipe(const file *f) {
  struct stat status;
  int failed = f->standard ? fstat(f->standard, &status) : stat(f->out.path, &status);
  return failed == 0 && S_ISFIFO(status.st_mode);
}

/* Opens, or says why not and when to try again. */
static bool open_or_say(file *f) {
  if (file_open(f)) {
    return true;
  }
  int error = errno;
  if (error == ENXIO && is_pipe(f)) {
    trouble(f, "nobody reads it", 0);
  } else {
    trouble(f, "cannot be opened", error);
  }
  retry_back_off(&f->again);
  return false;
}

static void prepare(outlet *o) {
  file *f = of(o);
  if (f->fd < 0 && !f->troubled) {
    open_or_say(f);
    f->again.at = 0;
  }
}

/* Gives the rest of a begun line up: what its start was written to is gone. */
static void abandon_line(file *f) {
  if (f->out.torn != NULL) {
    ring_skip_line(f->out.torn);
    f->out.torn = NULL;
    outlet_count(&f->out, COUNT_DROPPED_SINK, 1);
  }
}

/* Adds what waits in one ring. */
static int add_ring(ring *r, struct iovec *pieces, ring **owners, int count) {
  owners[count] = owners[count + 1] = r;
  return count + ring_peek(r, pieces + count);
}

/* Collects what waits, a begun line first. The rings take turns in being next. */
static int gather(file *f, struct iovec *pieces, ring **owners) {
  int count = f->out.torn != NULL ? add_ring(f->out.torn, pieces, owners, 0) : 0;
  f->turn++;
  for (sink *s = atomic_load(&f->out.sinks); s != NULL; s = s->next) {
    unsigned end = atomic_load(&s->rings_end);
    for (unsigned i = 0; i < end && count + 2 <= BATCH; i++) {
      ring *r = sink_ring(s, (f->turn + i) % end);
      if (r != NULL && r != f->out.torn) {
        count = add_ring(r, pieces, owners, count);
      }
    }
  }
  return count;
}

/* Cuts the pieces to whole lines of at most PIPE_BUF bytes: a pipe takes these in one piece or not
 * at all, so that what others write to it (Envoy itself, to stdout) cannot get into our lines. A
 * line that is longer cannot be saved. Returns how many pieces are left. */
static int whole_lines(struct iovec *pieces, int count) {
  size_t room = PIPE_BUF;
  int used = 0;
  for (; used < count && room > 0; used++) {
    pieces[used].iov_len = pieces[used].iov_len < room ? pieces[used].iov_len : room;
    room -= pieces[used].iov_len;
  }
  for (int i = used - 1; i >= 0; i--) {
    const char *start = pieces[i].iov_base;
    const char *end = memrchr(start, '\n', pieces[i].iov_len);
    if (end != NULL) {
      pieces[i].iov_len = (size_t)(end - start) + 1;
      return i + 1;
    }
  }
  return used;
}

/* Writes some of it. -1 and errno: nothing. */
static ssize_t put(file *f, struct iovec *pieces, int count) {
  struct pollfd room = {f->fd, POLLOUT, 0};
  if (f->stream) {
    count = whole_lines(pieces, count);
  }
  if (f->way == WAY_SEND) {
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (size_t)count};
    return sendmsg(f->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  if (f->way == WAY_SHARED && poll(&room, 1, 0) == 0) {
    errno = EAGAIN;
    return -1;
  }
  return writev(f->fd, pieces, count);
}

/* Takes what was written out of the rings, and remembers where it stopped. */
static void took(file *f, const struct iovec *pieces, ring *const *owners, size_t written) {
  for (int i = 0; written > 0; i++) {
    size_t part = written < pieces[i].iov_len ? written : pieces[i].iov_len;
    char last = ((const char *)pieces[i].iov_base)[part - 1];
    f->out.torn = last == '\n' ? NULL : owners[i];
    ring_take(owners[i], part);
    written -= part;
  }
}

static int awaits(const outlet *o, short *events) {
  *events = POLLOUT;
  return of(o)->again.full ? of(o)->fd : -1;
}

static void woken(outlet *o, short events) {
  (void)events;
  retry_told_room(&of(o)->again);
}

static void failed(file *f, int error) {
  if (error == EAGAIN || error == EWOULDBLOCK) {
    retry_no_room(&f->again);
    return;
  }
  trouble(f, "cannot be written", error);
  retry_back_off(&f->again);
  bool gone = error == EPIPE || error == EBADF || error == ENXIO || error == ECONNRESET;
  if (gone || file_moved(f)) {
    abandon_line(f);
    file_close(f);
  }
}

/* Makes sure that the right file is open. A begun line is finished in the file where it began. */
static bool ready(file *f) {
  if (f->fd >= 0 && f->out.torn == NULL && file_moved(f)) {
    file_close(f);
  }
  return f->fd >= 0 || open_or_say(f);
}

/* One write. Returns the bytes that are gone, 0 when it is no use to go on. */
static size_t flush_once(file *f) {
  struct iovec pieces[BATCH];
  ring *owners[BATCH];
  int count = gather(f, pieces, owners);
  if (count == 0) {
    return 0;
  }
  ssize_t written;
  do {
    written = put(f, pieces, count);
  } while (written < 0 && errno == EINTR);
  if (written <= 0) {
    failed(f, written == 0 ? ENOSPC : errno);
    return 0;
  }
  took(f, pieces, owners, (size_t)written);
  retry_worked(&f->again);
  return (size_t)written;
}

static outlet_progress flush(outlet *o) {
  file *f = of(o);
  uint64_t now = now_ms();
  size_t total = 0;
  size_t written;
  if (retry_is_stalled(&f->again, now)) {
    trouble(f, "its reader does not keep up", 0);
  }
  if (!retry_is_ready(&f->again, now) || !outlet_has_bytes(o) || !ready(f)) {
    return OUTLET_IDLE;
  }
  f->again.at = 0;
  do {
    written = flush_once(f);
    total += written;
  } while (written > 0 && total < TURN);
  if (total > 0 && !outlet_has_bytes(o)) {
    trouble_is_over(f);
  }
  return total >= TURN ? OUTLET_MORE : total > 0 ? OUTLET_WORKED : OUTLET_IDLE;
}

static int64_t patience(const outlet *o, uint64_t now) {
  return retry_patience(&of(o)->again, now, of(o)->troubled);
}

/* Entries go from the rings to the file. */
static size_t waits(const outlet *o) {
  (void)o;
  return 0;
}

static const outlet_kind FILES = {
    .make = make,
    .free = end,
    .prepare = prepare,
    .waits = waits,
    .flush = flush,
    .patience = patience,
    .is_blocked = is_blocked,
    .awaits = awaits,
    .woken = woken,
};

sink *pyfilter_sink_file(const char *path, size_t ring_bytes) {
  if (envoy_dynamic_module_callback_is_validation_mode()) {
    return sink_new(NULL, ring_bytes, false);
  }
  char *known = outlet_path(path);
  pthread_mutex_lock(&sinks_lock);
  sink *s = flusher_sink(&FILES, known, ring_bytes);
  pthread_mutex_unlock(&sinks_lock);
  free(known);
  return s;
}
