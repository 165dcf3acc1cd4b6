#ifndef MARTLET_ALLOCATION_COUNTER_H
#define MARTLET_ALLOCATION_COUNTER_H

/// Starts counting heap allocations and Swift reference counting of this process.
void martlet_counters_start(void);

/// Stops counting.
void martlet_counters_stop(void);

/// Heap allocations between start and stop.
unsigned long long martlet_counted_allocations(void);

/// Calls of swift_retain between start and stop.
unsigned long long martlet_counted_retains(void);

/// Calls of swift_release between start and stop.
unsigned long long martlet_counted_releases(void);

#endif
