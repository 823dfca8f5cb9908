/*
 * What both clients of scripts/bench share: the clock, percentiles, and the handshake with the script.
 *
 * A client connects and warms up, says "ready" on standard output and waits for a line on standard input. In between the
 * script reads the broker's CPU time, so that only what is measured is counted. Results go to standard output as one
 * JSON object.
 */
#ifndef KBROKER_PERF_MEASURE_H
#define KBROKER_PERF_MEASURE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static inline int64_t now_ns(void) {
        struct timespec time;
        clock_gettime(CLOCK_MONOTONIC, &time);
        return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* CPU time of this process, all threads, in seconds. */
static inline double own_cpu_seconds(void) {
        struct rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static inline void await_go(void) {
        puts("ready");
        fflush(stdout);
        if (getchar() == EOF)
                exit(1);
}

static int compare_int64(const void *left, const void *right) {
        int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
        return (a > b) - (a < b);
}

/* Print percentiles of `count` times in ns as fields of a JSON object, in microseconds. Sorts `times`. */
static inline void print_percentiles(int64_t *times, size_t count) {
        double sum = 0;
        qsort(times, count, sizeof(*times), compare_int64);
        for (size_t i = 0; i < count; i++)
                sum += (double)times[i];
        printf("\"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f, "
               "\"mean_us\": %.1f",
               (double)times[count / 2] / 1e3, (double)times[count * 9 / 10] / 1e3,
               (double)times[count * 99 / 100] / 1e3, (double)times[count * 999 / 1000] / 1e3,
               (double)times[count - 1] / 1e3, sum / (double)count / 1e3);
}

#endif
