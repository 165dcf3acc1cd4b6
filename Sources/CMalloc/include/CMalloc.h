#ifndef MARTLET_CMALLOC_H
#define MARTLET_CMALLOC_H

#include <stddef.h>

/* Has the allocator map blocks of at least so many octets from the system, each by itself, and unmap them when freed.
 * Keeps so many octets that are free for smaller blocks. Does nothing where the C library has no such setting. Swift's import of glibc leaves <malloc.h> out. */
void martlet_map_blocks_from(size_t octets, size_t kept);

#endif
