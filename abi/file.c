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

#include "host.h"

enum {
  BATCH = 64,          /* pieces in one write */
  TURN = 1 << 20,      /* bytes before other files get theirs */
  SHORTEST_PAUSE = 10, /* ms */
  LONGEST_PAUSE = 1000,
  STALLED_MS = 1000, /* no room for so long is trouble */
};

file *file_new(const char *path, int event) {
  file *f = calloc(1, sizeof *f);
  if (f == NULL) {
    abort();
  }
  f->path = (char *)slice_copy(path, strlen(path)).data;
  f->standard = strcmp(path, "/dev/stdout") == 0 ? 1 : strcmp(path, "/dev/stderr") == 0 ? 2 : 0;
  f->fd = -1;
  f->out.bell.event = event;
  return f;
}

void file_free(file *f) {
  file_close(f);
  free(f->path);
  free(f);
}

bool file_has_bytes(file *f) {
  for (sink *s = atomic_load(&f->sinks); s != NULL; s = s->next) {
    if (sink_has_bytes(s)) {
      return true;
    }
  }
  return false;
}

bool file_is_blocked(const file *f) { return f->full || f->retry_at > now_ms(); }

/* Trouble is counted and logged when it begins, not each time that a try fails. error 0: `what`
 * says it all. */
static void trouble(file *f, const char *what, int error) {
  char reason[128];
  if (!f->troubled) {
    f->troubled = true;
    atomic_fetch_add_explicit(&f->out.errors, 1, memory_order_relaxed);
    host_log(envoy_dynamic_module_type_log_level_Warn,
             "envoy_pyfilter: %s: %s%s%s; entries wait, and are dropped when their ring is full",
             f->path, what, error ? ": " : "",
             error ? strerror_r(error, reason, sizeof reason) : "");
  }
}

/* All that waited is delivered. */
static void trouble_is_over(file *f) {
  f->pause = 0;
  f->retry_at = 0;
  if (f->troubled) {
    f->troubled = false;
    host_log(envoy_dynamic_module_type_log_level_Info, "envoy_pyfilter: %s: delivered again",
             f->path);
  }
}

/* The next try is later each time, up to a second. */
static void back_off(file *f) {
  f->pause = f->pause == 0 ? SHORTEST_PAUSE : f->pause * 2;
  f->pause = f->pause > LONGEST_PAUSE ? LONGEST_PAUSE : f->pause;
  f->retry_at = now_ms() + f->pause;
}

/* Opens, or says why not and when to try again. */
static bool open_or_say(file *f) {
  if (file_open(f)) {
    return true;
  }
  if (errno == ENXIO) {
    trouble(f, "nobody reads it", 0);
  } else {
    trouble(f, "cannot be opened", errno);
  }
  back_off(f);
  return false;
}

void file_prepare(file *f) {
  if (f->fd < 0 && !f->troubled) {
    open_or_say(f);
    f->retry_at = 0;
  }
}

/* Gives the rest of a begun line up: what its start was written to is gone. */
static void abandon_line(file *f) {
  if (f->torn != NULL) {
    ring_skip_line(f->torn);
    f->torn = NULL;
    atomic_fetch_add_explicit(&f->out.dropped, 1, memory_order_relaxed);
  }
}

/* Adds what waits in one ring. */
static int add_ring(ring *r, struct iovec *pieces, ring **owners, int count) {
  owners[count] = owners[count + 1] = r;
  return count + ring_peek(r, pieces + count);
}

/* Collects what waits, a begun line first. The rings take turns in being next. */
static int gather(file *f, struct iovec *pieces, ring **owners) {
  int count = f->torn != NULL ? add_ring(f->torn, pieces, owners, 0) : 0;
  f->turn++;
  for (sink *s = atomic_load(&f->sinks); s != NULL; s = s->next) {
    unsigned end = atomic_load(&s->rings_end);
    for (unsigned i = 0; i < end && count + 2 <= BATCH; i++) {
      ring *r = sink_ring(s, (f->turn + i) % end);
      if (r != NULL && r != f->torn) {
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
    f->torn = last == '\n' ? NULL : owners[i];
    ring_take(owners[i], part);
    written -= part;
  }
}

/* No room: wait until poll says that there is; by the clock when poll said so and was wrong. */
static void no_room(file *f) {
  f->full = !f->told_room;
  if (f->told_room) {
    f->told_room = false;
    back_off(f);
  }
  if (f->full_since == 0) {
    f->full_since = now_ms();
  }
}

void file_has_room(file *f) {
  f->full = false;
  f->told_room = true;
}

static void failed(file *f, int error) {
  if (error == EAGAIN || error == EWOULDBLOCK) {
    no_room(f);
    return;
  }
  trouble(f, "cannot be written", error);
  back_off(f);
  bool gone = error == EPIPE || error == EBADF || error == ENXIO || error == ECONNRESET;
  if (gone || file_moved(f)) {
    abandon_line(f);
    file_close(f);
  }
}

/* Makes sure that the right file is open. A begun line is finished in the file where it began. */
static bool ready(file *f) {
  if (f->fd >= 0 && f->torn == NULL && file_moved(f)) {
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
  f->told_room = false;
  f->full_since = f->pause = 0;
  return (size_t)written;
}

file_progress file_flush(file *f) {
  uint64_t now = now_ms();
  size_t total = 0;
  size_t written;
  if (f->full_since != 0 && now - f->full_since >= STALLED_MS) {
    trouble(f, "its reader does not keep up", 0);
  }
  if (f->full || f->retry_at > now || !file_has_bytes(f) || !ready(f)) {
    return FILE_IDLE;
  }
  f->retry_at = 0;
  do {
    written = flush_once(f);
    total += written;
  } while (written > 0 && total < TURN);
  if (total > 0 && !file_has_bytes(f)) {
    trouble_is_over(f);
  }
  return total >= TURN ? FILE_MORE : total > 0 ? FILE_WROTE : FILE_IDLE;
}

int64_t file_patience(const file *f, uint64_t now) {
  if (f->retry_at > now) {
    return (int64_t)(f->retry_at - now);
  }
  if (f->full && !f->troubled) {
    uint64_t stalled = f->full_since + STALLED_MS;
    return stalled > now ? (int64_t)(stalled - now) : 0;
  }
  return -1;
}
