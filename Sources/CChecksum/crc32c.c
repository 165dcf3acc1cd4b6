#include "CChecksum.h"

#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#define HAS_INSTRUCTION 1
#define WITH_INSTRUCTION __attribute__((target("sse4.2")))
#define CRC_OF_WORD(crc, word) ((uint32_t)_mm_crc32_u64((crc), (word)))
#define CRC_OF_OCTET(crc, octet) _mm_crc32_u8((crc), (octet))
#elif defined(__aarch64__) && defined(__clang__)
#define HAS_INSTRUCTION 1
#define WITH_INSTRUCTION __attribute__((target("crc")))
#define CRC_OF_WORD(crc, word) __builtin_arm_crc32cd((crc), (word))
#define CRC_OF_OCTET(crc, octet) __builtin_arm_crc32cb((crc), (octet))
#if defined(__linux__)
#include <sys/auxv.h>
#endif
#endif

/* The polynomial with its bits reversed, as the least significant bit goes first. */
#define POLYNOMIAL 0x82F63B78u

/* Octets of each of the three streams that are summed side by side. The instruction has a latency of three cycles and a
 * throughput of one, so three streams keep it busy; the long blocks make joining them rare, the short ones serve inputs of
 * a few hundred octets. */
#define LONG_BLOCK 1024
#define SHORT_BLOCK 128

/* octet_tables[n][b]: what octet b contributes when n more octets follow in the same word. */
static uint32_t octet_tables[8][256];

/* What each octet of a sum becomes once a block of zeros has followed it. */
struct shift {
    uint32_t octets[4][256];
};

static uint32_t sum_by_table(uint32_t crc, const uint8_t *next, size_t count) {
    while (count >= 8) {
        uint64_t word;
        memcpy(&word, next, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        word = __builtin_bswap64(word);
#endif
        word ^= crc;
        crc = 0;
        for (int index = 0; index < 8; index++) {
            crc ^= octet_tables[7 - index][(word >> (8 * index)) & 255];
        }
        next += 8;
        count -= 8;
    }
    for (; count > 0; count--) {
        crc = octet_tables[0][(crc ^ *next++) & 255] ^ (crc >> 8);
    }
    return crc;
}

static uint32_t (*sum)(uint32_t crc, const uint8_t *next, size_t count) = sum_by_table;

#ifdef HAS_INSTRUCTION
static struct shift after_long_block;
static struct shift after_short_block;

static inline uint32_t shifted(const struct shift *shift, uint32_t crc) {
    return shift->octets[0][crc & 255] ^ shift->octets[1][(crc >> 8) & 255] ^ shift->octets[2][(crc >> 16) & 255] ^
           shift->octets[3][crc >> 24];
}

static inline uint64_t word_at(const uint8_t *octets) {
    uint64_t word;
    memcpy(&word, octets, 8);
    return word;
}

WITH_INSTRUCTION
static inline uint32_t sum_three(uint32_t crc, const uint8_t *next, size_t block, const struct shift *shift) {
    uint32_t second = 0;
    uint32_t third = 0;
    for (const uint8_t *end = next + block; next < end; next += 8) {
        crc = CRC_OF_WORD(crc, word_at(next));
        second = CRC_OF_WORD(second, word_at(next + block));
        third = CRC_OF_WORD(third, word_at(next + 2 * block));
    }
    /* A sum is linear: that of two blocks is that of the first followed by zeros, combined with that of the second. */
    crc = shifted(shift, crc) ^ second;
    return shifted(shift, crc) ^ third;
}

WITH_INSTRUCTION
static uint32_t sum_by_instruction(uint32_t crc, const uint8_t *next, size_t count) {
    for (; count >= 3 * LONG_BLOCK; count -= 3 * LONG_BLOCK, next += 3 * LONG_BLOCK) {
        crc = sum_three(crc, next, LONG_BLOCK, &after_long_block);
    }
    for (; count >= 3 * SHORT_BLOCK; count -= 3 * SHORT_BLOCK, next += 3 * SHORT_BLOCK) {
        crc = sum_three(crc, next, SHORT_BLOCK, &after_short_block);
    }
    for (; count >= 8; count -= 8, next += 8) {
        crc = CRC_OF_WORD(crc, word_at(next));
    }
    for (; count > 0; count--) {
        crc = CRC_OF_OCTET(crc, *next++);
    }
    return crc;
}

static bool processor_has_instruction(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("sse4.2");
#elif defined(__linux__)
    /* HWCAP_CRC32 of the kernel's interface; not every C library's headers name it. */
    return (getauxval(AT_HWCAP) & (1ul << 7)) != 0;
#elif defined(__APPLE__)
    return true;
#else
    return false;
#endif
}

static void fill_shift(struct shift *shift, size_t zeros) {
    uint32_t of_bit[32];
    for (int bit = 0; bit < 32; bit++) {
        uint32_t crc = 1u << bit;
        for (size_t count = 0; count < zeros; count++) {
            crc = octet_tables[0][crc & 255] ^ (crc >> 8);
        }
        of_bit[bit] = crc;
    }
    for (int place = 0; place < 4; place++) {
        for (unsigned octet = 0; octet < 256; octet++) {
            uint32_t crc = 0;
            for (int bit = 0; bit < 8; bit++) {
                if (octet & (1u << bit)) {
                    crc ^= of_bit[8 * place + bit];
                }
            }
            shift->octets[place][octet] = crc;
        }
    }
}
#endif

/* Before main, so that no thread can see half a table. Takes well under a millisecond. */
__attribute__((constructor)) static void fill_tables(void) {
    for (unsigned octet = 0; octet < 256; octet++) {
        uint32_t crc = octet;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) ? POLYNOMIAL : 0);
        }
        octet_tables[0][octet] = crc;
    }
    for (unsigned octet = 0; octet < 256; octet++) {
        for (int following = 1; following < 8; following++) {
            uint32_t crc = octet_tables[following - 1][octet];
            octet_tables[following][octet] = octet_tables[0][crc & 255] ^ (crc >> 8);
        }
    }
#ifdef HAS_INSTRUCTION
    if (processor_has_instruction()) {
        fill_shift(&after_long_block, LONG_BLOCK);
        fill_shift(&after_short_block, SHORT_BLOCK);
        sum = sum_by_instruction;
    }
#endif
}

uint32_t martlet_crc32c(uint32_t crc, const void *octets, size_t count) {
    return ~sum(~crc, octets, count);
}

uint32_t martlet_crc32c_words(uint32_t crc, uint64_t first, uint64_t second) {
    uint64_t words[2] = {first, second};
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    words[0] = __builtin_bswap64(first);
    words[1] = __builtin_bswap64(second);
#endif
    return ~sum(~crc, (const uint8_t *)words, sizeof words);
}

uint32_t martlet_crc32c_table(uint32_t crc, const void *octets, size_t count) {
    return ~sum_by_table(~crc, octets, count);
}

bool martlet_crc32c_is_hardware(void) { return sum != sum_by_table; }
