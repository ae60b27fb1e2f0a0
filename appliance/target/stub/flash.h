/* Erasing and programming, as the part's flash interface wants it. */
#ifndef FLASH_H
#define FLASH_H

#include <stdint.h>

/* How many bits are programmed at a time, and how fast a sector is erased: FLASH_CR.PSIZE. What the supply allows is the
 * station's to know (data sheet, "Flash memory programming"). */
enum parallelism { X8 = 0, X16 = 1, X32 = 2 };

struct flash_fault {
    uint32_t address; /* of the word that did not come out right */
    uint32_t sr;      /* the error flags of the operation; 0 when it was the reading back that failed */
    uint32_t found, wanted;
};

/* 1 when the interface is idle, without old errors, and open. */
int flash_open(void);
void flash_close(void);

/* Both return 1, or 0 with the fault filled in. Nothing is repeated. */
int flash_erase(uint32_t sector, enum parallelism parallelism, struct flash_fault *fault);
int flash_program(uint32_t address, const uint32_t *words, uint32_t count, enum parallelism parallelism,
                  struct flash_fault *fault);

#endif
