/* The extension module appliance.swd._core: a Port is one set of pins with the wire protocol on top.
 *
 * Every method is one whole operation: arguments are taken apart first, then Python's lock is given up, the port's own
 * lock is taken, the wire is worked, and the outcome is turned into objects. Any thread may call any port; calls to one
 * port queue up. Failures on the wire are _core.WireFailure(status, access, word, ack), failures of the pins OSError.
 */
#include <Python.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "pins.h"
#include "pins_object.h"
#include "wire.h"

enum { SEQUENCE_LIMIT = 1 << 16, WORDS_LIMIT = 1 << 22, ACCESSES_LIMIT = 1 << 16, RECORD_LIMIT = 1 << 24 };

typedef struct {
    PyObject_HEAD
    struct swd_wire wire;
    pthread_mutex_t lock;
    int ready, open;
    PyObject *capsule; /* keeps foreign pins alive */
    PyObject *failure; /* the WireFailure class */
} Port;

typedef struct {
    PyObject *port_type, *failure;
} ModuleState;

/* -- working the wire -------------------------------------------------------------------------------------------- */

/* Runs the statement without Python's lock and with the port's. status is left SWD_BROKEN with EBADF on a closed port,
 * with EDEADLK when the port's own pins call back into it. */
#define WORK(port, status, statement)                          \
    do {                                                       \
        Py_BEGIN_ALLOW_THREADS                                 \
        int locked_ = pthread_mutex_lock(&(port)->lock);       \
        if (locked_ != 0) {                                    \
            (status) = SWD_BROKEN;                             \
            broken_ = -locked_;                                \
        } else {                                               \
            if (!(port)->open) {                               \
                (status) = SWD_BROKEN;                         \
                broken_ = -EBADF;                              \
            } else {                                           \
                (port)->wire.error = 0;                        \
                statement;                                     \
                broken_ = (port)->wire.error;                  \
            }                                                  \
            pthread_mutex_unlock(&(port)->lock);               \
        }                                                      \
        Py_END_ALLOW_THREADS                                   \
    } while (0)

static PyObject *raise_errno(int negative)
{
    if (!PyErr_Occurred()) { /* an exception of the pins' own object goes first */
        errno = -negative;
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return NULL;
}

static PyObject *raise_failure(Port *port, enum swd_status status, int broken, const struct swd_failure *failure)
{
    PyObject *arguments;

    if (status == SWD_BROKEN || PyErr_Occurred())
        return raise_errno(broken);
    arguments = Py_BuildValue("(iIII)", (int)status, failure->access, failure->word, failure->ack);
    if (arguments) {
        PyErr_SetObject(port->failure, arguments);
        Py_DECREF(arguments);
    }
    return NULL;
}

static PyObject *none_or_failure(Port *port, enum swd_status status, int broken)
{
    static const struct swd_failure nowhere;

    if (status != SWD_OK || PyErr_Occurred())
        return raise_failure(port, status, broken, &nowhere);
    Py_RETURN_NONE;
}

/* -- transfers --------------------------------------------------------------------------------------------------- */

struct parsed { /* accesses as C needs them, and the Python objects their words live in */
    struct swd_access *accesses;
    Py_buffer *views;   /* one for each write of a block */
    PyObject **results; /* one bytes object for each read */
    uint8_t *singles;   /* words of single writes */
    Py_ssize_t count, viewed, read;
};

static void release(struct parsed *parsed)
{
    for (Py_ssize_t view = 0; view < parsed->viewed; view++)
        PyBuffer_Release(&parsed->views[view]);
    for (Py_ssize_t result = 0; result < parsed->read; result++)
        Py_XDECREF(parsed->results[result]);
    free(parsed->accesses);
    free(parsed->views);
    free(parsed->results);
    free(parsed->singles);
}

static int parse_access(struct parsed *parsed, Py_ssize_t index, PyObject *item)
{
    struct swd_access *access = &parsed->accesses[index];
    unsigned long request, value = 0;
    PyObject *payload;

    if (!PyTuple_Check(item) || PyTuple_Size(item) != 2) {
        PyErr_SetString(PyExc_TypeError, "an access is a tuple (request, payload)");
        return -1;
    }
    request = PyLong_AsUnsignedLong(PyTuple_GetItem(item, 0));
    if (PyErr_Occurred())
        return -1;
    if (request > 0xF) {
        PyErr_SetString(PyExc_ValueError, "a request is APnDP | RnW << 1 | A[3:2]");
        return -1;
    }
    access->request = (uint8_t)request;
    payload = PyTuple_GetItem(item, 1);
    if (request & SWD_READ || PyLong_Check(payload)) {
        value = PyLong_AsUnsignedLong(payload);
        if (PyErr_Occurred())
            return -1;
        if (value > (request & SWD_READ ? (unsigned long)WORDS_LIMIT : 0xFFFFFFFFul)) {
            PyErr_SetString(PyExc_ValueError, request & SWD_READ ? "too many words" : "a word has 32 bits");
            return -1;
        }
    }
    if (request & SWD_READ) {
        PyObject *result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)value * 4);
        if (!result)
            return -1;
        parsed->results[parsed->read++] = result;
        access->count = (uint32_t)value;
        access->words = (uint8_t *)PyBytes_AsString(result); /* ours alone until it is returned */
        memset(access->words, 0, (size_t)value * 4);
    } else if (PyLong_Check(payload)) {
        access->count = 1;
        access->words = parsed->singles + 4 * index;
        for (int byte = 0; byte < 4; byte++)
            access->words[byte] = (uint8_t)(value >> 8 * byte);
    } else {
        Py_buffer *view = &parsed->views[parsed->viewed];
        if (PyObject_GetBuffer(payload, view, PyBUF_SIMPLE) < 0)
            return -1;
        parsed->viewed++;
        if (view->len % 4 || view->len / 4 > WORDS_LIMIT) {
            PyErr_SetString(PyExc_ValueError, "a block is a whole number of words, and not too many");
            return -1;
        }
        access->count = (uint32_t)(view->len / 4);
        access->words = view->buf;
    }
    return 0;
}

