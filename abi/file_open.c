/* SPDX-License-Identifier: Apache-2.0
 *
 * file_open.c: gets a descriptor that never blocks, and sees when it is the wrong one.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

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
  return open(f->out.path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0644);
}

bool file_open(file *f) {
  struct stat status;
  f->fd = f->standard ? open_standard(f) : open_path(f);
  if (f->fd < 0) {
    return false;
  }
  if (fstat(f->fd, &status) < 0) {
    int error = errno;
    file_close(f);
    errno = error;
    return false;
  }
  f->device = status.st_dev;
  f->inode = status.st_ino;
  f->stream = !S_ISREG(status.st_mode);
  return true;
}

void file_close(file *f) {
  if (f->fd >= 0) {
    close(f->fd);
    f->fd = -1;
  }
}

bool file_moved(const file *f) {
  struct stat status;
  if (f->standard) {
    return false;
  }
  if (stat(f->out.path, &status) < 0) {
    return errno == ENOENT;
  }
  return status.st_dev != f->device || status.st_ino != f->inode;
}
