/* SPDX-License-Identifier: Apache-2.0
 *
 * agent.h: the UNIX socket on which Cilium's agent takes packets. All but its limits
 * is for the flusher.
 */
#ifndef PYFILTER_AGENT_H
#define PYFILTER_AGENT_H

#include <sys/types.h>
#include <time.h>

#include "agent_queue.h"
#include "outlet.h"
#include "retry.h"

typedef struct agent {
  outlet out; /* first: the sinks' out points here */
  agent_queue queue;
  int fd;       /* -1: not connected */
  dev_t device; /* what the path named when we connected, to see when it names another socket */
  ino_t inode;
  struct timespec made;
  unsigned turn;       /* which ring is first */
  bool was_connected;  /* ever */
  bool took;           /* this connection took a packet */
  int trouble;         /* the error that was logged last, 0: none since all was delivered */
  const char *said;    /* and in which words; NULL: none */
  bool overflow_told;  /* that entries are dropped was logged, since all was delivered */
  retry again;
  unsigned dice; /* of `again` */
} agent;

/* agent.c, for who holds a reference to the socket's sink: */

/* The newest limits that did not end hold for the socket's queue. */
void agent_begin_limits(const sink *s, queue_limits *limits);
void agent_end_limits(const sink *s, const queue_limits *limits);

/* agent_deliver.c: */

/* Says that there is trouble; `what`: static text, error: errno. */
void agent_trouble(agent *a, const char *what, int error);
/* Connects, or says why not and when to try again. */
bool agent_try(agent *a);
/* The other end closed the connection. */
void agent_lost(agent *a, int error);
/* Sends what the agent takes; whether it took any. */
bool agent_deliver(agent *a);

/* agent_socket.c: */

/* Whether it can be a socket's address. */
bool agent_path_fits(const char *path);
/* Connects without waiting; false and errno. */
bool agent_connect(agent *a);
void agent_disconnect(agent *a);
/* Whether the path names another socket now: the agent was started again beside the old one. */
bool agent_moved(const agent *a);
/* Sends from the front of the queue. Returns how many packets were taken; -1 and errno: none. */
int agent_send(agent *a);

#endif
