/* The target's end of two wires: an SWD slave that sees SWCLK's rising edges and drives SWDIO.
 *
 * - A pure bit machine (ADIv5.2 B4, B5): line reset, SWJ and dormant switching, requests, turnaround, acknowledgement,
 *   data and parity. What a request means is the business of the Python object it was made with (wire.py).
 * - One cycle: the host sees the line's level, then SWCLK rises, the target samples that level and only then changes
 *   what it drives. A line that nobody drives is high; against each other, low wins.
 * - Only whole transfers cross to Python, and not even those of a run of memory words for which Python has opened a
 *   window: their data is kept here and handed over together. Python is told of cycles gone by with every crossing.
 * - One thread at a time; Python's lock is not needed here and taken for a crossing.
 */
#include <Python.h>

#include <errno.h>

#include "_wire.h"

enum state { LOCKED, RESET, IDLE, REQUEST, TURN, ACK, READ, WRITE_TURN, WRITE, SKIP, END_TURN };

enum { OK = 1, NOBODY = 7 };
enum { AP = 1, RNW = 2, DRW_WRITE = 0xD, DRW_READ = 0xF }; /* request bits: APnDP, RnW, A2, A3 */
enum { RESET_ONES = 50, TLR_ONES = 5, CLOCKING_THROUGH = 8 };

static const uint32_t JTAG_TO_SWD = 0xE79E, SWD_TO_JTAG = 0xE73C, SWD_TO_DORMANT = 0xE3BC, JTAG_TO_DORMANT = 0x33BBBBBA;
static const uint64_t ALERT_LOW = UINT64_C(0x86852D956209F392), ALERT_HIGH = UINT64_C(0x19BC0EA2E3DDAFE9);
static const uint32_t ACTIVATE_SWD = 0x1A, ACTIVATE_JTAG = 0x0A;

static unsigned odd(uint32_t word)
{
    return (unsigned)__builtin_parity(word);
}

/* -- crossing to Python ------------------------------------------------------------------------------------------ */

/* Calls the target; its answer as a number (None is 0). An exception stays set aside and breaks the wire. */
static uint64_t cross(Slave *slave, enum callback which, const char *format, ...)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    uint64_t answer = 0;

    if (slave->failure == NULL && slave->calls[which] != NULL) {
        va_list arguments;
        PyObject *tuple, *result = NULL;

        va_start(arguments, format);
        tuple = Py_VaBuildValue(format, arguments);
        va_end(arguments);
        if (tuple != NULL)
            result = PyObject_CallObject(slave->calls[which], tuple);
        Py_XDECREF(tuple);
        if (result != NULL && result != Py_None)
            answer = PyLong_AsUnsignedLongLong(result);
        Py_XDECREF(result);
        if (PyErr_Occurred()) {
            PyObject *kind, *value, *trace;

            PyErr_Fetch(&kind, &value, &trace);
            PyErr_NormalizeException(&kind, &value, &trace);
            if (trace != NULL)
                PyException_SetTraceback(value, trace);
            Py_XDECREF(kind);
            Py_XDECREF(trace);
            slave->failure = value;
            answer = 0;
        }
    }
    PyGILState_Release(gil);
    return answer;
}

static uint64_t untold(Slave *slave)
{
    uint64_t cycles = slave->cycles - slave->told;

    slave->told = slave->cycles;
    return cycles;
}

/* A word that was written takes effect when it has been clocked through: eight cycles after its parity (B4.1.1). */
static void write_late(Slave *slave, unsigned request, uint32_t word, unsigned good)
{
    slave->late = 1;
    slave->late_request = request;
    slave->late_word = word;
    slave->late_good = good;
}

static void clocked_through(Slave *slave)
{
    slave->late = 0;
    cross(slave, WRITTEN, "(IIIK)", slave->late_request, (unsigned)slave->late_word, slave->late_good,
          (unsigned long long)untold(slave));
}

