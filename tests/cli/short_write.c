/* For tests: makes write() and pwrite() honest but short, and fails the MICA_FAIL_AT-th one.
 *
 * LD_PRELOAD library. MICA_SHORT=1 writes at most a third of what is asked; MICA_FAIL_AT=N with
 * MICA_FAIL_ERRNO=E lets the N-th call on a regular file fail. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static long calls;

static int is_file(int descriptor) {
  struct stat facts;
  return fstat(descriptor, &facts) == 0 && S_ISREG(facts.st_mode);
}

/* Sets errno and returns 1 when this call is to fail; else shortens *size if asked to. */
static int meddle(int descriptor, size_t* size) {
  const char* at = getenv("MICA_FAIL_AT");
  if (!is_file(descriptor)) return 0;
  if (at && ++calls == atol(at)) {
    errno = atoi(getenv("MICA_FAIL_ERRNO"));
    return 1;
  }
  if (getenv("MICA_SHORT") && *size > 2) *size /= 3;
  return 0;
}

ssize_t write(int descriptor, const void* data, size_t size) {
  if (meddle(descriptor, &size)) return -1;
  return syscall(SYS_write, descriptor, data, size);
}

ssize_t pwrite64(int descriptor, const void* data, size_t size, off64_t offset) {
  if (meddle(descriptor, &size)) return -1;
  return syscall(SYS_pwrite64, descriptor, data, size, offset);
}

ssize_t pwrite(int descriptor, const void* data, size_t size, off_t offset) {
  return pwrite64(descriptor, data, size, offset);
}
