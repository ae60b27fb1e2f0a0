/* The loader: erases the sectors it is told, then programs pages as the station brings them.
 *
 * - It runs from RAM with interrupts off, at the addresses it is linked for; every pause and the end are breakpoints.
 * - While the core programs one page the station writes the next ones into the ring.
 * - A page is programmed only if it is the next one of this run and came undamaged. Every word is read back.
 * - The first fault ends the run. Whatever the end, the flash interface is closed and the clock as it was found.
 */
#include "crc32.h"
#include "family.h"
#include "flash.h"
#include "loader.h"
#include "stub.h"

extern struct loader_mailbox mailbox;

static int request_is_sound(const struct crc32 *crc, const struct loader_request *request)
{
    const uint32_t *words = (const uint32_t *)request;

    return request->magic == LOADER_REQUEST_MAGIC && request->parallelism <= X32 && request->sectors <= MAX_SECTORS &&
           request->slots && request->slot_bytes >= sizeof(struct footer) + 4u && request->slot_bytes % 4u == 0 &&
           request->crc == crc32_of(crc, 0, words, sizeof *request - sizeof request->crc);
}

static void seal(const struct crc32 *crc, enum loader_status status)
{
    struct loader_report *report = &mailbox.report;

    report->magic = LOADER_REPORT_MAGIC;
    report->nonce = mailbox.request.nonce;
    report->status = status;
    report->crc = crc32_of(crc, report->nonce, (const uint32_t *)report, sizeof *report - sizeof report->crc);
}

static void pause(const struct crc32 *crc)
{
    mailbox.wake = 0xFFFFFFFFu;
    seal(crc, LOADER_PAUSED);
    __asm__ volatile("bkpt 1" ::: "memory", "cc");
}

static void pause_if_asked(const struct crc32 *crc)
{
    if (mailbox.report.programmed >= mailbox.wake)
        pause(crc);
}

static const struct footer *next_page(const struct crc32 *crc, uint32_t sequence)
{
    const struct loader_request *request = &mailbox.request;
    uint32_t slot_end = request->ring + (sequence % request->slots + 1u) * request->slot_bytes;
    const struct footer *footer = (const struct footer *)(slot_end - sizeof *footer);

    for (uint32_t rounds = 0; rounds < request->patience; rounds++) {
        for (uint32_t spins = 0; spins < SPINS_A_ROUND; spins++) {
            if (footer->bell == (request->nonce ^ sequence)) {
                __asm__ volatile("dmb" ::: "memory");
                return footer;
            }
            pause_if_asked(crc);
        }
        watchdog_feed();
    }
    return 0;
}

static int page_is_sound(const struct crc32 *crc, const struct footer *footer, uint32_t sequence)
{
    const struct loader_request *request = &mailbox.request;
    uint32_t bytes = footer->bytes;
    const uint32_t *data = (const uint32_t *)((uint32_t)footer - bytes);

    return footer->sequence == sequence && bytes % 4u == 0 && bytes <= request->slot_bytes - sizeof *footer &&
           footer->address % 4u == 0 && footer->address >= request->low && footer->address <= request->high &&
           bytes <= request->high - footer->address &&
           footer->crc == crc32_of(crc, request->nonce, data, bytes + 3u * sizeof(uint32_t));
}

static void tell(const struct flash_fault *fault)
{
    mailbox.report.address = fault->address;
    mailbox.report.sr = fault->sr;
    mailbox.report.found = fault->found;
    mailbox.report.wanted = fault->wanted;
}

static enum loader_status work(const struct crc32 *crc)
{
    const struct loader_request *request = &mailbox.request;
    struct loader_report *report = &mailbox.report;
    struct flash_fault fault = {0, 0, 0, 0};

    for (; report->erased < request->sectors; report->erased++)
        if (!flash_erase(request->sector[report->erased], request->parallelism, &fault)) {
            tell(&fault);
            return LOADER_ERASE_FAILED;
        }
    if (request->sectors)
        pause(crc);
    for (; report->programmed < request->pages; report->programmed++) {
        const struct footer *page;

        pause_if_asked(crc);
        page = next_page(crc, report->programmed);
        if (!page)
            return LOADER_STARVED;
        if (!page_is_sound(crc, page, report->programmed))
            return LOADER_PAGE_REFUSED;
        if (!flash_program(page->address, (const uint32_t *)((uint32_t)page - page->bytes), page->bytes / 4u,
                           request->parallelism, &fault)) {
            tell(&fault);
            return LOADER_PROGRAM_FAILED;
        }
    }
    return LOADER_DONE;
}

__attribute__((used)) static void run(void)
{
    struct loader_report *report = &mailbox.report;
    enum loader_status status;
    struct clock_saved saved;
    struct crc32 crc;

    crc32_prepare(&crc);
    report->clock = CLOCK_AS_FOUND;
    report->erased = report->programmed = 0;
    report->address = report->sr = report->found = report->wanted = 0;
    if (!request_is_sound(&crc, &mailbox.request)) {
        seal(&crc, LOADER_BAD_REQUEST);
        return;
    }
    if (clock_raise(&saved))
        report->clock = CLOCK_RAISED;
    status = flash_open() ? work(&crc) : LOADER_CLOSED;
    flash_close();
    clock_restore(&saved);
    seal(&crc, status);
}

__attribute__((naked, section(".entry"), used)) void entry(void)
{
    __asm__ volatile("cpsid i\n"
                     "bl run\n"
                     "bkpt 0\n");
}
