// Counts allocations by standing in front of the C library's allocator, and reference counting through the hooks that
// the Swift runtime offers to instruments. Single threaded by design: the budgets run in a process of their own.
#define _GNU_SOURCE
#include "CAllocationCounter.h"
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

static int is_counting = 0;
static unsigned long long allocations = 0;
static unsigned long long retains = 0;
static unsigned long long releases = 0;

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

void *malloc(size_t size) {
    allocations += is_counting;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    allocations += is_counting;
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
    allocations += is_counting;
    return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size) {
    allocations += is_counting;
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    allocations += is_counting;
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size) {
    allocations += is_counting;
    void *memory = __libc_memalign(alignment, size);
    if (memory == NULL) {
        return ENOMEM;
    }
    *result = memory;
    return 0;
}

extern void *(*_swift_retain)(void *);
extern void (*_swift_release)(void *);
extern _Atomic(bool) _swift_enableSwizzlingOfAllocationAndRefCountingFunctions_forInstrumentsOnly;

static void *(*original_retain)(void *);
static void (*original_release)(void *);

static void *counting_retain(void *object) {
    retains += is_counting;
    return original_retain(object);
}

static void counting_release(void *object) {
    releases += is_counting;
    original_release(object);
}

void martlet_counters_start(void) {
    if (original_retain == NULL) {
        original_retain = _swift_retain;
        original_release = _swift_release;
        _swift_retain = counting_retain;
        _swift_release = counting_release;

    }
    allocations = 0;
    retains = 0;
    releases = 0;
    atomic_store(&_swift_enableSwizzlingOfAllocationAndRefCountingFunctions_forInstrumentsOnly, true);
    is_counting = 1;
}

void martlet_counters_stop(void) {
    is_counting = 0;
    atomic_store(&_swift_enableSwizzlingOfAllocationAndRefCountingFunctions_forInstrumentsOnly, false);
}

unsigned long long martlet_counted_allocations(void) { return allocations; }
unsigned long long martlet_counted_retains(void) { return retains; }
unsigned long long martlet_counted_releases(void) { return releases; }
