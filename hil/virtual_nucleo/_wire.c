/* The extension module hil.virtual_nucleo._wire: the slave as a Python type and as the SWD core's table of pins. */
#include <Python.h>

#include <errno.h>
#include <string.h>

#include "_wire.h"

static const char *const callback_names[CALLBACKS] = {
    "_answer", "_written", "_words_written", "_words_read", "_pass_cycles", "_line_was_reset",
    "_planned", "set_clock", "drive_pins", "set_line", "get_line", "wait",
};

/* -- the capsule ------------------------------------------------------------------------------------------------- */

static int table_exchange(void *ctx, uint32_t count, uint64_t out, int drive, uint64_t *in)
{
    return slave_exchange(ctx, count, out, drive, in);
}

static int broken(Slave *slave)
{
    return slave->failure == NULL ? 0 : -EIO;
}

static int table_set_clock(void *ctx, uint32_t hz)
{
    slave_call(ctx, SET_CLOCK, "(K)", hz, 0);
    return broken(ctx);
}

static int table_drive_pins(void *ctx, int driven)
{
    slave_call(ctx, DRIVE_PINS, "(K)", driven != 0, 0);
    return broken(ctx);
}

static int table_set_line(void *ctx, uint32_t line, int level)
{
    slave_call(ctx, SET_LINE, "(KK)", line, level != 0);
    return broken(ctx);
}

static int table_get_line(void *ctx, uint32_t line, int *level)
{
    *level = (int)slave_call(ctx, GET_LINE, "(K)", line, 0);
    return broken(ctx);
}

static int table_wait(void *ctx, uint64_t ns)
{
    slave_call(ctx, WAIT, "(K)", ns, 0);
    return broken(ctx);
}

struct capsule {
    struct swd_pins_v1 table;
    PyObject *slave;
};

static void capsule_gone(PyObject *capsule)
{
    struct capsule *held = PyCapsule_GetPointer(capsule, SWD_PINS_CAPSULE);

    if (held != NULL) {
        Py_DECREF(held->slave);
        PyMem_Free(held);
    }
}

static PyObject *slave_capsule(Slave *self, PyObject *Py_UNUSED(none))
{
    struct capsule *held = PyMem_Calloc(1, sizeof *held);
    PyObject *capsule;

    if (held == NULL)
        return PyErr_NoMemory();
    held->table = (struct swd_pins_v1){
        .version = SWD_PINS_VERSION,
        .size = sizeof held->table,
        .ctx = self,
        .exchange = table_exchange,
        .set_clock = table_set_clock,
        .drive_pins = table_drive_pins,
        .set_line = table_set_line,
        .get_line = table_get_line,
        .wait = table_wait,
    };
    capsule = PyCapsule_New(held, SWD_PINS_CAPSULE, capsule_gone);
    if (capsule == NULL) {
        PyMem_Free(held);
        return NULL;
    }
    held->slave = Py_NewRef((PyObject *)self);
    return capsule;
}

/* -- the Python type --------------------------------------------------------------------------------------------- */

PyObject *slave_raise(Slave *slave)
{
    PyObject *failure = slave->failure;

    slave->failure = NULL;
    PyErr_SetObject((PyObject *)Py_TYPE(failure), failure);
    Py_DECREF(failure);
    return NULL;
}

static PyObject *exchange(Slave *self, PyObject *args)
{
    unsigned count;
    unsigned long long out;
    int drive;
    uint64_t in = 0;

    if (!PyArg_ParseTuple(args, "IKp", &count, &out, &drive))
        return NULL;
    if (count < 1 || count > 64) {
        PyErr_SetString(PyExc_ValueError, "an exchange has 1 to 64 cycles");
        return NULL;
    }
    if (slave_exchange(self, count, out, drive, &in) != 0)
        return slave_raise(self);
    return PyLong_FromUnsignedLongLong(in);
}

static PyObject *settle(Slave *self, PyObject *Py_UNUSED(none))
{
    slave_settle(self);
    if (self->failure != NULL)
        return slave_raise(self);
    Py_RETURN_NONE;
}

static PyObject *power(Slave *self, PyObject *args)
{
    int on;

    if (!PyArg_ParseTuple(args, "p", &on))
        return NULL;
    self->window = CLOSED; /* what had not arrived is lost with the power */
    self->done = self->late = 0;
    slave_enter(self, on ? JTAG : OFF);
    self->ones = 0;
    self->turnaround = 1;
    self->overrun_detection = 0;
    Py_RETURN_NONE;
}

static PyObject *configure(Slave *self, PyObject *args)
{
    unsigned turnaround;
    int overrun_detection;

    if (!PyArg_ParseTuple(args, "Ip", &turnaround, &overrun_detection))
        return NULL;
    self->turnaround = turnaround;
    self->overrun_detection = overrun_detection;
    Py_RETURN_NONE;
}

static PyObject *expect_writes(Slave *self, PyObject *args)
{
    unsigned room;

    if (!PyArg_ParseTuple(args, "I", &room))
        return NULL;
    self->room = room < WINDOW_WORDS ? room : WINDOW_WORDS;
    self->done = 0;
    self->window = self->room > 0 ? WRITES : CLOSED;
    Py_RETURN_NONE;
}

static PyObject *expect_reads(Slave *self, PyObject *args)
{
    const char *words;
    Py_ssize_t size;

    if (!PyArg_ParseTuple(args, "y#", &words, &size))
        return NULL;
    self->room = size / 4 < WINDOW_WORDS ? (unsigned)(size / 4) : WINDOW_WORDS;
    memcpy(self->words, words, 4 * self->room);
    self->done = 0;
    self->window = self->room > 0 ? READS : CLOSED;
    Py_RETURN_NONE;
}

