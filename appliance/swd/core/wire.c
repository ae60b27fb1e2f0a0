#include "wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ACK_OK = 1, ACK_WAIT = 2, ACK_FAULT = 4, ACK_SILENT = 7 };
enum { LINE_RESET_ONES = 50, IDLE_CLOCKS = 8, WAIT_BUDGET_MS = 100, DEFAULT_HZ = 1000000 };

void swd_wire_init(struct swd_wire *wire, const struct swd_pins_v1 *pins)
{
    memset(wire, 0, sizeof *wire);
    wire->pins = *pins;
    wire->turnaround = 1;
    wire->idle_clocks = IDLE_CLOCKS;
    wire->hz = DEFAULT_HZ;
    wire->wait_budget_ms = WAIT_BUDGET_MS;
    atomic_init(&wire->cancelled, 0);
}

void swd_wire_close(struct swd_wire *wire)
{
    if (wire->pins.close)
        wire->pins.close(wire->pins.ctx);
    free(wire->record);
    memset(&wire->pins, 0, sizeof wire->pins);
    wire->record = NULL;
}

/* -- the pins, recorded ------------------------------------------------------------------------------------------ */

static void record(struct swd_wire *wire, char kind, uint32_t count, int drive, uint64_t out, uint64_t in)
{
    if (!wire->record)
        return;
    if (wire->recorded == wire->record_limit) {
        wire->record_overflow = 1;
        return;
    }
    wire->record[wire->recorded++] = (struct swd_recorded){
        .kind = (uint8_t)kind, .count = (uint8_t)count, .drive = drive != 0, .out = out, .in = in};
}

static enum swd_status outcome(struct swd_wire *wire, int result)
{
    if (result < 0)
        wire->error = result;
    return result < 0 ? SWD_BROKEN : SWD_OK;
}

static int exchange(struct swd_wire *wire, uint32_t count, uint64_t out, int drive, uint64_t *in)
{
    uint64_t seen = 0;
    int result;

    if (wire->error)
        return wire->error;
    result = wire->pins.exchange(wire->pins.ctx, count, out, drive, in || wire->record ? &seen : NULL);
    if (result < 0) {
        wire->error = result;
        return result;
    }
    wire->counters.cycles += count;
    record(wire, 'x', count, drive, out, seen);
    if (in)
        *in = seen;
    return 0;
}

static void flush(struct swd_wire *wire)
{
    uint32_t count = wire->queued;

    wire->queued = 0;
    if (count && !wire->error)
        exchange(wire, count, wire->queue, 1, NULL);
    wire->queue = 0;
}

static void drive(struct swd_wire *wire, uint64_t bits, uint32_t count) /* at most 63 bits */
{
    uint32_t room = 64 - wire->queued;

    wire->queue |= bits << wire->queued;
    if (count < room) {
        wire->queued += count;
        return;
    }
    wire->queued = 64;
    flush(wire);
    wire->queue = bits >> room;
    wire->queued = count - room;
}

static uint64_t listen(struct swd_wire *wire, uint32_t count)
{
    uint64_t in = 0;

    flush(wire);
    exchange(wire, count, 0, 0, &in);
    return in;
}

static enum swd_status finish(struct swd_wire *wire, enum swd_status status)
{
    for (uint32_t left = wire->idle_clocks; left;) {
        uint32_t now = left < 32 ? left : 32;
        drive(wire, 0, now);
        left -= now;
    }
    flush(wire);
    return wire->error ? SWD_BROKEN : status;
}

/* A broken set of pins is reported by the operation that met it; the next one tries anew. */
static void begin(struct swd_wire *wire)
{
    wire->error = 0;
    wire->queue = 0;
    wire->queued = 0;
}

/* -- one transfer ------------------------------------------------------------------------------------------------ */

static uint64_t header(uint32_t request) /* start, APnDP, RnW, A[3:2], parity, stop, park (B4.2.1) */
{
    uint32_t fields = request & 0xF;

    return 0x81u | fields << 1 | (uint32_t)__builtin_parity(fields) << 5;
}

static void note_dp_write(struct swd_wire *wire, uint32_t address, uint32_t value)
{
    if (address == DP_SELECT)
        wire->bank = value & 0xF;
    else if (address == DP_CTRL_STAT && wire->bank == 0)
        wire->data_always = value & 1;
    else if (address == DP_CTRL_STAT && wire->bank == 1)
        wire->turnaround = (value >> 8 & 3) + 1;
}

