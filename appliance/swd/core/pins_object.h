#ifndef PROOFLINE_SWD_PINS_OBJECT_H
#define PROOFLINE_SWD_PINS_OBJECT_H

#include <Python.h>

#include "pins_v1.h"

int swd_pins_object(struct swd_pins_v1 *pins, PyObject *object); /* 0 or a negative errno; Python's lock is held */

#endif
