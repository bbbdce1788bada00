// Moves the system's clock by CLOCK_OFFSET seconds, for programs that are run with this in LD_PRELOAD.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*system_time)(clockid_t, struct timespec *);
    if (!system_time) system_time = dlsym(RTLD_NEXT, "clock_gettime");
    int result = system_time(clock, time);
    const char *offset = getenv("CLOCK_OFFSET");
    if (clock == CLOCK_REALTIME && offset) time->tv_sec += atol(offset);
    return result;
}
