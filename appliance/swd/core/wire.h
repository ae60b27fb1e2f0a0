/* SWD as whole operations on a set of pins (ADIv5.2 B4): transfers with their acknowledgement, parity, WAIT and FAULT.
 *
 * - Driven bits are collected and go out in runs of up to 64 cycles; a read of the line sends them first.
 * - A WAITed access was not performed and is repeated, within a budget of SWCLK cycles; nothing else is repeated. A read
 *   that arrived damaged is asked for again with RESEND, which performs no access (B2.2.8); each use is counted.
 * - An operation ends with idle clocks, so that the target finishes its last access (B4.1.4); none between accesses.
 * - A failure says which transfer was refused and how; the wire is left idle.
 */
#ifndef PROOFLINE_SWD_WIRE_H
#define PROOFLINE_SWD_WIRE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "pins_v1.h"

enum swd_status {
    SWD_OK = 0,
    SWD_WAITED,    /* WAIT until the budget was spent: the access was not performed */
    SWD_FAULTED,   /* FAULT: a sticky flag is set; the access was not performed, one before it failed */
    SWD_SILENT,    /* no acknowledgement, the line stayed high: nobody there, or protocol lost */
    SWD_HELD_LOW,  /* the line stayed low throughout: stuck or fought over */
    SWD_GARBLED,   /* an acknowledgement that does not exist */
    SWD_PARITY,    /* read data damaged, and again when resent */
    SWD_CANCELLED, /* stopped between two transfers */
    SWD_BROKEN,    /* the pins themselves failed; see error */
};

/* A transfer's request: APnDP, RnW and A[3:2] where the register's address has them. */
enum { SWD_AP = 1u, SWD_READ = 2u, SWD_ADDRESS = 0xCu };

enum { DP_ABORT = 0x0, DP_CTRL_STAT = 0x4, DP_SELECT = 0x8, DP_RESEND = 0x8, DP_RDBUFF = 0xC, DP_TARGETSEL = 0xC };

/* count accesses of one register. Words lie little-endian at words; a read fills them. */
struct swd_access {
    uint8_t request;
    uint32_t count;
    uint8_t *words;
};

struct swd_failure {
    uint32_t access;   /* index of the refused access; the number of accesses if it was the closing RDBUFF */
    uint32_t word;     /* index of the refused word in it */
    uint32_t ack;      /* acknowledgement as read, LSB first */
};

struct swd_recorded { /* one event on the pins, for the logic-analyser view */
    uint8_t kind;     /* 'x' exchange, 'c' clock (out = hz), 'l' line (count = line, out = level), 'w' wait (out = ns),
                         'p' pins driven or released (out) */
    uint8_t count;
    uint8_t drive;
    uint8_t reserved[5];
    uint64_t out, in;
};

struct swd_counters {
    uint64_t cycles, transfers, waits, resends;
};

struct swd_wire {
    struct swd_pins_v1 pins;
    uint64_t queue;
    uint32_t queued;
    uint32_t turnaround;      /* cycles, DLCR.TURNROUND + 1 */
    uint32_t bank;            /* SELECT.DPBANKSEL as last written */
    uint32_t data_always;     /* CTRL/STAT.ORUNDETECT: WAIT and FAULT have a data phase too */
    uint32_t idle_clocks;
    uint32_t hz;
    uint32_t wait_budget_ms;
    uint32_t ones;            /* consecutive ones driven, to notice a line reset */
    int error;                /* negative errno of the pins; SWD_BROKEN */
    atomic_int cancelled;
    struct swd_counters counters;
    struct swd_recorded *record;
    size_t recorded, record_limit;
    int record_overflow;
};

void swd_wire_init(struct swd_wire *wire, const struct swd_pins_v1 *pins);
void swd_wire_close(struct swd_wire *wire);

enum swd_status swd_wire_sequence(struct swd_wire *wire, const uint8_t *bits, uint32_t count, uint8_t *seen);
enum swd_status swd_wire_listen(struct swd_wire *wire, uint32_t count, uint64_t *in); /* released, 1..64 cycles */
enum swd_status swd_wire_run(struct swd_wire *wire, const struct swd_access *accesses, uint32_t count,
                             struct swd_failure *failure);
enum swd_status swd_wire_set_clock(struct swd_wire *wire, uint32_t hz);
enum swd_status swd_wire_drive_pins(struct swd_wire *wire, int driven);
enum swd_status swd_wire_set_line(struct swd_wire *wire, uint32_t line, int level);
enum swd_status swd_wire_get_line(struct swd_wire *wire, uint32_t line, int *level);
enum swd_status swd_wire_wait(struct swd_wire *wire, uint64_t ns);

#endif
