/* How far apart two cores are: nanoseconds of a round trip of one cache line between them.
 *
 *     gcc -O2 -pthread benchmarks/core_distance.c -o core_distance && ./core_distance 0 1
 *
 * Some 60 ns where both share a cache, over 300 where they do not. A virtual machine's cores may be moved by its host
 * from one to the other at any time; what two threads hand each other then takes that much longer.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 1000000 };

static _Alignas(128) atomic_int ball;
static int cores[2];

static void stay_on(int core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    if (pthread_setaffinity_np(pthread_self(), sizeof set, &set) != 0) {
        fprintf(stderr, "core %d: not one this process may use\n", core);
        exit(1);
    }
}

static void *play(void *unused) {
    stay_on(cores[1]);
    for (int i = 0; i < ROUNDS; i++) {
        while (atomic_load(&ball) != 1) {}
        atomic_store(&ball, 0);
    }
    return unused;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: core_distance CORE CORE\n");
        return 2;
    }
    cores[0] = atoi(argv[1]);
    cores[1] = atoi(argv[2]);
    if (cores[0] == cores[1]) {
        fprintf(stderr, "two different cores are needed\n");
        return 2;
    }
    stay_on(cores[0]);
    pthread_t other;
    struct timespec start, end;
    pthread_create(&other, NULL, play, NULL);
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int i = 0; i < ROUNDS; i++) {
        atomic_store(&ball, 1);
        while (atomic_load(&ball) != 0) {}
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    pthread_join(other, NULL);
    printf("%.0f ns\n", ((end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec)) / ROUNDS);
    return 0;
}
