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
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host.h"

enum {
  BATCH = 64,          /* pieces in one write */
  ROUNDS = 16,         /* writes before other files get their turn */
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

static void file_close(file *f) {
  if (f->fd >= 0) {
    close(f->fd);
    f->fd = -1;
  }
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

/* Envoy's own stdout or stderr. Its flags belong to everyone who has it, so a stream is opened anew
 * to be non-blocking; a plain file shares its position, so that nobody writes over the other. */
static int open_standard(file *f) {
  struct stat status;
  if (fstat(f->standard, &status) < 0) {
    return -1;
  }
  f->way = S_ISSOCK(status.st_mode) ? WAY_SEND : WAY_WRITE;
  if (S_ISSOCK(status.st_mode) || S_ISREG(status.st_mode)) {
    return fcntl(f->standard, F_DUPFD_CLOEXEC, 0);
  }
  int fd = open(f->standard == 1 ? "/proc/self/fd/1" : "/proc/self/fd/2",
                O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (fd >= 0 || errno == ENXIO) { /* ENXIO: a pipe that nobody reads */
    return fd;
  }
  f->way = WAY_SHARED;
  return fcntl(f->standard, F_DUPFD_CLOEXEC, 0);
}

static int open_path(file *f) {
  f->way = WAY_WRITE;
  return open(f->path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0644);
}

/* Opens, or says why not and when to try again. */
static bool file_open(file *f) {
  struct stat status;
  f->fd = f->standard ? open_standard(f) : open_path(f);
  if (f->fd >= 0 && fstat(f->fd, &status) == 0) {
    f->device = status.st_dev;
    f->inode = status.st_ino;
    return true;
  }
  int error = errno;
  file_close(f);
  if (error == ENXIO) {
    trouble(f, "nobody reads it", 0);
  } else {
    trouble(f, "cannot be opened", error);
  }
  back_off(f);
  return false;
}

void file_prepare(file *f) {
  if (f->fd < 0 && !f->troubled) {
    file_open(f);
    f->retry_at = 0;
  }
}

/* Whether the path names another file now, or none: log rotation moved ours away. */
static bool file_moved(const file *f) {
  struct stat status;
  if (f->standard) {
    return false;
  }
  if (stat(f->path, &status) < 0) {
    return errno == ENOENT;
  }
  return status.st_dev != f->device || status.st_ino != f->inode;
}

/* Gives the rest of a begun line up: what its start was written to is gone. */
static void abandon_line(file *f) {
  if (f->torn != NULL) {
    ring_skip_line(f->torn);
    f->torn = NULL;
    atomic_fetch_add_explicit(&f->out.dropped, 1, memory_order_relaxed);
  }
}

/* Collects what waits, a begun line first. */
static int gather(file *f, struct iovec *pieces, ring **owners) {
  int count = 0;
  if (f->torn != NULL) {
    count = ring_peek(f->torn, pieces);
    owners[0] = owners[1] = f->torn;
  }
  for (sink *s = atomic_load(&f->sinks); s != NULL; s = s->next) {
    unsigned end = atomic_load(&s->rings_end);
    for (unsigned slot = 0; slot < end && count + 2 <= BATCH; slot++) {
      ring *r = sink_ring(s, slot);
      if (r != NULL && r != f->torn) {
        int more = ring_peek(r, pieces + count);
        owners[count] = owners[count + 1] = r;
        count += more;
      }
    }
  }
  return count;
}

/* Writes some of it. -1 and errno: nothing. */
static ssize_t put(file *f, struct iovec *pieces, int count) {
  struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (size_t)count};
  struct pollfd room = {f->fd, POLLOUT, 0};
  switch (f->way) {
  case WAY_WRITE:
    return writev(f->fd, pieces, count);
  case WAY_SEND:
    return sendmsg(f->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  case WAY_SHARED:
    break;
  }
  if (poll(&room, 1, 0) == 0) {
    errno = EAGAIN;
    return -1;
  }
  size_t length = pieces[0].iov_len;
  return write(f->fd, pieces[0].iov_base, length < PIPE_BUF ? length : PIPE_BUF);
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
  return f->fd >= 0 || file_open(f);
}

/* One write. Returns whether to go on. */
static bool flush_once(file *f, bool *progress) {
  struct iovec pieces[BATCH];
  ring *owners[BATCH];
  int count = gather(f, pieces, owners);
  if (count == 0) {
    return false;
  }
  ssize_t written = put(f, pieces, count);
  if (written > 0) {
    took(f, pieces, owners, (size_t)written);
    f->told_room = false;
    f->full_since = f->pause = 0;
    *progress = true;
    return true;
  }
  if (written == 0 || errno != EINTR) {
    failed(f, written == 0 ? ENOSPC : errno);
    return false;
  }
  return true;
}

bool file_flush(file *f) {
  bool progress = false;
  uint64_t now = now_ms();
  if (f->full_since != 0 && now - f->full_since >= STALLED_MS) {
    trouble(f, "its reader does not keep up", 0);
  }
  if (f->full || f->retry_at > now || !file_has_bytes(f) || !ready(f)) {
    return false;
  }
  f->retry_at = 0;
  for (int round = 0; round < ROUNDS && flush_once(f, &progress); round++) {
  }
  if (progress && !file_has_bytes(f)) {
    trouble_is_over(f);
  }
  return progress;
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