static int parse(struct parsed *parsed, PyObject *list)
{
    Py_ssize_t count = PyList_Check(list) ? PyList_Size(list) : -1;

    memset(parsed, 0, sizeof *parsed);
    if (count < 0 || count > ACCESSES_LIMIT) {
        PyErr_SetString(PyExc_TypeError, "accesses are a list, and not too long");
        return -1;
    }
    parsed->accesses = calloc((size_t)count + 1, sizeof *parsed->accesses);
    parsed->views = calloc((size_t)count + 1, sizeof *parsed->views);
    parsed->results = calloc((size_t)count + 1, sizeof *parsed->results);
    parsed->singles = calloc((size_t)count + 1, 4);
    parsed->count = count;
    if (!parsed->accesses || !parsed->views || !parsed->results || !parsed->singles) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t index = 0; index < count; index++)
        if (parse_access(parsed, index, PyList_GetItem(list, index)) < 0)
            return -1;
    return 0;
}

static PyObject *port_run(Port *port, PyObject *list)
{
    enum swd_status status = SWD_OK;
    struct swd_failure failure;
    struct parsed parsed;
    PyObject *results = NULL;
    int broken_ = 0;

    if (parse(&parsed, list) < 0) {
        release(&parsed);
        return NULL;
    }
    WORK(port, status, status = swd_wire_run(&port->wire, parsed.accesses, (uint32_t)parsed.count, &failure));
    if (status != SWD_OK || PyErr_Occurred()) {
        raise_failure(port, status, broken_, &failure);
    } else if ((results = PyList_New(parsed.read)) != NULL) {
        for (Py_ssize_t read = 0; read < parsed.read; read++) {
            PyList_SetItem(results, read, parsed.results[read]); /* steals */
            parsed.results[read] = NULL;
        }
    }
    release(&parsed);
    return results;
}

/* -- sequences, lines, time -------------------------------------------------------------------------------------- */

