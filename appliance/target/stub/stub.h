/* The mailbox between the station and the measuring stub. appliance/target/stub_protocol.py is its other side. */
#ifndef STUB_H
#define STUB_H

#include <stdint.h>

#define REQUEST_MAGIC 0x504C5251u /* "PLRQ" */
#define RESULT_MAGIC 0x504C5253u  /* "PLRS" */
#define MAX_RANGES 64u

enum range_kind { RANGE_HASH = 1, RANGE_ERASED = 2 };
enum status { STATUS_DONE = 1, STATUS_BAD_REQUEST = 2 };
/* What the clock was while measuring; all but CLOCK_RAISED are slower, none is wrong. */
enum clock { CLOCK_RAISED = 1, CLOCK_AS_FOUND = 2 };

struct range {
    uint32_t start, length, kind;
};

struct request {
    uint32_t magic, count;
    uint8_t nonce[32];
    struct range ranges[MAX_RANGES];
};

/* HASH: the SHA-256. ERASED: word 0 is 1 when every byte is 0xFF, word 1 the first address that is not; the rest 0. */
union answer {
    uint8_t digest[32];
    uint32_t words[8];
};

/* The seal is SHA-256(nonce, request's ranges, clock, answers): it cannot be left over from another run, and RAM that
 * lost a bit between the last range and the read-out does not pass. */
struct result {
    uint32_t magic, status, clock, count;
    uint8_t seal[32];
    union answer answers[MAX_RANGES];
};

struct mailbox {
    struct request request;
    struct result result;
};

#endif
