/* SPDX-License-Identifier: MIT */
/*
 * util.h: the few helpers that every folder uses.
 */
#ifndef XVD_UTIL_H
#define XVD_UTIL_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/types.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))

#define MIN(a, b) ({					\
	__typeof__(a) min_a = (a);			\
	__typeof__(b) min_b = (b);			\
	min_a < min_b ? min_a : min_b; })

#define MAX(a, b) ({					\
	__typeof__(a) max_a = (a);			\
	__typeof__(b) max_b = (b);			\
	max_a > max_b ? max_a : max_b; })

#define ALIGN_UP(x, a)		(((x) + (a) - 1) & ~((__typeof__(x))(a) - 1))
#define ALIGN_DOWN(x, a)	((x) & ~((__typeof__(x))(a) - 1))

/* sparse knows these two; compilers do not. */
#ifdef __CHECKER__
#define __force		__attribute__((force))
#else
#define __force
#endif

/*
 * Wire structures keep __leNN; a value is swapped in the statement that
 * reads it (style 8).
 */
static inline uint16_t le16_get(__le16 v)
{
	return le16toh((__force uint16_t)v);
}

static inline uint32_t le32_get(__le32 v)
{
	return le32toh((__force uint32_t)v);
}

static inline uint64_t le64_get(__le64 v)
{
	return le64toh((__force uint64_t)v);
}

static inline __le16 le16_put(uint16_t v)
{
	return (__force __le16)htole16(v);
}

static inline __le32 le32_put(uint32_t v)
{
	return (__force __le32)htole32(v);
}

static inline __le64 le64_put(uint64_t v)
{
	return (__force __le64)htole64(v);
}

#endif