static PyObject *port_sequence(Port *port, PyObject *arguments)
{
    enum swd_status status = SWD_OK;
    unsigned int count;
    int broken_ = 0;
    PyObject *seen;
    Py_buffer bits;

    if (!PyArg_ParseTuple(arguments, "Iy*:sequence", &count, &bits))
        return NULL;
    if (count > SEQUENCE_LIMIT || (Py_ssize_t)((count + 7) / 8) > bits.len) {
        PyBuffer_Release(&bits);
        return PyErr_Format(PyExc_ValueError, "%u bits are too many, or more than were given", count);
    }
    seen = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)((count + 7) / 8));
    if (seen) {
        uint8_t *into = (uint8_t *)PyBytes_AsString(seen);
        WORK(port, status, status = swd_wire_sequence(&port->wire, bits.buf, count, into));
        if (status != SWD_OK || PyErr_Occurred()) {
            Py_CLEAR(seen);
            none_or_failure(port, status, broken_);
        }
    }
    PyBuffer_Release(&bits);
    return seen;
}

static PyObject *port_listen(Port *port, PyObject *arguments)
{
    enum swd_status status = SWD_OK;
    unsigned int count;
    uint64_t in = 0;
    int broken_ = 0;

    if (!PyArg_ParseTuple(arguments, "I:listen", &count))
        return NULL;
    if (count < 1 || count > 64)
        return PyErr_Format(PyExc_ValueError, "1 to 64 cycles can be listened to, not %u", count);
    WORK(port, status, status = swd_wire_listen(&port->wire, count, &in));
    if (status != SWD_OK || PyErr_Occurred())
        return none_or_failure(port, status, broken_);
    return PyLong_FromUnsignedLongLong(in);
}

static PyObject *port_set_clock(Port *port, PyObject *arguments)
{
    enum swd_status status = SWD_OK;
    unsigned int hz;
    int broken_ = 0;

    if (!PyArg_ParseTuple(arguments, "I:set_clock", &hz))
        return NULL;
    if (hz < 1)
        return PyErr_Format(PyExc_ValueError, "a clock of 0 Hz");
    WORK(port, status, status = swd_wire_set_clock(&port->wire, hz));
    return none_or_failure(port, status, broken_);
}

static PyObject *port_drive_pins(Port *port, PyObject *arguments)
{
    enum swd_status status = SWD_OK;
    int driven, broken_ = 0;

    if (!PyArg_ParseTuple(arguments, "p:drive_pins", &driven))
        return NULL;
    WORK(port, status, status = swd_wire_drive_pins(&port->wire, driven));
    return none_or_failure(port, status, broken_);
}

static PyObject *port_set_line(Port *port, PyObject *arguments)
{
    enum swd_status status = SWD_OK;
    unsigned int line;
    int level, broken_ = 0;

    if (!PyArg_ParseTuple(arguments, "Ip:set_line", &line, &level))
        return NULL;
    if (line >= SWD_LINES)
        return PyErr_Format(PyExc_ValueError, "no line %u", line);
    WORK(port, status, status = swd_wire_set_line(&port->wire, line, level));
    return none_or_failure(port, status, broken_);
}

static PyObject *port_get_line(Port *port, PyObject *arguments)
{
    enum swd_status status = SWD_OK;
    unsigned int line;
    int level = 0, broken_ = 0;

    if (!PyArg_ParseTuple(arguments, "I:get_line", &line))
        return NULL;
    if (line >= SWD_LINES)
        return PyErr_Format(PyExc_ValueError, "no line %u", line);
    WORK(port, status, status = swd_wire_get_line(&port->wire, line, &level));
    if (status != SWD_OK || PyErr_Occurred())
        return none_or_failure(port, status, broken_);
    return PyBool_FromLong(level);
}

static PyObject *port_wait(Port *port, PyObject *arguments)
{
    enum swd_status status = SWD_OK;
    unsigned long long ns;
    int broken_ = 0;

    if (!PyArg_ParseTuple(arguments, "K:wait", &ns))
        return NULL;
    WORK(port, status, status = swd_wire_wait(&port->wire, ns));
    return none_or_failure(port, status, broken_);
}

/* -- settings, counters, record ---------------------------------------------------------------------------------- */

