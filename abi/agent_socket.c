/* SPDX-License-Identifier: Apache-2.0
 *
 * agent_socket.c: the system calls of the agent's socket. None of them waits.
 */
#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent.h"

enum { BATCH = 64 }; /* packets in one system call */

bool agent_path_fits(const char *path) {
  size_t length = strlen(path);
  return length > 0 && length < sizeof ((struct sockaddr_un *)0)->sun_path;
}

/* A zero byte begins an abstract name, which ends with the address's length. */
static socklen_t address_of(const char *path, struct sockaddr_un *address) {
  size_t length = strlen(path);
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  memcpy(address->sun_path, path, length);
  if (path[0] == '@') {
    address->sun_path[0] = '\0';
  }
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (path[0] != '@'));
}

/* Remembers what the path names. Asked before connecting: when it is replaced in between, we only
 * connect once more. */
static void remember(agent *a) {
  struct stat status = {0};
  (void)stat(a->out.path, &status);
  a->device = status.st_dev;
  a->inode = status.st_ino;
  a->made = status.st_mtim;
}

bool agent_connect(agent *a) {
  struct sockaddr_un address;
  socklen_t length = address_of(a->out.path, &address);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    return false;
  }
  remember(a);
  if (connect(fd, (struct sockaddr *)&address, length) < 0) {
    int error = errno;
    close(fd);
    errno = error;
    return false;
  }
  a->fd = fd;
  return true;
}

void agent_disconnect(agent *a) {
  if (a->fd >= 0) {
    close(a->fd);
    a->fd = -1;
  }
}

/* A file system may give the inode's number to the next file, so the time counts as well. While
 * there is no socket, the one that we hold may still be good. */
bool agent_moved(const agent *a) {
  struct stat status;
  return a->out.path[0] != '@' && stat(a->out.path, &status) == 0 &&
         (status.st_dev != a->device || status.st_ino != a->inode ||
          status.st_mtim.tv_sec != a->made.tv_sec || status.st_mtim.tv_nsec != a->made.tv_nsec);
}

int agent_send(agent *a) {
  struct mmsghdr messages[BATCH];
  struct iovec pieces[BATCH];
  unsigned count = 0;
  for (packet *p = a->queue.first; p != NULL && count < BATCH; p = p->next, count++) {
    pieces[count] = (struct iovec){p->data, p->length};
    messages[count] = (struct mmsghdr){.msg_hdr = {.msg_iov = &pieces[count], .msg_iovlen = 1}};
  }
  return sendmmsg(a->fd, messages, count, MSG_DONTWAIT | MSG_EOR | MSG_NOSIGNAL);
}
