/* SPDX-License-Identifier: Apache-2.0
 *
 * file.h: a file, FIFO or stream that entries are appended to. Only the flusher calls in here.
 */
#ifndef PYFILTER_FILE_H
#define PYFILTER_FILE_H

#include <sys/types.h>

#include "outlet.h"
#include "retry.h"

/* How bytes get out without ever blocking for long, and without touching Envoy's own descriptor. */
typedef enum {
  WAY_WRITE, /* our own descriptor, O_NONBLOCK where that means something */
  WAY_SEND,  /* a socket: each send says that it does not wait */
  WAY_SHARED /* a pipe or terminal that we may not open again: ask first whether it has room */
} file_way;

typedef struct file {
  outlet out; /* first: the sinks' out points here */
  int standard; /* 1: /dev/stdout, 2: /dev/stderr, 0: a path */
  int fd;       /* -1: not open */
  file_way way;
  bool stream;  /* no regular file: others may write between two of our writes */
  dev_t device; /* what was opened, to see when the path means another file */
  ino_t inode;
  unsigned turn; /* which ring is first */
  bool troubled;
  retry again;
} file;

/* file_open.c: opens; false and errno. */
bool file_open(file *f);
void file_close(file *f);
/* Whether the path names another file now, or none: log rotation moved ours away. */
bool file_moved(const file *f);

#endif