static PyObject *port_configure(Port *port, PyObject *arguments)
{
    unsigned int turnaround, data_always, idle_clocks, wait_budget_ms;
    enum swd_status status = SWD_OK;
    int broken_ = 0;

    if (!PyArg_ParseTuple(arguments, "IIII:configure", &turnaround, &data_always, &idle_clocks, &wait_budget_ms))
        return NULL;
    if (turnaround < 1 || turnaround > 4 || data_always > 1 || idle_clocks > 255 || wait_budget_ms > 60000)
        return PyErr_Format(PyExc_ValueError, "turnaround 1..4, idle clocks to 255, WAIT budget to 60 s");
    WORK(port, status, {
        port->wire.turnaround = turnaround;
        port->wire.data_always = data_always;
        port->wire.idle_clocks = idle_clocks;
        port->wire.wait_budget_ms = wait_budget_ms;
        port->wire.bank = 0;
    });
    return none_or_failure(port, status, broken_);
}

static PyObject *port_settings(Port *port, PyObject *unused)
{
    enum swd_status status = SWD_OK;
    unsigned int values[5] = {0};
    int broken_ = 0;

    (void)unused;
    WORK(port, status, {
        values[0] = port->wire.turnaround;
        values[1] = port->wire.data_always;
        values[2] = port->wire.idle_clocks;
        values[3] = port->wire.wait_budget_ms;
        values[4] = port->wire.hz;
    });
    if (status != SWD_OK)
        return none_or_failure(port, status, broken_);
    return Py_BuildValue("(IIIII)", values[0], values[1], values[2], values[3], values[4]);
}

static PyObject *port_counters(Port *port, PyObject *unused)
{
    enum swd_status status = SWD_OK;
    struct swd_counters counters = {0};
    int broken_ = 0;

    (void)unused;
    WORK(port, status, counters = port->wire.counters);
    if (status != SWD_OK)
        return none_or_failure(port, status, broken_);
    return Py_BuildValue("(KKKK)", (unsigned long long)counters.cycles, (unsigned long long)counters.transfers,
                         (unsigned long long)counters.waits, (unsigned long long)counters.resends);
}

static PyObject *port_cancel(Port *port, PyObject *arguments)
{
    int cancelled;

    if (!PyArg_ParseTuple(arguments, "p:cancel", &cancelled))
        return NULL;
    atomic_store(&port->wire.cancelled, cancelled); /* without the port's lock: an operation may be holding it */
    Py_RETURN_NONE;
}

static PyObject *port_record(Port *port, PyObject *arguments)
{
    enum swd_status status = SWD_OK;
    struct swd_recorded *events;
    unsigned int limit;
    int broken_ = 0;

    if (!PyArg_ParseTuple(arguments, "I:record", &limit))
        return NULL;
    if (limit < 1 || limit > RECORD_LIMIT)
        return PyErr_Format(PyExc_ValueError, "1 to %d events can be recorded", RECORD_LIMIT);
    events = calloc(limit, sizeof *events);
    if (!events)
        return PyErr_NoMemory();
    WORK(port, status, {
        free(port->wire.record);
        port->wire.record = events;
        port->wire.record_limit = limit;
        port->wire.recorded = 0;
        port->wire.record_overflow = 0;
        events = NULL;
    });
    free(events);
    return none_or_failure(port, status, broken_);
}

static PyObject *port_recorded(Port *port, PyObject *unused)
{
    enum swd_status status = SWD_OK;
    struct swd_recorded *events = NULL;
    int overflow = 0, broken_ = 0;
    PyObject *result;
    size_t count = 0;

    (void)unused;
    WORK(port, status, {
        events = port->wire.record;
        count = port->wire.recorded;
        overflow = port->wire.record_overflow;
        port->wire.record = NULL;
        port->wire.recorded = 0;
        port->wire.record_overflow = 0;
    });
    if (status != SWD_OK)
        return none_or_failure(port, status, broken_);
    result = Py_BuildValue("(y#N)", events ? (const char *)events : "", (Py_ssize_t)(count * sizeof *events),
                           PyBool_FromLong(overflow));
    free(events);
    return result;
}

/* -- life -------------------------------------------------------------------------------------------------------- */

