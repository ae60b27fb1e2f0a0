/* A run of clock cycles made of single edges, for back ends that own each edge. Specialised by the compiler: low, high
 * and sample are static inline functions of one translation unit. */
#ifndef PROOFLINE_SWD_EDGES_H
#define PROOFLINE_SWD_EDGES_H

#include <stdint.h>

/* put: SWDIO gets this level while SWCLK is low. low/high: the half periods. */
#define SWD_DEFINE_EDGE_RUN(name, type, put, sample, high, low)                                     \
    static uint64_t name(type *pins, uint32_t count, uint64_t out, int drive)                       \
    {                                                                                               \
        uint64_t in = 0;                                                                            \
        for (uint32_t cycle = 0; cycle < count; cycle++) {                                          \
            if (drive)                                                                              \
                put(pins, (unsigned)(out >> cycle) & 1u);                                           \
            low(pins);                                                                              \
            in |= (uint64_t)sample(pins) << cycle;                                                  \
            high(pins);                                                                             \
        }                                                                                           \
        return in;                                                                                  \
    }

#endif
