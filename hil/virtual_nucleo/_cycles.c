/*
 * The cycle meter: a Unicorn basic-block hook that adds up what a Cortex-M4 would have needed.
 *
 * It promises
 *   - a stated, pessimistic model (README.md, "Cycle model"), evaluated once per block and cached;
 *   - that the core stops at the first block that begins at or after `limit`;
 *   - no I/O, no allocation, no knowledge of the device beyond where code lies.
 *
 * Loaded with ctypes (cycles.py), so it needs no Python headers.
 */
#include <stdint.h>
#include <string.h>

#define SLOTS 16384u
#define REGIONS 4u

struct region {
	uint32_t start;
	uint32_t length;
	const uint8_t *host;
	uint32_t system_bus; /* fetched over the S-bus, which data accesses share (M4 TRM 2.3) */
	uint32_t line_wait;  /* extra cycles for each 16-byte line fetched (flash wait states, cache off) */
};

struct slot {
	uint32_t address;
	uint32_t size;
	uint32_t generation;
	uint32_t cost;
};

struct meter {
	uint64_t cycles;
	uint64_t limit;
	uint64_t address; /* of the block being executed */
	void *engine;
	int (*stop)(void *engine);
	uint32_t generation;
	uint32_t regions;
	struct region region[REGIONS];
	struct slot slot[SLOTS];
};

size_t meter_size(void)
{
	return sizeof(struct meter);
}

static unsigned ones(unsigned value)
{
	return (unsigned)__builtin_popcount(value);
}

/* Data accesses made by a 16-bit instruction; its cycles are 1 + accesses (M4 TRM table 3-1). */
static unsigned narrow_accesses(unsigned op)
{
	if (op >= 0x4800 && op < 0xA000)
		return 1; /* LDR literal, and every single load or store */
	if ((op & 0xFE00) == 0xB400 || (op & 0xFE00) == 0xBC00)
		return ones(op & 0x1FF);
	if ((op & 0xF000) == 0xC000)
		return ones(op & 0xFF);
	return 0;
}

/* The same for a 32-bit instruction; *execute is what it needs besides its accesses. */
static unsigned wide_accesses(unsigned op, unsigned low, unsigned *execute)
{
	*execute = 1;
	if ((op & 0xFE40) == 0xE800)
		return ones(low & 0xFFFF);
	if ((op & 0xFE40) == 0xE840)
		return 2; /* LDRD/STRD, exclusives, table branches */
	if ((op & 0xFE00) == 0xF800)
		return 1;
	if ((op & 0xFFD0) == 0xFB90)
		*execute = 12; /* SDIV, UDIV: 2 to 12 */
	else if ((op & 0xFF00) == 0xFB00)
		*execute = 2;
	else if ((op & 0xF800) == 0xF000 && (low & 0xD000) == 0x8000 && (op & 0x0380) == 0x0380)
		*execute = 4; /* MSR, MRS, hints, barriers */
	else if ((op & 0xEE00) == 0xEC00) {
		unsigned words = low & 0xFF;
		return (op & 0x0120) == 0x0100 ? 1 : words;
	} else if ((op & 0xEF00) == 0xEE00)
		*execute = (op & 0x0080) ? 14 : 3; /* VDIV and VSQRT need 14 */
	return 0;
}

static unsigned block_cost(const struct region *region, uint32_t address, uint32_t size)
{
	const uint8_t *code = region->host + (address - region->start);
	unsigned cost = 3; /* pipeline refill after the branch that ends a block: 1 to 3 */
	uint32_t at = 0;

	while (at + 2 <= size) {
		unsigned op = code[at] | (unsigned)code[at + 1] << 8;
		unsigned execute = 1, accesses;

		at += 2;
		if (op >= 0xE800 && at + 2 <= size) {
			unsigned low = code[at] | (unsigned)code[at + 1] << 8;
			at += 2;
			accesses = wide_accesses(op, low, &execute);
		} else
			accesses = narrow_accesses(op);
		cost += execute + accesses + (region->system_bus ? accesses : 0);
	}
	if (region->system_bus)
		cost += 1;
	if (region->line_wait)
		cost += region->line_wait * (((address + size + 15) >> 4) - (address >> 4));
	return cost;
}

/* uc_cb_hookcode_t */
void meter_block(void *engine, uint64_t address64, uint32_t size, void *user)
{
	struct meter *meter = user;
	uint32_t address = (uint32_t)address64;
	struct slot *slot = &meter->slot[(address >> 1) & (SLOTS - 1)];

	(void)engine;
	if (meter->cycles >= meter->limit) { /* stopped before it executes, so it is counted when it does */
		meter->stop(meter->engine);
		return;
	}
	if (slot->address != address || slot->size != size || slot->generation != meter->generation) {
		uint32_t i, cost = size / 2 + 3;

		for (i = 0; i < meter->regions; i++) {
			const struct region *region = &meter->region[i];
			if (address - region->start < region->length && size <= region->length - (address - region->start)) {
				cost = block_cost(region, address, size);
				break;
			}
		}
		slot->address = address;
		slot->size = size;
		slot->generation = meter->generation;
		slot->cost = cost;
	}
	meter->cycles += slot->cost;
	meter->address = address;
}