static PyObject *plan(Slave *self, PyObject *args)
{
    PyObject *rows;
    unsigned long long watched;
    Py_ssize_t count;

    if (!PyArg_ParseTuple(args, "O!K", &PyTuple_Type, &rows, &watched))
        return NULL;
    count = PyTuple_Size(rows);
    if (count > PLAN_LIMIT) {
        PyErr_Format(PyExc_ValueError, "a plan has at most %d faults on the line", PLAN_LIMIT);
        return NULL;
    }
    for (Py_ssize_t index = 0; index < count; index++) {
        struct line_fault *fault = &self->plan[index];
        unsigned long long transfer, length;

        if (!PyArg_ParseTuple(PyTuple_GetItem(rows, index), "KIKII", &transfer, &fault->offset, &length, &fault->kind,
                              &fault->index))
            return NULL;
        fault->transfer = transfer;
        fault->length = length;
    }
    self->faults = (unsigned)count;
    self->fault = 0;
    self->fault_from = self->fault_until = NEVER;
    self->transfers = 0;
    self->armed_transfer = 0;
    self->watched_transfer = watched;
    Py_RETURN_NONE;
}

static PyObject *watch_transfer(Slave *self, PyObject *args)
{
    unsigned long long transfer;

    if (!PyArg_ParseTuple(args, "K", &transfer))
        return NULL;
    self->watched_transfer = transfer;
    Py_RETURN_NONE;
}

static PyObject *set_horizon(Slave *self, PyObject *args)
{
    unsigned long long horizon;

    if (!PyArg_ParseTuple(args, "K", &horizon))
        return NULL;
    self->horizon = horizon;
    Py_RETURN_NONE;
}

static PyObject *get_cycles(Slave *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(self->cycles);
}

static PyObject *get_transfers(Slave *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(self->transfers);
}

static int slave_init(Slave *self, PyObject *args, PyObject *Py_UNUSED(keywords))
{
    PyObject *target;
    int dormant;

    if (!PyArg_ParseTuple(args, "Op", &target, &dormant))
        return -1;
    for (int call = 0; call < CALLBACKS; call++) {
        PyObject *method = PyObject_GetAttrString(target, callback_names[call]);

        if (method == NULL)
            return -1;
        Py_XDECREF(self->calls[call]);
        self->calls[call] = method;
    }
    self->dormant = dormant;
    self->turnaround = 1;
    self->activating = -1;
    self->horizon = self->fault_from = self->fault_until = self->watched_transfer = NEVER;
    return 0;
}

static int slave_traverse(Slave *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE((PyObject *)self));
    for (int call = 0; call < CALLBACKS; call++)
        Py_VISIT(self->calls[call]);
    Py_VISIT(self->failure);
    return 0;
}

static int slave_clear(Slave *self)
{
    for (int call = 0; call < CALLBACKS; call++)
        Py_CLEAR(self->calls[call]);
    Py_CLEAR(self->failure);
    return 0;
}

static void slave_dealloc(Slave *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

    PyObject_GC_UnTrack(self);
    slave_clear(self);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef slave_methods[] = {
    {"exchange", (PyCFunction)exchange, METH_VARARGS, "1 to 64 clock cycles; returns the levels sampled in them."},
    {"settle", (PyCFunction)settle, METH_NOARGS, "Tells the target everything that the wire has seen."},
    {"capsule", (PyCFunction)slave_capsule, METH_NOARGS, "These pins as a table of C functions (pins_v1.h)."},
    {"power", (PyCFunction)power, METH_VARARGS, "Power came (JTAG is selected) or went."},
    {"configure", (PyCFunction)configure, METH_VARARGS, "Turnaround in cycles, overrun detection."},
    {"expect_writes", (PyCFunction)expect_writes, METH_VARARGS, "That many DRW writes may be collected."},
    {"expect_reads", (PyCFunction)expect_reads, METH_VARARGS, "What the next DRW reads return, as words."},
    {"plan", (PyCFunction)plan, METH_VARARGS, "Line faults (transfer, offset, length, kind, index); counts anew."},
    {"watch_transfer", (PyCFunction)watch_transfer, METH_VARARGS, "From this transfer on, each one is asked about."},
    {"set_horizon", (PyCFunction)set_horizon, METH_VARARGS, "Settle at this cycle at the latest."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef slave_getset[] = {
    {"cycles", (getter)get_cycles, NULL, "SWCLK cycles so far.", NULL},
    {"transfers", (getter)get_transfers, NULL, "Start bits seen since the plan began.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slave_slots[] = {
    {Py_tp_doc, "The target's end of SWCLK and SWDIO."},
    {Py_tp_init, slave_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, slave_dealloc},
    {Py_tp_traverse, slave_traverse},
    {Py_tp_clear, slave_clear},
    {Py_tp_methods, slave_methods},
    {Py_tp_getset, slave_getset},
    {0, NULL},
};

static PyType_Spec slave_spec = {
    .name = "hil.virtual_nucleo._wire.Slave",
    .basicsize = sizeof(Slave),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slave_slots,
};

static int populate(PyObject *module)
{
    PyObject *slave = PyType_FromSpec(&slave_spec);
    PyObject *door = NULL;
    int result = -1;

    if (slave != NULL && PyModule_AddObjectRef(module, "Slave", slave) == 0) {
        door = door_type(module);
        if (door != NULL)
            result = PyModule_AddObjectRef(module, "Door", door);
    }
    Py_XDECREF(slave);
    Py_XDECREF(door);
    return result;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, populate}, {0, NULL}};

static PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_wire",
    .m_doc = "The target's end of SWCLK and SWDIO, and the sockets that reach it.",
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__wire(void)
{
    return PyModuleDef_Init(&module);
}
