/* Pins at the other end of a Unix stream socket: a virtual target in another process.
 *
 * Requests are 12 bytes, little-endian: operation, count, flags, 0, argument (64 bits). Driven runs and settings are not
 * answered and are sent together with the next request that is; a reply is 64 bits.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "pins.h"

enum { EXCHANGE = 1, CLOCK, SET_LINE, GET_LINE, WAIT, PINS, HELLO };
enum { FLAG_DRIVE = 1, FLAG_REPLY = 2 };
enum { REQUEST_BYTES = 12, BUFFERED = 256 * REQUEST_BYTES, REPLY_TIMEOUT_S = 30 };

static const uint64_t MAGIC = UINT64_C(0x31504C5057445300); /* "\0SDWPLP1" */

struct socket_pins {
    int fd;
    size_t buffered;
    uint8_t buffer[BUFFERED];
};

static int send_all(struct socket_pins *pins)
{
    size_t done = 0;

    while (done < pins->buffered) {
        ssize_t sent = send(pins->fd, pins->buffer + done, pins->buffered - done, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return -errno;
        done += (size_t)sent;
    }
    pins->buffered = 0;
    return 0;
}

static int receive(struct socket_pins *pins, uint64_t *reply)
{
    uint8_t bytes[8];
    size_t done = 0;

    while (done < sizeof bytes) {
        ssize_t got = recv(pins->fd, bytes + done, sizeof bytes - done, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? (errno == EAGAIN ? -ETIMEDOUT : -errno) : -ECONNRESET;
        done += (size_t)got;
    }
    *reply = 0;
    for (int byte = 0; byte < 8; byte++)
        *reply |= (uint64_t)bytes[byte] << 8 * byte;
    return 0;
}

static int request(struct socket_pins *pins, uint32_t operation, uint32_t count, uint32_t flags, uint64_t argument,
                   uint64_t *reply)
{
    uint8_t *at;
    int result = 0;

    if (pins->buffered == BUFFERED)
        result = send_all(pins);
    if (result < 0)
        return result;
    at = pins->buffer + pins->buffered;
    at[0] = (uint8_t)operation;
    at[1] = (uint8_t)count;
    at[2] = (uint8_t)flags;
    at[3] = 0;
    for (int byte = 0; byte < 8; byte++)
        at[4 + byte] = (uint8_t)(argument >> 8 * byte);
    pins->buffered += REQUEST_BYTES;
    if (!reply)
        return 0;
    result = send_all(pins);
    return result < 0 ? result : receive(pins, reply);
}

static int exchange(void *ctx, uint32_t count, uint64_t out, int drive, uint64_t *in)
{
    uint32_t flags = (drive ? FLAG_DRIVE : 0u) | (in || !drive ? FLAG_REPLY : 0u);
    uint64_t ignored;

    return request(ctx, EXCHANGE, count, flags, out, flags & FLAG_REPLY ? (in ? in : &ignored) : NULL);
}

static int set_clock(void *ctx, uint32_t hz)
{
    return request(ctx, CLOCK, 0, 0, hz, NULL);
}

static int drive_pins(void *ctx, int driven)
{
    int result = request(ctx, PINS, 0, 0, driven != 0, NULL);

    return result < 0 ? result : send_all(ctx);
}

static int set_line(void *ctx, uint32_t line, int level)
{
    int result = request(ctx, SET_LINE, line, 0, level != 0, NULL);

    return result < 0 ? result : send_all(ctx); /* a reset or a power switch takes effect now, not with the next read */
}

static int get_line(void *ctx, uint32_t line, int *level)
{
    uint64_t reply;
    int result = request(ctx, GET_LINE, line, 0, 0, &reply);

    if (result == 0)
        *level = reply != 0;
    return result;
}

static int wait_ns(void *ctx, uint64_t ns)
{
    uint64_t reply;

    return request(ctx, WAIT, 0, 0, ns, &reply);
}

static void close_socket(void *ctx)
{
    struct socket_pins *pins = ctx;

    send_all(pins); /* what a broken connection loses here was lost anyway */
    close(pins->fd);
    free(pins);
}

int swd_pins_socket(struct swd_pins_v1 *pins, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval timeout = {.tv_sec = REPLY_TIMEOUT_S};
    struct socket_pins *socket_pins;
    uint64_t reply = 0;
    int result;

    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    socket_pins = calloc(1, sizeof *socket_pins);
    if (!socket_pins)
        return -ENOMEM;
    socket_pins->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    result = socket_pins->fd < 0 ? -errno : 0;
    if (result == 0 && connect(socket_pins->fd, (struct sockaddr *)&address, sizeof address) < 0)
        result = -errno;
    if (result == 0 && setsockopt(socket_pins->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) < 0)
        result = -errno;
    if (result == 0)
        result = request(socket_pins, HELLO, 0, 0, MAGIC, &reply);
    if (result == -ECONNRESET || result == -EPIPE)
        result = -EBUSY; /* the door serves one client at a time and closes on a second */
    if (result == 0 && reply != MAGIC)
        result = -EPROTO;
    if (result < 0) {
        if (socket_pins->fd >= 0)
            close(socket_pins->fd);
        free(socket_pins);
        return result;
    }
    *pins = (struct swd_pins_v1){SWD_PINS_VERSION, sizeof *pins, socket_pins, exchange, set_clock,
                                 drive_pins,       set_line,     get_line,    wait_ns,  close_socket};
    return 0;
}
