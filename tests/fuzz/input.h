/* SPDX-License-Identifier: MIT */
/*
 * input.h: takes a fuzz input apart, front to back.  Behind its end there are
 * zeroes; targets stop when nothing is left.  At most one of these in an
 * expression: the compilers disagree on which would come first.
 */
#ifndef XVD_FUZZ_INPUT_H
#define XVD_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t	*p;
	size_t		left;
};

static inline uint8_t in8(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->p++;
}

static inline uint16_t in16(struct input *in)
{
	uint16_t lo = in8(in);

	return (uint16_t)(lo | in8(in) << 8);
}

static inline uint32_t in32(struct input *in)
{
	uint32_t lo = in16(in);

	return lo | (uint32_t)in16(in) << 16;
}

static inline uint64_t in64(struct input *in)
{
	uint64_t lo = in32(in);

	return lo | (uint64_t)in32(in) << 32;
}

#endif
