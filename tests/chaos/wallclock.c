/* A wall clock that jumps: for LD_PRELOAD. The file WALL_CLOCK_DIRECTORY/<session id> holds how many seconds it is off,
 * and is read anew each time. Clocks other than CLOCK_REALTIME are as they are. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long long offset_s(void) {
    char path[512], text[32];
    const char *directory = getenv("WALL_CLOCK_DIRECTORY");
    int before = errno;
    ssize_t size = -1;
    if (directory != NULL) {
        snprintf(path, sizeof path, "%s/%d", directory, (int)getsid(0));
        int file = open(path, O_RDONLY | O_CLOEXEC);
        if (file >= 0) {
            size = read(file, text, sizeof text - 1);
            close(file);
        }
    }
    errno = before;
    if (size <= 0)
        return 0;
    text[size] = 0;
    return atoll(text);
}

int clock_gettime(clockid_t id, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(id, now);
    if (!failed && id == CLOCK_REALTIME)
        now->tv_sec += offset_s();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &exact))
        return -1;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result) {
    struct timespec exact;
    if (clock_gettime(CLOCK_REALTIME, &exact))
        return -1;
    if (result != NULL)
        *result = exact.tv_sec;
    return exact.tv_sec;
}