/* Hands over what a window has collected. Afterwards the target knows everything but the cycles it is told next. */
static void close_window(Slave *slave)
{
    enum slave_window window = slave->window;
    unsigned done = slave->done;

    if (window == WRITES && done > 0 && slave->cycles < slave->late_at) {
        done--;
        write_late(slave, DRW_WRITE, slave->words[done], 1);
    }
    slave->window = CLOSED;
    slave->done = 0;
    if (window == WRITES && done > 0)
        cross(slave, WORDS_WRITTEN, "(y#K)", (const char *)slave->words, (Py_ssize_t)(4 * done),
              (unsigned long long)untold(slave));
    else if (window == READS && done > 0)
        cross(slave, WORDS_READ, "(IK)", done, (unsigned long long)untold(slave));
}

void slave_settle(Slave *slave)
{
    slave->dirty = 0;
    close_window(slave);
    if (slave->told != slave->cycles)
        cross(slave, PASS_CYCLES, "(K)", (unsigned long long)untold(slave));
}

/* -- faults on the line ------------------------------------------------------------------------------------------ */

static void arm(Slave *slave)
{
    const struct line_fault *fault;

    slave->fault_from = slave->fault_until = NEVER;
    while (slave->fault < slave->faults && slave->plan[slave->fault].transfer < slave->armed_transfer)
        slave->fault++;
    if (slave->fault == slave->faults)
        return;
    fault = &slave->plan[slave->fault];
    if (fault->transfer == slave->armed_transfer) {
        slave->fault_from = slave->started_at + fault->offset;
        slave->fault_until = slave->fault_from + fault->length;
    }
}

static unsigned bent(Slave *slave, unsigned line)
{
    while (slave->cycles >= slave->fault_until) {
        slave->fault++;
        arm(slave);
    }
    if (slave->cycles < slave->fault_from)
        return line;
    switch (slave->plan[slave->fault].kind) {
    case FAULT_LOW:
        return 0;
    case FAULT_HIGH:
        return 1;
    case FAULT_FLIP:
        return !line;
    default:
        return line;
    }
}

/* A planned event comes true once, at the rising edge of its cycle. */
static void happen(Slave *slave)
{
    unsigned index;

    if (slave->cycles != slave->fault_from || slave->plan[slave->fault].kind != FAULT_EVENT)
        return;
    index = slave->plan[slave->fault].index;
    slave->fault++;
    arm(slave);
    slave_settle(slave);
    cross(slave, PLANNED, "(I)", index);
}

/* -- which protocol ---------------------------------------------------------------------------------------------- */

void slave_enter(Slave *slave, enum slave_mode mode)
{
    close_window(slave);
    slave->mode = mode;
    slave->state = LOCKED;
    slave->driving = 0;
    slave->collecting = 0;
    slave->alert_low = slave->alert_high = 0;
    slave->activating = -1;
    slave->epoch++;
}

static void collect(Slave *slave, unsigned line)
{
    slave->collected |= (uint32_t)line << slave->collecting++;
    if (slave->mode == SWD && slave->collecting == 16) {
        slave->collecting = 0;
        if (slave->collected == SWD_TO_JTAG)
            slave_enter(slave, JTAG);
        else if (slave->collected == SWD_TO_DORMANT && slave->dormant)
            slave_enter(slave, DORMANT);
    } else if (slave->mode == JTAG && slave->collecting == 16 && slave->long_run && slave->collected == JTAG_TO_SWD) {
        slave_enter(slave, SWD);
    } else if (slave->collecting == 31) {
        slave->collecting = 0;
        if (slave->collected == JTAG_TO_DORMANT && slave->dormant)
            slave_enter(slave, DORMANT);
    }
}

static void reset_line(Slave *slave)
{
    slave_settle(slave);
    slave->driving = 0;
    slave->state = RESET;
    slave->position = 0;
    slave->turnaround = 1; /* DLCR.TURNROUND after a line reset (B2.2.3) */
    cross(slave, LINE_WAS_RESET, "()");
}

