/* What the slave (_wire_slave.c), its Python type (_wire.c) and its doors (_wire_doors.c) share. */
#ifndef HIL_WIRE_H
#define HIL_WIRE_H

#include <Python.h>

#include <stdint.h>

#include "pins_v1.h"

enum callback {
    ANSWER,        /* (request, transfer, cycles) -> ack | data << 3 */
    WRITTEN,       /* (request, word, parity is good, cycles) */
    WORDS_WRITTEN, /* (bytes, cycles) */
    WORDS_READ,    /* (count, cycles) */
    PASS_CYCLES,   /* (cycles) */
    LINE_WAS_RESET,
    PLANNED,       /* (index) */
    SET_CLOCK,     /* (hz); these and the rest as in pins_v1.h */
    DRIVE_PINS,
    SET_LINE,
    GET_LINE,
    WAIT,
    CALLBACKS
};

enum slave_mode { OFF, JTAG, SWD, DORMANT };
enum slave_window { CLOSED, WRITES, READS };
enum fault_kind { FAULT_LOW, FAULT_HIGH, FAULT_FLIP, FAULT_EVENT };
enum { WINDOW_WORDS = 256, PLAN_LIMIT = 256 };
#define NEVER UINT64_MAX

struct line_fault {
    uint64_t transfer, length; /* length in cycles */
    uint32_t offset, kind, index; /* offset in cycles from the start bit, at least 1 */
};

typedef struct {
    PyObject_HEAD
    PyObject *calls[CALLBACKS];
    PyObject *failure; /* an exception of the target, until somebody can be told */
    uint64_t cycles, told, horizon;
    uint64_t transfers, armed_transfer, watched_transfer, started_at;
    uint64_t fault_from, fault_until;
    uint64_t alert_low, alert_high;
    uint32_t collected, data;
    unsigned mode, state, position, epoch, dormant;
    unsigned ones, collecting, long_run, idle, dirty;
    unsigned shift, request, ack, parity, driving, level, turnaround, overrun_detection;
    unsigned window, windowed, room, done;
    unsigned late, late_request, late_good; /* a written word that is not clocked through yet */
    uint32_t late_word;
    uint64_t late_at; /* the cycle in which the last word that was written takes effect */
    unsigned faults, fault;
    int activating; /* bits of the activation sequence so far, or -1 */
    uint32_t words[WINDOW_WORDS];
    struct line_fault plan[PLAN_LIMIT];
} Slave;

unsigned slave_level(Slave *slave, int host_drives, unsigned host);
void slave_edge(Slave *slave, unsigned line);
int slave_exchange(Slave *slave, uint32_t count, uint64_t out, int drive, uint64_t *in);
void slave_settle(Slave *slave);
void slave_enter(Slave *slave, enum slave_mode mode);
uint64_t slave_call(Slave *slave, enum callback which, const char *format, uint64_t first, uint64_t second);
PyObject *slave_raise(Slave *slave);
PyObject *door_type(PyObject *module);

#endif
