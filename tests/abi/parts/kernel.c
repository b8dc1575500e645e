/* SPDX-License-Identifier: Apache-2.0
 *
 * kernel.c: see kernel.h.
 */
#include "kernel.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { MOST_TRIES = 10000, NOBODY_POLLS = -2 };

static _Atomic uint64_t moved_ms;
static _Atomic uint64_t stands_at; /* 0: the clock goes */
static _Atomic long reads;
static _Atomic long polls;
static _Atomic int timeout_now = NOBODY_POLLS;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* held: no poll returns */
static _Atomic bool no_events;
static _Atomic bool until_closed;
static _Atomic bool no_room;
static _Atomic long tries;
static _Atomic uint64_t tried_at[MOST_TRIES];

uint64_t __real_now_ms(void);
uint64_t __wrap_now_ms(void);
int __real_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags);
int __real_poll(struct pollfd *polled, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *polled, nfds_t count, int timeout);
int __real_connect(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length);
int __real_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags);
int __wrap_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags);

uint64_t __wrap_now_ms(void) {
  uint64_t standing = stands_at;
  reads++;
  return (standing != 0 ? standing : __real_now_ms()) + moved_ms;
}

int __wrap_eventfd(unsigned value, int flags) {
  return no_events ? -1 : __real_eventfd(value, flags);
}

/* When the clock stands, others still get a moment to do something. */
int __wrap_poll(struct pollfd *polled, nfds_t count, int timeout) {
  bool stands = stands_at != 0 && timeout > 0;
  polls++;
  timeout_now = timeout;
  int found = __real_poll(polled, count, stands ? 1 : timeout);
  int error = errno;
  timeout_now = NOBODY_POLLS;
  pthread_mutex_lock(&gate);
  pthread_mutex_unlock(&gate);
  if (found == 0 && stands) {
    moved_ms += (uint64_t)timeout;
  }
  errno = error;
  return found;
}

static void note_try(void) {
  if (tries < MOST_TRIES) {
    tried_at[tries] = __wrap_now_ms();
    tries++;
  }
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length) {
  note_try();
  int result = __real_connect(fd, address, length);
  struct pollfd end = {fd, 0, 0};
  while (result == 0 && until_closed && __real_poll(&end, 1, 1) == 0) {
  }
  return result;
}

int __wrap_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags) {
  if (no_room) {
    note_try();
    errno = EAGAIN;
    return -1;
  }
  return __real_sendmmsg(fd, messages, count, flags);
}

/* The commands that ask. */
static long answer(const char *what, long number) {
  if (strcmp(what, "reads") == 0) {
    return reads;
  }
  if (strcmp(what, "polls") == 0) {
    return polls;
  }
  if (strcmp(what, "for_ever") == 0) {
    return timeout_now == -1;
  }
  if (strcmp(what, "tries") == 0) {
    return tries;
  }
  if (strcmp(what, "tried_at") == 0) {
    return (long)tried_at[number];
  }
  return -1;
}

long kernel_obey(const char *what, long number) {
  if (strcmp(what, "move") == 0) {
    moved_ms += (uint64_t)number;
  } else if (strcmp(what, "stand") == 0) {
    stands_at = __real_now_ms();
  } else if (strcmp(what, "hold") == 0) {
    pthread_mutex_lock(&gate);
  } else if (strcmp(what, "go") == 0) {
    pthread_mutex_unlock(&gate);
  } else if (strcmp(what, "no_events") == 0) {
    no_events = true;
  } else if (strcmp(what, "closed") == 0) {
    until_closed = number != 0;
  } else if (strcmp(what, "no_room") == 0) {
    no_room = number != 0;
  } else {
    return answer(what, number);
  }
  return 0;
}
