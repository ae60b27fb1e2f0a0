#include <errno.h>
#include <time.h>

#include "pins.h"

int swd_sleep_ns(uint64_t ns)
{
    struct timespec left = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    int result;

    do
        result = clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left);
    while (result == EINTR);
    return -result;
}