static enum swd_status refused(uint32_t ack)
{
    switch (ack) {
    case ACK_WAIT:
        return SWD_WAITED;
    case ACK_FAULT:
        return SWD_FAULTED;
    case ACK_SILENT:
        return SWD_SILENT;
    case 0:
        return SWD_HELD_LOW;
    default:
        return SWD_GARBLED;
    }
}

static enum swd_status read_once(struct swd_wire *wire, uint32_t request, uint32_t *value, uint32_t *ack)
{
    uint32_t turnaround = wire->turnaround;
    uint64_t data;

    drive(wire, header(request), 8);
    *ack = (uint32_t)(listen(wire, turnaround + 3) >> turnaround);
    if ((*ack == ACK_WAIT || *ack == ACK_FAULT) && !wire->data_always) {
        listen(wire, turnaround);
        return refused(*ack);
    }
    /* Without an acknowledgement the target may still be sending: leave it the line for a data phase (B4.2.5). */
    data = listen(wire, 33 + turnaround);
    if (*ack != ACK_OK)
        return refused(*ack);
    *value = (uint32_t)data;
    return ((uint32_t)__builtin_parity(*value) ^ (uint32_t)(data >> 32)) & 1u ? SWD_PARITY : SWD_OK;
}

static enum swd_status write_once(struct swd_wire *wire, uint32_t request, uint32_t value, uint32_t *ack)
{
    uint32_t turnaround = wire->turnaround;
    int unanswered = request == DP_TARGETSEL; /* nobody drives its acknowledgement (B4.3.4) */

    drive(wire, header(request), 8);
    *ack = (uint32_t)(listen(wire, 2 * turnaround + 3) >> turnaround) & 7;
    if ((*ack == ACK_WAIT || *ack == ACK_FAULT) && !unanswered) {
        if (wire->data_always) /* a data phase that the target ignores (B4.2.4) */
            drive(wire, 0, 33);
        return refused(*ack);
    }
    if (*ack != ACK_OK && !unanswered) {
        /* A released data phase is all ones, and their parity is wrong: a target that did acknowledge, unheard,
         * drops the write and sets WDATAERR. */
        listen(wire, 33);
        return refused(*ack);
    }
    drive(wire, (uint64_t)(uint32_t)__builtin_parity(value) << 32 | value, 33);
    if (!(request & SWD_AP))
        note_dp_write(wire, request & SWD_ADDRESS, value);
    return SWD_OK;
}

static enum swd_status transfer(struct swd_wire *wire, uint32_t request, uint32_t *value, uint32_t *ack)
{
    uint64_t deadline = wire->counters.cycles + (uint64_t)wire->hz * wire->wait_budget_ms / 1000;
    enum swd_status status;

    for (;;) {
        if (atomic_load_explicit(&wire->cancelled, memory_order_relaxed))
            return SWD_CANCELLED;
        wire->counters.transfers++;
        status = request & SWD_READ ? read_once(wire, request, value, ack) : write_once(wire, request, *value, ack);
        if (wire->error)
            return SWD_BROKEN;
        if (status != SWD_WAITED)
            break;
        wire->counters.waits++;
        /* With overrun detection the WAIT itself has set STICKYORUN: repeating could only fault (B2.3.2). */
        if (wire->data_always || wire->counters.cycles >= deadline)
            break;
    }
    if (status == SWD_PARITY && (request & SWD_AP || (request & SWD_ADDRESS) == DP_RDBUFF)) {
        wire->counters.resends++;
        status = read_once(wire, SWD_READ | DP_RESEND, value, ack);
        if (wire->error)
            status = SWD_BROKEN;
    }
    return status;
}

/* -- operations -------------------------------------------------------------------------------------------------- */

static uint32_t load(const uint8_t *word)
{
    return word[0] | (uint32_t)word[1] << 8 | (uint32_t)word[2] << 16 | (uint32_t)word[3] << 24;
}

static void store(uint8_t *word, uint32_t value)
{
    for (int byte = 0; byte < 4; byte++)
        word[byte] = (uint8_t)(value >> 8 * byte);
}

/* AP reads are posted: each returns what the one before it asked for, and RDBUFF what the last one did (B2.2.7). After
 * AP writes RDBUFF answers only when the last has been performed, or FAULT when one failed. */
enum swd_status swd_wire_run(struct swd_wire *wire, const struct swd_access *accesses, uint32_t count,
                             struct swd_failure *failure)
{
    uint8_t *posted = NULL; /* where the outstanding read's result belongs */
    int unconfirmed = 0;    /* an AP write may still be on its way */
    enum swd_status status = SWD_OK;
    uint32_t value = 0;

