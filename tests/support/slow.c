/* A slow disk, put beneath the server by the dynamic linker: every write to a file takes a while, and every sync a
   long while. Sockets and pipes are as fast as ever. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE_US = 20000, SYNC_US = 1000000 };

static void rest(int fd, useconds_t us) {
    struct stat about;
    if (fstat(fd, &about) == 0 && S_ISREG(about.st_mode)) usleep(us);
}

#define NEXT(name, type) ((type)dlsym(RTLD_NEXT, name))

ssize_t write(int fd, const void *bytes, size_t count) {
    rest(fd, WRITE_US);
    return NEXT("write", ssize_t (*)(int, const void *, size_t))(fd, bytes, count);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    rest(fd, WRITE_US);
    return NEXT("writev", ssize_t (*)(int, const struct iovec *, int))(fd, parts, count);
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    rest(fd, WRITE_US);
    return NEXT("pwrite64", ssize_t (*)(int, const void *, size_t, off64_t))(fd, bytes, count, at);
}
int fsync(int fd) {
    rest(fd, SYNC_US);
    return NEXT("fsync", int (*)(int))(fd);
}
int fdatasync(int fd) {
    rest(fd, SYNC_US);
    return NEXT("fdatasync", int (*)(int))(fd);
}
