/* Two ways to the wire through a stream socket, each next to the slave so that a bit costs no Python.
 *
 * - "wire": requests of 12 bytes, the table of pins_v1.h as messages; the SWD core's socket back end is the client.
 * - "bitbang": OpenOCD's remote_bitbang, one character a request (its developer's guide, "remote_bitbang").
 * - pump() serves what is there, lingers a little for more, and returns: 1 while the client is there, 0 when it has
 *   gone or said something that is no request. It never waits for a client that does not read its replies.
 */
#include <Python.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "_wire.h"

enum { REQUEST = 12, INPUT = 1 << 15, OUTPUT = 1 << 15, REPLY = 8, SEND_PATIENCE_MS = 5000 };
enum { OP_EXCHANGE = 1, OP_CLOCK, OP_SET_LINE, OP_GET_LINE, OP_WAIT, OP_PINS, OP_HELLO };
enum { FLAG_DRIVE = 1, FLAG_REPLY = 2 };
enum { NRESET = 0 };

static const uint64_t HELLO = UINT64_C(0x31504C5057445300); /* "\0SDWPLP1" */

typedef struct {
    PyObject_HEAD
    Slave *slave;
    int fd;
    int bitbang;
    int greeted;
    int drives, clock; /* bitbang: SWDIO is driven; level of SWCLK */
    unsigned data;     /* bitbang: the host's SWDIO */
    size_t held, pending;
    uint8_t input[INPUT], output[OUTPUT];
} Door;

static void reply(Door *door, uint64_t value)
{
    for (int byte = 0; byte < REPLY; byte++)
        door->output[door->pending++] = (uint8_t)(value >> 8 * byte);
}

/* One request of the wire door; 0 when it is none. */
static int answer(Door *door, const uint8_t *request)
{
    Slave *slave = door->slave;
    unsigned operation = request[0], count = request[1], flags = request[2];
    uint64_t argument = 0, seen;

    for (int byte = 0; byte < 8; byte++)
        argument |= (uint64_t)request[4 + byte] << 8 * byte;
    if (!door->greeted) {
        door->greeted = operation == OP_HELLO && argument == HELLO;
        if (door->greeted)
            reply(door, HELLO);
        return door->greeted;
    }
    switch (operation) {
    case OP_EXCHANGE:
        if (count < 1 || count > 64)
            return 0;
        slave_exchange(slave, count, argument, flags & FLAG_DRIVE, &seen);
        if (flags & FLAG_REPLY)
            reply(door, seen);
        return 1;
    case OP_CLOCK:
        if (argument < 1 || argument > UINT32_MAX)
            return 0;
        slave_call(slave, SET_CLOCK, "(K)", argument, 0);
        return 1;
    case OP_SET_LINE:
        if (count >= SWD_LINES)
            return 0;
        slave_call(slave, SET_LINE, "(KK)", count, argument != 0);
        return 1;
    case OP_GET_LINE:
        if (count >= SWD_LINES)
            return 0;
        reply(door, slave_call(slave, GET_LINE, "(K)", count, 0));
        return 1;
    case OP_WAIT:
        slave_call(slave, WAIT, "(K)", argument, 0);
        reply(door, 0);
        return 1;
    case OP_PINS:
        slave_call(slave, DRIVE_PINS, "(K)", argument != 0, 0);
        return 1;
    default:
        return 0;
    }
}

/* One character of the bitbang door; 0 when the client is done or makes no sense. */
static int obey(Door *door, uint8_t character)
{
    Slave *slave = door->slave;

    switch (character) {
    case 'd': case 'e': case 'f': case 'g':   /* SWD write: SWCLK, SWDIO */
    case '0': case '1': case '2': case '3':   /* JTAG write: TCK, TMS, TDI; TCK and TMS are the same two pins */
    case '4': case '5': case '6': case '7': {
        int swd = character >= 'd';
        int clock = swd ? (character - 'd') >> 1 : (character - '0') >> 2;
        int drives = swd ? door->drives : 1;

        door->data = swd ? (character - 'd') & 1 : (character - '0') >> 1 & 1;
        if (clock && !door->clock)
            slave_edge(slave, slave_level(slave, drives, door->data));
        door->clock = clock;
        return 1;
    }
    case 'c':
        door->output[door->pending++] = (uint8_t)('0' + slave_level(slave, door->drives, door->data));
        return 1;
    case 'O':
        door->drives = 1;
        return 1;
    case 'o':
        door->drives = 0;
        return 1;
    case 'r': case 's': case 't': case 'u':   /* TRST is not wired; SRST is NRST */
        slave_call(slave, SET_LINE, "(KK)", NRESET, !((character - 'r') & 1));
        return 1;
    case 'R':   /* TDO is not wired: the line floats high */
        door->output[door->pending++] = '1';
        return 1;
    case 'Z':
        slave_call(slave, WAIT, "(K)", 1000000, 0);
        return 1;
    case 'z':
        slave_call(slave, WAIT, "(K)", 1000, 0);
        return 1;
    case 'B': case 'b':
        return 1;
    default:    /* 'Q' among them */
        return 0;
    }
}

