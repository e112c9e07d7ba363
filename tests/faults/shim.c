/* Loaded before libc: a disk that fails and a clock that jumps, for one process and its children.

   GALR_FAULT_EIO=N:ERRNO:PREFIX    calls number N and later that change files below PREFIX fail
   GALR_FAULT_COUNT=FILE            the number of such calls is appended to FILE at the end
   GALR_FAULT_CLOCK=OFFSET:AFTER    OFFSET seconds are added to the time of day, AFTER seconds
                                    after the first look at it
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static atomic_long calls;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int fails(const char *path) {
    const char *setting = getenv("GALR_FAULT_EIO");
    if (!setting) return 0;
    char *rest;
    long first = strtol(setting, &rest, 10);
    int number = (int)strtol(rest + 1, &rest, 10);
    if (strncmp(path, rest + 1, strlen(rest + 1)) != 0) return 0;
    if (atomic_fetch_add(&calls, 1) + 1 < first) return 0;
    errno = number;
    return 1;
}

static int fails_at(int file) {
    if (!getenv("GALR_FAULT_EIO")) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(path);
}

__attribute__((destructor)) void tell_calls(void) {
    const char *path = getenv("GALR_FAULT_COUNT");
    if (!path) return;
    FILE *file = fopen(path, "a");
    if (file) {
        fprintf(file, "%ld\n", atomic_load(&calls));
        fclose(file);
    }
}

ssize_t write(int file, const void *from, size_t size) {
    return fails_at(file) ? -1 : REAL(write)(file, from, size);
}
ssize_t pwrite(int file, const void *from, size_t size, off_t at) {
    return fails_at(file) ? -1 : REAL(pwrite)(file, from, size, at);
}
ssize_t pwrite64(int file, const void *from, size_t size, off64_t at) {
    return fails_at(file) ? -1 : REAL(pwrite64)(file, from, size, at);
}
ssize_t writev(int file, const struct iovec *from, int count) {
    return fails_at(file) ? -1 : REAL(writev)(file, from, count);
}
int fsync(int file) { return fails_at(file) ? -1 : REAL(fsync)(file); }
int fdatasync(int file) { return fails_at(file) ? -1 : REAL(fdatasync)(file); }
int ftruncate(int file, off_t size) { return fails_at(file) ? -1 : REAL(ftruncate)(file, size); }
int ftruncate64(int file, off64_t size) {
    return fails_at(file) ? -1 : REAL(ftruncate64)(file, size);
}
int rename(const char *from, const char *to) { return fails(to) ? -1 : REAL(rename)(from, to); }

static double seconds_since_first(void) {
    static double first = 0;
    struct timespec now;
    REAL(clock_gettime)(CLOCK_MONOTONIC, &now);
    double seconds = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    if (first == 0) first = seconds;
    return seconds - first;
}

static long offset(void) {
    const char *setting = getenv("GALR_FAULT_CLOCK");
    if (!setting) return 0;
    char *rest;
    long seconds = strtol(setting, &rest, 10);
    return seconds_since_first() < strtod(rest + 1, NULL) ? 0 : seconds;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = REAL(clock_gettime)(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += offset();
    return failed;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int failed = REAL(gettimeofday)(now, zone);
    if (!failed) now->tv_sec += offset();
    return failed;
}
time_t time(time_t *out) {
    time_t now = REAL(time)(NULL) + offset();
    if (out) *out = now;
    return now;
}
