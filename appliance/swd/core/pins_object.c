/* Pins that are a Python object (appliance.swd.pins.WirePins): Python's lock is taken for each call.
 *
 * An exception in the object stays set in the calling thread and reaches whoever called the operation; meanwhile the
 * core sees -ECANCELED and does nothing more.
 */
#include "pins_object.h"

#include <errno.h>
#include <stdlib.h>

struct object_pins {
    PyObject *object;
};

/* Steals arguments (NULL: building them failed). Returns the result, or NULL with an exception set. */
static PyObject *call(const struct object_pins *pins, const char *method, PyObject *arguments)
{
    PyObject *function = NULL, *result = NULL;

    if (arguments && !PyErr_Occurred())
        function = PyObject_GetAttrString(pins->object, method);
    if (function)
        result = PyObject_CallObject(function, arguments);
    Py_XDECREF(function);
    Py_XDECREF(arguments);
    return result;
}

static int finish(PyObject *result)
{
    int failed = result == NULL;

    Py_XDECREF(result);
    return failed ? -ECANCELED : 0;
}

static int exchange(void *ctx, uint32_t count, uint64_t out, int drive, uint64_t *in)
{
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *result = call(ctx, "exchange",
                            Py_BuildValue("(IKN)", (unsigned)count, (unsigned long long)out, PyBool_FromLong(drive)));
    uint64_t seen = result ? PyLong_AsUnsignedLongLong(result) : 0;
    int failed = finish(result);

    if (PyErr_Occurred())
        failed = -ECANCELED;
    PyGILState_Release(state);
    if (in)
        *in = seen;
    return failed;
}

static int set_clock(void *ctx, uint32_t hz)
{
    PyGILState_STATE state = PyGILState_Ensure();
    int failed = finish(call(ctx, "set_clock", Py_BuildValue("(I)", (unsigned)hz)));

    PyGILState_Release(state);
    return failed;
}

static int drive_pins(void *ctx, int driven)
{
    PyGILState_STATE state = PyGILState_Ensure();
    int failed = finish(call(ctx, "drive_pins", Py_BuildValue("(N)", PyBool_FromLong(driven))));

    PyGILState_Release(state);
    return failed;
}

static int set_line(void *ctx, uint32_t line, int level)
{
    PyGILState_STATE state = PyGILState_Ensure();
    int failed = finish(call(ctx, "set_line", Py_BuildValue("(Ii)", (unsigned)line, level)));

    PyGILState_Release(state);
    return failed;
}

static int get_line(void *ctx, uint32_t line, int *level)
{
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *result = call(ctx, "get_line", Py_BuildValue("(I)", (unsigned)line));
    int failed;

    *level = result ? PyObject_IsTrue(result) : 0;
    failed = finish(result);
    if (PyErr_Occurred())
        failed = -ECANCELED;
    PyGILState_Release(state);
    return failed;
}

static int wait_ns(void *ctx, uint64_t ns)
{
    PyGILState_STATE state = PyGILState_Ensure();
    int failed = finish(call(ctx, "wait", Py_BuildValue("(K)", (unsigned long long)ns)));

    PyGILState_Release(state);
    return failed;
}

static void close_object(void *ctx)
{
    struct object_pins *pins = ctx;
    PyGILState_STATE state = PyGILState_Ensure();

    Py_DECREF(pins->object);
    PyGILState_Release(state);
    free(pins);
}

int swd_pins_object(struct swd_pins_v1 *pins, PyObject *object)
{
    struct object_pins *held = calloc(1, sizeof *held);

    if (!held)
        return -ENOMEM;
    Py_INCREF(object);
    held->object = object;
    *pins = (struct swd_pins_v1){SWD_PINS_VERSION, sizeof *pins, held,     exchange, set_clock,
                                 drive_pins,       set_line,     get_line, wait_ns,  close_object};
    return 0;
}