static PyObject *port_close(Port *port, PyObject *unused)
{
    int failed;

    (void)unused;
    Py_BEGIN_ALLOW_THREADS
    failed = pthread_mutex_lock(&port->lock);
    if (!failed) {
        if (port->open)
            swd_wire_close(&port->wire);
        port->open = 0;
        pthread_mutex_unlock(&port->lock);
    }
    Py_END_ALLOW_THREADS
    if (failed)
        return raise_errno(-failed);
    Py_CLEAR(port->capsule);
    Py_RETURN_NONE;
}

static void port_dealloc(Port *port)
{
    PyTypeObject *type = Py_TYPE((PyObject *)port);
    freefunc tp_free = (freefunc)PyType_GetSlot(type, Py_tp_free);

    if (port->ready) { /* nobody else can be holding it */
        if (port->open)
            swd_wire_close(&port->wire);
        pthread_mutex_destroy(&port->lock);
    }
    Py_XDECREF(port->capsule);
    Py_XDECREF(port->failure);
    tp_free(port);
    Py_DECREF(type);
}

static PyMethodDef port_methods[] = {
    {"run", (PyCFunction)port_run, METH_O, NULL},
    {"sequence", (PyCFunction)port_sequence, METH_VARARGS, NULL},
    {"listen", (PyCFunction)port_listen, METH_VARARGS, NULL},
    {"set_clock", (PyCFunction)port_set_clock, METH_VARARGS, NULL},
    {"drive_pins", (PyCFunction)port_drive_pins, METH_VARARGS, NULL},
    {"set_line", (PyCFunction)port_set_line, METH_VARARGS, NULL},
    {"get_line", (PyCFunction)port_get_line, METH_VARARGS, NULL},
    {"wait", (PyCFunction)port_wait, METH_VARARGS, NULL},
    {"configure", (PyCFunction)port_configure, METH_VARARGS, NULL},
    {"settings", (PyCFunction)port_settings, METH_NOARGS, NULL},
    {"counters", (PyCFunction)port_counters, METH_NOARGS, NULL},
    {"cancel", (PyCFunction)port_cancel, METH_VARARGS, NULL},
    {"record", (PyCFunction)port_record, METH_VARARGS, NULL},
    {"recorded", (PyCFunction)port_recorded, METH_NOARGS, NULL},
    {"close", (PyCFunction)port_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot port_slots[] = {{Py_tp_dealloc, port_dealloc}, {Py_tp_methods, port_methods}, {0, NULL}};

static PyType_Spec port_spec = {
    .name = "appliance.swd._core.Port",
    .basicsize = sizeof(Port),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = port_slots,
};

/* Makes a port of an opened table; on failure the table is closed. */
static PyObject *new_port(PyObject *module, const struct swd_pins_v1 *pins, PyObject *capsule)
{
    ModuleState *state = PyModule_GetState(module);
    PyTypeObject *type = (PyTypeObject *)state->port_type;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    pthread_mutexattr_t checked;
    Port *port;

    port = (Port *)allocate(type, 0);
    if (!port) {
        if (pins->close)
            pins->close(pins->ctx);
        return NULL;
    }
    swd_wire_init(&port->wire, pins);
    pthread_mutexattr_init(&checked);
    pthread_mutexattr_settype(&checked, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&port->lock, &checked);
    pthread_mutexattr_destroy(&checked);
    port->ready = port->open = 1;
    Py_XINCREF(capsule);
    port->capsule = capsule;
    Py_INCREF(state->failure);
    port->failure = state->failure;
    return (PyObject *)port;
}

static PyObject *opened(PyObject *module, int result, const struct swd_pins_v1 *pins, PyObject *capsule)
{
    return result < 0 ? raise_errno(result) : new_port(module, pins, capsule);
}

static PyObject *open_null(PyObject *module, PyObject *unused)
{
    struct swd_pins_v1 pins;

    (void)unused;
    return opened(module, swd_pins_null(&pins), &pins, NULL);
}

static PyObject *open_object(PyObject *module, PyObject *object)
{
    struct swd_pins_v1 pins;

    return opened(module, swd_pins_object(&pins, object), &pins, NULL);
}

static PyObject *open_capsule(PyObject *module, PyObject *capsule)
{
    const struct swd_pins_v1 *pins = PyCapsule_GetPointer(capsule, SWD_PINS_CAPSULE);

    if (!pins)
        return NULL;
    if (pins->version != SWD_PINS_VERSION || pins->size < sizeof *pins || !pins->exchange || !pins->set_clock ||
        !pins->drive_pins || !pins->set_line || !pins->get_line || !pins->wait)
        return PyErr_Format(PyExc_ValueError, "the capsule holds another version of the pins, or half of them");
    return new_port(module, pins, capsule);
}

static PyObject *open_socket(PyObject *module, PyObject *arguments)
{
    struct swd_pins_v1 pins;
    const char *path;
    int result;

    if (!PyArg_ParseTuple(arguments, "s:open_socket", &path))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    result = swd_pins_socket(&pins, path);
    Py_END_ALLOW_THREADS
    return opened(module, result, &pins, NULL);
}

static int in_block(int pin, int required)
{
    return pin >= (required ? 0 : -1) && pin < 32;
}

static PyObject *open_gpiomem(PyObject *module, PyObject *arguments)
{
    struct swd_pin_numbers numbers;
    struct swd_pins_v1 pins;
    const char *path;
    int family, result;

    if (!PyArg_ParseTuple(arguments, "siiiiipii:open_gpiomem", &path, &family, &numbers.swclk, &numbers.swdio,
                          &numbers.nreset, &numbers.power, &numbers.power_active_low, &numbers.swdio_pull,
                          &numbers.nreset_pull))
        return NULL;
    if (!in_block(numbers.swclk, 1) || !in_block(numbers.swdio, 1) || !in_block(numbers.nreset, 0) ||
        !in_block(numbers.power, 0))
        return PyErr_Format(PyExc_ValueError, "a pin number is outside the first block of 32");
    Py_BEGIN_ALLOW_THREADS
    result = swd_pins_gpiomem(&pins, path, family ? FAMILY_BCM2711 : FAMILY_BCM2835, &numbers);
    Py_END_ALLOW_THREADS
    return opened(module, result, &pins, NULL);
}

static PyObject *open_chip(PyObject *module, PyObject *arguments)
{
    struct swd_pin_numbers numbers;
    struct swd_pins_v1 pins;
    const char *path;
    int result;

    if (!PyArg_ParseTuple(arguments, "siiiipii:open_chip", &path, &numbers.swclk, &numbers.swdio, &numbers.nreset,
                          &numbers.power, &numbers.power_active_low, &numbers.swdio_pull, &numbers.nreset_pull))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    result = swd_pins_chip(&pins, path, &numbers);
    Py_END_ALLOW_THREADS
    return opened(module, result, &pins, NULL);
}

static PyMethodDef module_methods[] = {
    {"open_null", open_null, METH_NOARGS, NULL},       {"open_object", open_object, METH_O, NULL},
    {"open_capsule", open_capsule, METH_O, NULL},      {"open_socket", open_socket, METH_VARARGS, NULL},
    {"open_gpiomem", open_gpiomem, METH_VARARGS, NULL}, {"open_chip", open_chip, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int module_exec(PyObject *module)
{
    ModuleState *state = PyModule_GetState(module);

    state->port_type = PyType_FromModuleAndSpec(module, &port_spec, NULL);
    state->failure = PyErr_NewException("appliance.swd._core.WireFailure", NULL, NULL);
    if (!state->port_type || !state->failure)
        return -1;
    if (PyModule_AddObjectRef(module, "Port", state->port_type) < 0)
        return -1;
    return PyModule_AddObjectRef(module, "WireFailure", state->failure);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    ModuleState *state = PyModule_GetState(module);

    Py_VISIT(state->port_type);
    Py_VISIT(state->failure);
    return 0;
}

static int module_clear(PyObject *module)
{
    ModuleState *state = PyModule_GetState(module);

    Py_CLEAR(state->port_type);
    Py_CLEAR(state->failure);
    return 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static struct PyModuleDef module_def = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "appliance.swd._core",
    .m_size = sizeof(ModuleState),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
};

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&module_def);
}