static int send_replies(Door *door)
{
    size_t done = 0;

    while (done < door->pending) {
        ssize_t sent = send(door->fd, door->output + done, door->pending - done, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent > 0) {
            done += (size_t)sent;
        } else if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            struct pollfd ready = {.fd = door->fd, .events = POLLOUT};

            if (poll(&ready, 1, SEND_PATIENCE_MS) <= 0)
                return 0;
        } else if (sent < 0 && errno != EINTR) {
            return 0;
        }
    }
    door->pending = 0;
    return 1;
}

static int serve_input(Door *door)
{
    size_t unit = door->bitbang ? 1 : REQUEST, at = 0;
    int going = 1;

    while (going && door->held - at >= unit) {
        if (OUTPUT - door->pending < REPLY && !send_replies(door))
            return 0;
        going = door->bitbang ? obey(door, door->input[at]) : answer(door, door->input + at);
        going = going && door->slave->failure == NULL;
        at += unit;
    }
    memmove(door->input, door->input + at, door->held - at);
    door->held -= at;
    return send_replies(door) && going;
}

static int64_t microseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int pump_until(Door *door, int64_t linger_us, int64_t deadline)
{
    for (;;) {
        ssize_t got = recv(door->fd, door->input + door->held, INPUT - door->held, MSG_DONTWAIT);

        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
            return 0;
        if (got > 0) {
            door->held += (size_t)got;
            if (!serve_input(door))
                return 0;
        } else if (got < 0 && errno != EINTR) {
            struct pollfd ready = {.fd = door->fd, .events = POLLIN};
            struct timespec linger = {.tv_nsec = linger_us * 1000};

            if (ppoll(&ready, 1, &linger, NULL) == 0)
                return 1;
        }
        if (microseconds() >= deadline)
            return 1;
    }
}

static PyObject *pump(Door *self, PyObject *args)
{
    long linger_us, budget_us;
    int result;

    if (!PyArg_ParseTuple(args, "ll", &linger_us, &budget_us))
        return NULL;
    if (linger_us < 0 || linger_us > 999999) {
        PyErr_SetString(PyExc_ValueError, "linger is 0 to 999999 us");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    result = pump_until(self, linger_us, microseconds() + budget_us);
    Py_END_ALLOW_THREADS
    if (self->slave->failure != NULL)
        return slave_raise(self->slave);
    return PyBool_FromLong(result);
}

static int door_init(Door *self, PyObject *args, PyObject *Py_UNUSED(keywords))
{
    PyObject *type = PyType_GetModule(Py_TYPE((PyObject *)self)), *slave, *slave_class;
    int fd, bitbang, matches;

    if (type == NULL || !PyArg_ParseTuple(args, "Oip", &slave, &fd, &bitbang))
        return -1;
    slave_class = PyObject_GetAttrString(type, "Slave");
    if (slave_class == NULL)
        return -1;
    matches = PyObject_IsInstance(slave, slave_class);
    Py_DECREF(slave_class);
    if (matches <= 0) {
        if (matches == 0)
            PyErr_SetString(PyExc_TypeError, "a door leads to a Slave");
        return -1;
    }
    Py_INCREF(slave);
    Py_XDECREF((PyObject *)self->slave);
    self->slave = (Slave *)slave;
    self->fd = fd;
    self->bitbang = bitbang;
    self->drives = 1;
    return 0;
}

static void door_dealloc(Door *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

    Py_XDECREF((PyObject *)self->slave);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef door_methods[] = {
    {"pump", (PyCFunction)pump, METH_VARARGS,
     "pump(linger_us, budget_us): serves the client; False when it has gone or talks nonsense."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot door_slots[] = {
    {Py_tp_doc, "Door(slave, fd, bitbang): one client of the wire. The descriptor stays the caller's."},
    {Py_tp_init, door_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, door_dealloc},
    {Py_tp_methods, door_methods},
    {0, NULL},
};

static PyType_Spec door_spec = {
    .name = "hil.virtual_nucleo._wire.Door",
    .basicsize = sizeof(Door),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = door_slots,
};

PyObject *door_type(PyObject *module)
{
    return PyType_FromModuleAndSpec(module, &door_spec, NULL);
}