/* Runs of ones, and the 16 or 31 bits after them (B5.2, B5.3). */
static void watch(Slave *slave, unsigned line)
{
    if (line) {
        if (slave->collecting)
            collect(slave, 1);
        slave->ones += slave->ones < 255;
        if (slave->ones == RESET_ONES && slave->mode == SWD)
            reset_line(slave);
        return;
    }
    if (slave->ones >= RESET_ONES || (slave->mode == JTAG && slave->ones >= TLR_ONES)) {
        slave->collecting = 1; /* this zero is the first bit */
        slave->collected = 0;
        slave->long_run = slave->ones >= RESET_ONES;
    } else if (slave->collecting) {
        collect(slave, 0);
    }
    slave->ones = 0;
}

/* Dormant: everything is ignored but the selection alert, four zeros and an activation code (B5.3.4). */
static void sleep_on(Slave *slave, unsigned line)
{
    if (slave->activating >= 0) {
        slave->collected |= (uint32_t)line << slave->activating++;
        if (slave->activating == 12) {
            uint32_t code = slave->collected;

            slave->activating = -1;
            if (code == ACTIVATE_SWD << 4)
                slave_enter(slave, SWD);
            else if (code == ACTIVATE_JTAG << 4)
                slave_enter(slave, JTAG);
        }
        return;
    }
    slave->alert_low = slave->alert_low >> 1 | slave->alert_high << 63;
    slave->alert_high = slave->alert_high >> 1 | (uint64_t)line << 63;
    if (slave->alert_low == ALERT_LOW && slave->alert_high == ALERT_HIGH) {
        slave->activating = 0;
        slave->collected = 0;
        slave->alert_low = slave->alert_high = 0;
    }
}

/* -- transfers --------------------------------------------------------------------------------------------------- */

static int in_window(Slave *slave)
{
    if (slave->armed_transfer >= slave->watched_transfer)
        return 0;
    return (slave->window == WRITES && slave->request == DRW_WRITE && slave->done < slave->room) ||
           (slave->window == READS && slave->request == DRW_READ && slave->done < slave->room);
}

static void put(Slave *slave, unsigned level)
{
    slave->driving = 1;
    slave->level = level & 1;
}

/* The turnaround is over: acknowledge. */
static void acknowledge(Slave *slave)
{
    unsigned epoch = slave->epoch;

    slave->dirty = 1;
    slave->windowed = in_window(slave);
    if (slave->windowed) {
        slave->ack = OK;
        if (slave->window == READS)
            slave->data = slave->words[slave->done++];
    } else {
        uint64_t answer;

        close_window(slave);
        answer = cross(slave, ANSWER, "(IKK)", (unsigned)slave->request, (unsigned long long)slave->armed_transfer,
                       (unsigned long long)untold(slave));
        if (slave->epoch != epoch)
            return;
        slave->ack = slave->failure != NULL ? NOBODY : (unsigned)(answer & 7);
        slave->data = (uint32_t)(answer >> 3);
    }
    if (slave->ack == NOBODY) {
        slave->state = LOCKED;
        return;
    }
    slave->parity = odd(slave->data);
    slave->state = ACK;
    slave->position = 1;
    put(slave, slave->ack);
}

static void acknowledged(Slave *slave)
{
    unsigned reading = slave->request & RNW;

    if (slave->ack == OK && reading) {
        slave->state = READ;
        slave->position = 1;
        put(slave, slave->data);
        return;
    }
    slave->driving = 0;
    if (slave->ack == OK) {
        slave->state = WRITE_TURN;
        slave->position = slave->turnaround;
        slave->data = 0;
    } else if (slave->overrun_detection) { /* B4.2.4: the data phase is always there */
        slave->state = SKIP;
        slave->position = slave->turnaround + 33;
    } else {
        slave->state = END_TURN;
        slave->position = slave->turnaround;
    }
}

static void take_word(Slave *slave, unsigned parity)
{
    unsigned good = parity == odd(slave->data);

    slave->state = IDLE;
    slave->idle = 0;
    if (slave->windowed && good && slave->window == WRITES) {
        slave->words[slave->done++] = slave->data;
    } else {
        close_window(slave);
        write_late(slave, slave->request, slave->data, good);
    }
    slave->late_at = slave->cycles + CLOCKING_THROUGH;
}

