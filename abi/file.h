/* SPDX-License-Identifier: Apache-2.0
 *
 * file.h: a file, FIFO or stream that entries are appended to. Only the flusher calls in here, but
 * for file_new.
 */
#ifndef PYFILTER_FILE_H
#define PYFILTER_FILE_H

#include <sys/types.h>

#include "sink.h"

/* How bytes get out without ever blocking for long, and without touching Envoy's own descriptor. */
typedef enum {
  WAY_WRITE, /* our own descriptor, O_NONBLOCK where that means something */
  WAY_SEND,  /* a socket: each send says that it does not wait */
  WAY_SHARED /* a pipe or terminal that we may not open again: ask first whether it has room */
} file_way;

typedef struct file {
  outlet out; /* first: the sinks' out points here */
  struct file *next;
  _Atomic(sink *) sinks; /* new ones in front, under sinks_lock */
  char *path;
  int standard; /* 1: /dev/stdout, 2: /dev/stderr, 0: a path */
  int fd;       /* -1: not open */
  file_way way;
  bool stream;  /* no regular file: others may write between two of our writes */
  dev_t device; /* what was opened, to see when the path means another file */
  ino_t inode;
  unsigned turn; /* which ring is first */
  ring *torn; /* its line is written in part: its rest goes first; NULL: at the start of a line */
  bool troubled;
  bool full;           /* the last write found no room: wait until file_has_room */
  uint64_t full_since; /* when it was first found so, 0: it had room */
  bool told_room;      /* there should be room since then */
  uint64_t retry_at;   /* 0: now */
  uint64_t pause;      /* before the next try, growing */
} file;

/* What a flush came to; MORE: there is more, it only was others' turn. */
typedef enum { FILE_IDLE, FILE_WROTE, FILE_MORE } file_progress;

file *file_new(const char *path, int event);
void file_free(file *f);
/* Opens, so that the file is there before the first entry and trouble is told early. */
void file_prepare(file *f);
/* Writes what waits. */
file_progress file_flush(file *f);
/* Poll says that a full file has room again. */
void file_has_room(file *f);
/* How long nothing can be done, in ms, if nothing happens: -1 for ever. */
int64_t file_patience(const file *f, uint64_t now);
bool file_has_bytes(file *f);
/* Whether nothing can be done now, so that new entries are no reason to wake up. */
bool file_is_blocked(const file *f);

/* file_open.c: opens; false and errno. */
bool file_open(file *f);
void file_close(file *f);
/* Whether the path names another file now, or none: log rotation moved ours away. */
bool file_moved(const file *f);

#endif
