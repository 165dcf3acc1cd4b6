#ifndef MARTLET_CCHECKSUM_H
#define MARTLET_CCHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* CRC-32C (Castagnoli), as RFC 3720 appendix B.4 has it. Start with 0; pass the result on to go on with more octets.
 * Uses the processor's instruction where it has one. */
uint32_t martlet_crc32c(uint32_t crc, const void *octets, size_t count);

/* The same over the sixteen octets of two little-endian words. */
uint32_t martlet_crc32c_words(uint32_t crc, uint64_t first, uint64_t second);

/* The same without the instruction, for processors that lack it, and for tests. */
uint32_t martlet_crc32c_table(uint32_t crc, const void *octets, size_t count);

/* Whether martlet_crc32c uses the processor's instruction. */
bool martlet_crc32c_is_hardware(void);

#endif
