/* The mailbox between the station and the loader. appliance/target/loader_protocol.py is its other side. */
#ifndef LOADER_H
#define LOADER_H

#include <stdint.h>

#define LOADER_REQUEST_MAGIC 0x504C4C51u /* "PLLQ" */
#define LOADER_REPORT_MAGIC 0x504C4C53u  /* "PLLS" */
#define MAX_SECTORS 32u
#define SPINS_A_ROUND 0x10000u

enum loader_status {
    LOADER_PAUSED = 1, /* halted between two pages or after the last erase; goes on behind its breakpoint */
    LOADER_DONE = 2,
    LOADER_BAD_REQUEST = 3,  /* nothing was touched */
    LOADER_CLOSED = 4,       /* the flash interface does not open; nothing was touched */
    LOADER_ERASE_FAILED = 5,
    LOADER_PROGRAM_FAILED = 6,
    LOADER_PAGE_REFUSED = 7, /* damaged on its way; nothing of it was programmed */
    LOADER_STARVED = 8,      /* the next page did not come */
};

/* What is to be done, sealed by the CRC of everything before it. `low` to `high` is where pages may lie; the ring is
 * `slots` slots of `slot_bytes`; `patience` is how many rounds of SPINS_A_ROUND it waits for a page. */
struct loader_request {
    uint32_t magic, nonce, parallelism, low, high, ring, slots, slot_bytes, pages, patience, sectors;
    uint32_t sector[MAX_SECTORS];
    uint32_t crc;
};

/* How far it is; valid while the core is halted on a breakpoint of the loader's. */
struct loader_report {
    uint32_t magic, nonce, status, clock, erased, programmed;
    uint32_t address, sr, found, wanted;
    uint32_t crc;
};

/* `wake`: pause as soon as this many pages are programmed. The only word that is written while the loader looks at it. */
struct loader_mailbox {
    struct loader_request request;
    struct loader_report report;
    volatile uint32_t wake;
};

/* The end of a slot; the page's data ends where it begins. Pages go round the slots by their sequence. The bell, which
 * is written last, is nonce ^ sequence; the CRC, which starts from the nonce, covers data and footer up to itself. */
struct footer {
    uint32_t address, bytes, sequence, crc;
    volatile uint32_t bell;
};

#endif