static void understand(Slave *slave)
{
    unsigned request = slave->shift >> 1 & 0xF;
    unsigned good = odd(request) == (slave->shift >> 5 & 1) && !(slave->shift & 0x40) && slave->shift & 0x80;

    slave->request = request;
    slave->state = good ? TURN : LOCKED; /* B4.2.6: a protocol error is not answered */
    slave->position = slave->turnaround;
}

static void transfer(Slave *slave, unsigned line)
{
    switch (slave->state) {
    case LOCKED:
        break;
    case RESET: /* at least two idle cycles end a line reset (B4.3.3) */
        if (line && slave->position > 0)
            slave->state = LOCKED;
        else if (!line && ++slave->position == 2) {
            slave->state = IDLE;
            slave->idle = 0;
        }
        break;
    case IDLE:
        if (line) {
            slave->state = REQUEST;
            slave->shift = 1;
            slave->position = 1;
            slave->started_at = slave->cycles - 1;
            slave->armed_transfer = slave->transfers++;
            arm(slave);
        } else if (slave->idle < CLOCKING_THROUGH && ++slave->idle == CLOCKING_THROUGH && slave->dirty) {
            slave_settle(slave);
        }
        break;
    case REQUEST:
        slave->shift |= line << slave->position;
        if (++slave->position == 8)
            understand(slave);
        break;
    case TURN:
        if (--slave->position == 0)
            acknowledge(slave);
        break;
    case ACK:
        if (slave->position < 3)
            put(slave, slave->ack >> slave->position++);
        else
            acknowledged(slave);
        break;
    case READ:
        if (slave->position < 32)
            put(slave, slave->data >> slave->position++);
        else if (slave->position++ == 32)
            put(slave, slave->parity);
        else {
            slave->driving = 0;
            slave->state = END_TURN;
            slave->position = slave->turnaround;
        }
        break;
    case WRITE_TURN:
        if (--slave->position == 0)
            slave->state = WRITE;
        break;
    case WRITE:
        if (slave->position < 32)
            slave->data |= (uint32_t)line << slave->position++;
        else
            take_word(slave, line);
        break;
    case SKIP:
    case END_TURN:
        if (--slave->position == 0) {
            slave->state = IDLE;
            slave->idle = 0;
        }
        break;
    }
}

/* -- the line ---------------------------------------------------------------------------------------------------- */

unsigned slave_level(Slave *slave, int host_drives, unsigned host)
{
    unsigned line = host_drives ? host & 1 : 1;

    if (slave->driving)
        line = host_drives ? line & slave->level : slave->level;
    return slave->cycles >= slave->fault_from ? bent(slave, line) : line;
}

void slave_edge(Slave *slave, unsigned line)
{
    unsigned epoch = slave->epoch;

    if (slave->cycles == slave->fault_from)
        happen(slave);
    slave->cycles++;
    if (slave->late && slave->cycles >= slave->late_at)
        clocked_through(slave);
    if (slave->cycles >= slave->horizon)
        slave_settle(slave);
    if (slave->epoch != epoch)
        return; /* power came or went in this cycle */
    if (slave->mode == DORMANT)
        sleep_on(slave, line);
    else if (slave->mode != OFF) {
        watch(slave, slave->driving ? 0 : line);
        if (slave->mode == SWD && slave->epoch == epoch)
            transfer(slave, line);
    }
}

int slave_exchange(Slave *slave, uint32_t count, uint64_t out, int drive, uint64_t *in)
{
    uint64_t seen = 0;

    for (uint32_t cycle = 0; cycle < count; cycle++) {
        unsigned line = slave_level(slave, drive, (unsigned)(out >> cycle & 1));

        seen |= (uint64_t)line << cycle;
        slave_edge(slave, line);
    }
    if (in != NULL)
        *in = seen;
    return slave->failure == NULL ? 0 : -EIO;
}

uint64_t slave_call(Slave *slave, enum callback which, const char *format, uint64_t first, uint64_t second)
{
    return cross(slave, which, format, (unsigned long long)first, (unsigned long long)second);
}
