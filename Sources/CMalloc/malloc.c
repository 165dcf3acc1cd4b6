#include "CMalloc.h"

/* Any header of glibc says that it is glibc. */
#include <stdlib.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

void martlet_map_blocks_from(size_t octets, size_t kept) {
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, (int)octets);
    mallopt(M_TRIM_THRESHOLD, (int)kept);
#else
    (void)octets;
    (void)kept;
#endif
}