    memset(failure, 0, sizeof *failure);
    wire->ones = 0;
    begin(wire);
    for (; failure->access < count && status == SWD_OK; failure->access++) {
        const struct swd_access *access = &accesses[failure->access];
        int posts = (access->request & (SWD_AP | SWD_READ)) == (SWD_AP | SWD_READ);

        for (failure->word = 0; failure->word < access->count; failure->word++) {
            uint8_t *word = access->words + 4 * (size_t)failure->word;

            if (posted && !posts) {
                status = transfer(wire, SWD_READ | DP_RDBUFF, &value, &failure->ack);
                if (status != SWD_OK)
                    break;
                store(posted, value);
                posted = NULL;
            }
            if (!(access->request & SWD_READ))
                value = load(word);
            status = transfer(wire, access->request, &value, &failure->ack);
            if (status != SWD_OK)
                break;
            if (posts) {
                if (posted)
                    store(posted, value);
                posted = word;
            } else if (access->request & SWD_READ) {
                store(word, value);
            }
            unconfirmed = (access->request & (SWD_AP | SWD_READ)) == SWD_AP;
        }
        if (status != SWD_OK)
            break;
    }
    if (status == SWD_OK && (posted || unconfirmed)) {
        failure->word = 0;
        status = transfer(wire, SWD_READ | DP_RDBUFF, &value, &failure->ack);
        if (status == SWD_OK && posted)
            store(posted, value);
    }
    return finish(wire, status);
}

enum swd_status swd_wire_sequence(struct swd_wire *wire, const uint8_t *bits, uint32_t count, uint8_t *seen)
{
    begin(wire);
    for (uint32_t done = 0; done < count;) {
        uint32_t now = count - done < 64 ? count - done : 64;
        uint64_t out = 0, in = 0;

        for (uint32_t byte = 0; byte < (now + 7) / 8; byte++)
            out |= (uint64_t)bits[done / 8 + byte] << 8 * byte;
        if (now < 64)
            out &= (UINT64_C(1) << now) - 1;
        for (uint32_t bit = 0; bit < now; bit++) {
            wire->ones = out >> bit & 1 ? wire->ones + 1 : 0;
            if (wire->ones == LINE_RESET_ONES)
                wire->bank = 0;
        }
        if (exchange(wire, now, out, 1, seen ? &in : NULL) < 0)
            return SWD_BROKEN;
        if (seen)
            for (uint32_t byte = 0; byte < (now + 7) / 8; byte++)
                seen[done / 8 + byte] = (uint8_t)(in >> 8 * byte);
        done += now;
    }
    return SWD_OK;
}

enum swd_status swd_wire_listen(struct swd_wire *wire, uint32_t count, uint64_t *in)
{
    begin(wire);
    wire->ones = 0;
    return outcome(wire, exchange(wire, count, 0, 0, in));
}

enum swd_status swd_wire_set_clock(struct swd_wire *wire, uint32_t hz)
{
    enum swd_status status = outcome(wire, wire->pins.set_clock(wire->pins.ctx, hz));

    if (status == SWD_OK) {
        wire->hz = hz;
        record(wire, 'c', 0, 0, hz, 0);
    }
    return status;
}

enum swd_status swd_wire_drive_pins(struct swd_wire *wire, int driven)
{
    record(wire, 'p', 0, 0, driven != 0, 0);
    return outcome(wire, wire->pins.drive_pins(wire->pins.ctx, driven));
}

enum swd_status swd_wire_set_line(struct swd_wire *wire, uint32_t line, int level)
{
    if (line == SWD_LINE_POWER) { /* the debug port starts anew with its defaults */
        wire->turnaround = 1;
        wire->bank = wire->data_always = 0;
    }
    record(wire, 'l', line, 0, level != 0, 0);
    return outcome(wire, wire->pins.set_line(wire->pins.ctx, line, level));
}

enum swd_status swd_wire_get_line(struct swd_wire *wire, uint32_t line, int *level)
{
    return outcome(wire, wire->pins.get_line(wire->pins.ctx, line, level));
}

enum swd_status swd_wire_wait(struct swd_wire *wire, uint64_t ns)
{
    record(wire, 'w', 0, 0, ns, 0);
    return outcome(wire, wire->pins.wait(wire->pins.ctx, ns));
}
